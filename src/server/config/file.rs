//! The file as a flat list of keys and values with their lines; what they mean is not asked here.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};
use super::raw::Raw;
use super::table::SETTINGS;

/// The array of tables with the settings of rooms by name.
pub(super) const ROOMS: &str = "rooms";

/// A key and what it was set to.
pub(super) struct Entry {
    /// `section.name`, or as it stands in a table of rooms.
    pub(super) key: String,
    /// The value.
    pub(super) raw: Raw,
    /// Where.
    pub(super) origin: Origin,
}

/// One `[[rooms]]`.
pub(super) struct RoomsTable {
    /// Where it starts.
    pub(super) origin: Origin,
    /// What it sets, in the order of the file.
    pub(super) entries: Vec<Entry>,
}

/// What a file says, as far as it can be read.
pub(super) struct File {
    /// What it sets, in the order of the file.
    pub(super) entries: Vec<Entry>,
    /// Its `[[rooms]]`, in order.
    pub(super) rooms: Vec<RoomsTable>,
    /// What cannot be read.
    pub(super) problems: Vec<Problem>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> File {
    let mut file = File { entries: Vec::new(), rooms: Vec::new(), problems: Vec::new() };
    match std::fs::read_to_string(path) {
        Ok(text) => Reader { path: path.into(), text: &text }.file(&mut file),
        Err(error) => file.problems.push(Problem {
            origin: Origin::File { path: path.into(), line: None },
            text: format!("cannot be read: {error}"),
        }),
    }
    file
}

struct Reader<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl Reader<'_> {
    fn file(&self, file: &mut File) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let origin = self.origin(error.span().map_or(0, |span| span.start));
            // What follows the first slip in a line is the parser's guess.
            if file.problems.last().is_none_or(|last| last.origin != origin) {
                let text = format!("not TOML: {}", error.message());
                file.problems.push(Problem { origin, text });
            }
        }
        let broken: Vec<Origin> = file.problems.iter().map(|problem| problem.origin.clone()).collect();
        self.section("", table.get_ref(), file);
        file.entries.retain(|entry| !broken.contains(&entry.origin));
        file.entries.sort_by(|a, b| a.origin.cmp(&b.origin));
    }

    fn section(&self, section: &str, table: &DeTable<'_>, file: &mut File) {
        for (name, value) in table {
            let origin = self.origin(name.span().start);
            let key =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let is_section = section.is_empty() && SETTINGS.iter().any(|setting| setting.section == key);
            match value.get_ref() {
                DeValue::Table(inner) if is_section => self.section(&key, inner, file),
                other if is_section => {
                    let shown = Raw::from_toml(other).shown();
                    file.problems
                        .push(Problem { origin, text: format!("{key} is {shown}; allowed: a table, [{key}]") });
                }
                other if key == ROOMS => self.rooms(other, origin, file),
                other => file.entries.push(Entry { key, raw: Raw::from_toml(other), origin }),
            }
        }
    }

    fn rooms(&self, value: &DeValue<'_>, origin: Origin, file: &mut File) {
        let items: &[Spanned<DeValue<'_>>] = value.as_array().map_or(&[], |array| array);
        let tables: Vec<_> =
            items.iter().filter_map(|item| Some((item.span().start, item.get_ref().as_table()?))).collect();
        if value.as_array().is_none() || tables.len() < items.len() {
            let text = format!("{ROOMS} is {}; allowed: tables, [[{ROOMS}]]", Raw::from_toml(value).shown());
            file.problems.push(Problem { origin, text });
        }
        for (start, table) in tables {
            let mut entries: Vec<Entry> = table
                .iter()
                .map(|(name, value)| Entry {
                    key: name.get_ref().to_string(),
                    raw: Raw::from_toml(value.get_ref()),
                    origin: self.origin(name.span().start),
                })
                .collect();
            entries.sort_by(|a, b| a.origin.cmp(&b.origin));
            file.rooms.push(RoomsTable { origin: self.origin(start), entries });
        }
    }

    /// The line of the byte at `offset`. O(offset): a configuration is short.
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: Arc::clone(&self.path), line: Some(line) }
    }
}
