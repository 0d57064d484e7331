//! `[[rooms]]`: what is not set in one is as in `[room]`.

use std::collections::BTreeSet;

use shardcast::engine::room::RoomName;
use shardcast::engine::settings::{RoomClass, matches};

use super::file::{Entry, ROOMS, RoomsTable};
use super::load::{Draft, unknown};
use super::problem::{Origin, Problem};
use super::raw::quoted;
use super::relations;
use super::table::SETTINGS;

/// The key that says which rooms a table is for.
pub(super) const PATTERN: &str = "pattern";
/// The section that they inherit from.
const SECTION: &str = "room";

/// The classes that `tables` describe, on top of the settings of `base`; what is wrong goes to `problems`.
pub(super) fn classes(base: &Draft, tables: Vec<RoomsTable>, problems: &mut Vec<Problem>) -> Vec<RoomClass> {
    let mut known: Vec<(String, Origin)> = Vec::new();
    let mut classes = Vec::new();
    for table in tables {
        let pattern = pattern(&table, &known, problems);
        let mut draft = base.clone();
        draft.pattern = Some(pattern.clone().unwrap_or_default());
        let mut keys_set = BTreeSet::new();
        for Entry { key, raw, origin } in table.entries.into_iter().filter(|entry| entry.key != PATTERN) {
            if !fields().any(|field| field == key) {
                let text = format!(
                    "in [[{ROOMS}]]: {}",
                    unknown(&key, &format!("key {}", quoted(&key)), fields().chain([PATTERN]))
                );
                problems.push(Problem { origin, text });
                continue;
            }
            let key = format!("{SECTION}.{key}");
            problems.extend(draft.set(&key, &raw, origin));
            keys_set.insert(key);
        }
        problems.extend(relations::check(&draft, |key| keys_set.contains(key)));
        if let Some(pattern) = pattern {
            known.push((pattern.clone(), table.origin));
            classes.push(RoomClass { pattern, settings: draft.config.engine.room });
        }
    }
    classes
}

fn fields() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter(|setting| setting.section == SECTION).map(|setting| setting.field)
}

/// The pattern of `table`, unless it is missing, no room can match it, or every room that does is taken by a `known`
/// one.
fn pattern(table: &RoomsTable, known: &[(String, Origin)], problems: &mut Vec<Problem>) -> Option<String> {
    const ALLOWED: &str = r#"the name of a room, in which each * stands for any number of bytes, such as "prices.*""#;
    let Some(entry) = table.entries.iter().find(|entry| entry.key == PATTERN) else {
        let text = format!("[[{ROOMS}]] has no {PATTERN}; it has to be {ALLOWED}");
        problems.push(Problem { origin: table.origin.clone(), text });
        return None;
    };
    let Some(pattern) = entry.raw.text().filter(|pattern| matches_some_name(pattern)) else {
        let text = format!("{PATTERN} is {}; allowed: {ALLOWED}", entry.raw.shown());
        problems.push(Problem { origin: entry.origin.clone(), text });
        return None;
    };
    // A pattern's own * is matched by a * only, so a pattern that matches another as a name matches all that it does.
    if let Some((earlier, origin)) = known.iter().find(|(earlier, _)| matches(earlier, pattern)) {
        let text =
            format!("{PATTERN} is {pattern:?}; it never decides, {earlier:?} ({origin}) matches the same rooms first");
        problems.push(Problem { origin: entry.origin.clone(), text });
    }
    Some(pattern.to_owned())
}

/// Whether some room's name matches: what is left without each `*` is one, or there is nothing but `*`.
fn matches_some_name(pattern: &str) -> bool {
    let rest = pattern.replace('*', "");
    RoomName::new(&rest).is_ok() || rest.is_empty() && !pattern.is_empty()
}
