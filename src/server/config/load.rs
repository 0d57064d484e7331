//! From the sources to a [`Config`], or to all that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use super::file::{Entry, ROOMS};
use super::nearest::nearest;
use super::problem::{Origin, Problem, Problems};
use super::raw::{Raw, Refused, quoted};
use super::table::{SETTINGS, Setting};
use super::{Config, file, relations, rooms};

/// What the names of all our variables begin with.
const VARIABLE_PREFIX: &str = "SHARDCAST_";
/// The variable that names the file. Not a setting: read by the command line.
pub(crate) const FILE_VARIABLE: &str = "SHARDCAST_CONFIG";

/// Names the server for the console clients: no setting of the server's, and no mistake either.
const SERVER_VARIABLE: &str = "SHARDCAST_SERVER";

/// Where settings come from; the process's own file, environment and command line, or a test's.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file.
    pub(crate) file: Option<PathBuf>,
    /// The environment; what does not begin with `SHARDCAST_` is left alone.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// The command line, in order: a later flag wins.
    pub(crate) flags: Vec<Flag>,
}

/// A setting on the command line.
#[derive(Debug)]
pub(crate) struct Flag {
    /// The flag, as a problem names it: `--listen`, `--set`.
    pub(crate) name: String,
    /// The key of the setting.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
}

/// Settings on their way, with where each was set.
#[derive(Clone, Default)]
pub(super) struct Draft {
    /// What is set so far.
    pub(super) config: Config,
    /// Where, by key. Absent: the default.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Keys whose value was refused: nothing can be said about how they relate to others.
    pub(super) refused: BTreeSet<String>,
    /// The pattern of the rooms that this draft is for; `None`: the whole configuration.
    pub(super) pattern: Option<String>,
}

/// Reads all of `sources`: the file, then the environment, then the flags.
///
/// # Errors
/// Everything that is wrong: unknown keys, values that are not allowed, values that do not go together.
pub(crate) fn load(sources: &Sources) -> Result<Config, Problems> {
    let mut draft = Draft::default();
    let mut problems = Vec::new();
    let file = sources.file.as_deref().map(file::read);
    let (entries, tables) = file.map_or_else(Default::default, |file| {
        problems.extend(file.problems);
        (file.entries, file.rooms)
    });
    for Entry { key, raw, origin } in entries {
        problems.extend(draft.set(&key, &raw, origin));
    }
    for (name, value) in &sources.variables {
        let name = name.to_string_lossy();
        if name.starts_with(VARIABLE_PREFIX) && name != FILE_VARIABLE && name != SERVER_VARIABLE {
            problems.extend(draft.set_variable(&name, value));
        }
    }
    for Flag { name, key, value } in &sources.flags {
        problems.extend(draft.set(key, &Raw::Loose(value.clone()), Origin::Flag(name.clone())));
    }
    problems.extend(relations::check(&draft, |_| true));
    let classes = rooms::classes(&draft, tables, &mut problems);
    Problems::check(problems)?;
    draft.config.engine.rooms = classes;
    Ok(draft.config)
}

impl Draft {
    /// Sets `key`, or says why not.
    pub(super) fn set(&mut self, key: &str, raw: &Raw, origin: Origin) -> Option<Problem> {
        let Some(setting) = Setting::find(key) else {
            let keys: Vec<String> = SETTINGS.iter().map(Setting::key).collect();
            let text = match key {
                ROOMS => format!("{ROOMS} can be set in a file only, as tables [[{ROOMS}]]"),
                _ => unknown(key, &format!("key {}", quoted(key)), keys.iter().map(String::as_str)),
            };
            return Some(Problem { origin, text });
        };
        let result = (setting.set)(&mut self.config, raw);
        let problem = match result {
            Ok(()) => {
                self.refused.remove(key);
                None
            }
            Err(refused) => {
                self.refused.insert(key.to_owned());
                Some(Problem { origin: origin.clone(), text: self.refusal(key, setting, raw, &refused) })
            }
        };
        self.origins.insert(key.to_owned(), origin);
        problem
    }

    fn set_variable(&mut self, name: &str, value: &OsString) -> Option<Problem> {
        let origin = Origin::Variable(name.to_owned());
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
            let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
            let names = names.iter().map(String::as_str).chain([FILE_VARIABLE]);
            return Some(Problem { origin, text: unknown(name, "variable", names) });
        };
        let raw = match value.to_str() {
            Some(text) => Raw::Loose(text.to_owned()),
            None => Raw::Other("not UTF-8".to_owned()),
        };
        self.set(&setting.key(), &raw, origin)
    }

    fn refusal(&self, key: &str, setting: &Setting, raw: &Raw, refused: &Refused) -> String {
        let kind = (setting.describe)();
        let actual = match &refused.entries {
            _ if kind.hidden() => "is not shown here".to_owned(),
            Some(entries) => format!("has {entries}"),
            None => format!("is {}", raw.shown()),
        };
        let bare = raw.whole().or_else(|| raw.text()?.parse().ok()).filter(|_| kind.has_unit());
        let unit = bare.map(|number| format!("; the unit is missing: \"{number}s\"?")).unwrap_or_default();
        format!("{} {actual}; allowed: {}{unit}", self.name(key), kind.allowed())
    }

    /// How a problem calls the setting `key`.
    pub(super) fn name(&self, key: &str) -> String {
        match (&self.pattern, key.strip_prefix("room.")) {
            (Some(pattern), Some(field)) => format!("{field} of the rooms {pattern:?}"),
            _ => key.to_owned(),
        }
    }
}

/// What to say about a name that is none of `known`; `what` it names.
pub(super) fn unknown<'a>(name: &str, what: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(known) => format!("unknown {what}; did you mean {known:?}?"),
        None => format!("unknown {what}; `shardcast print-config` lists all"),
    }
}
