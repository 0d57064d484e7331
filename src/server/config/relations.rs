//! What must hold between settings.

use shardcast::engine::settings::PresenceEvents;

use super::Config;
use super::load::Draft;
use super::problem::{Origin, Problem};
use super::table::Setting;

/// A bound of one setting by another.
pub(super) struct Relation {
    /// The key that is bounded.
    pub(super) key: &'static str,
    /// How.
    pub(super) must: &'static str,
    /// The key that bounds it.
    pub(super) bound: &'static str,
    holds: fn(&Config) -> bool,
}

const AT_LEAST: &str = "at least";
const MORE_THAN: &str = "more than";

/// All relations.
pub(super) const RELATIONS: &[Relation] = &[
    // A connection has to be pinged before it may be given up.
    Relation {
        key: "heartbeat.silence_max",
        must: MORE_THAN,
        bound: "heartbeat.ping_interval",
        holds: |config| config.engine.heartbeat.silence_max > config.engine.heartbeat.ping_interval,
    },
    // The longest message may come in fragments.
    Relation {
        key: "limits.unfinished_bytes_max",
        must: AT_LEAST,
        bound: "limits.message_bytes_max",
        holds: |config| config.engine.limits.unfinished_bytes_max >= config.engine.limits.message_bytes_max,
    },
    // A member that keeps up must be able to get the longest message.
    Relation {
        key: "room.window_bytes_max",
        must: AT_LEAST,
        bound: "limits.message_bytes_max",
        holds: |config| config.engine.room.window_bytes_max >= config.engine.limits.message_bytes_max,
    },
    // Else publishers would wait before a member can lag by a whole window, and the lag policy would never act.
    Relation {
        key: "limits.backlog_bytes_max",
        must: AT_LEAST,
        bound: "room.window_bytes_max",
        holds: |config| config.engine.limits.backlog_bytes_max >= config.engine.room.window_bytes_max,
    },
    // What is gathered must not be too old when it is sent.
    Relation {
        key: "room.window_age_max",
        must: MORE_THAN,
        bound: "room.coalesce",
        holds: |config| config.engine.room.window_age_max > config.engine.room.coalesce,
    },
    // Who is not known cannot be told to have come.
    Relation {
        key: "room.presence_events",
        must: "\"off\" without",
        bound: "room.presence",
        holds: |config| {
            config.engine.room.has_presence_events() == (config.engine.room.presence_events == PresenceEvents::On)
        },
    },
];

/// The relations that do not hold in `draft`, of those with a key that is `concerned`.
pub(super) fn check(draft: &Draft, concerned: impl Fn(&str) -> bool) -> Vec<Problem> {
    RELATIONS
        .iter()
        .filter(|relation| concerned(relation.key) || concerned(relation.bound))
        .filter(|relation| !draft.refused.contains(relation.key) && !draft.refused.contains(relation.bound))
        .filter(|relation| !(relation.holds)(&draft.config))
        .map(|relation| problem(relation, draft))
        .collect()
}

/// Reported where the later of the two was set.
fn problem(relation: &Relation, draft: &Draft) -> Problem {
    let (origin, bound_origin) = (origin(draft, relation.key), origin(draft, relation.bound));
    let text = format!(
        "{} is {}; must be {} {}, which is {} ({})",
        draft.name(relation.key),
        shown(draft, relation.key),
        relation.must,
        draft.name(relation.bound),
        shown(draft, relation.bound),
        if bound_origin > origin { "set here".to_owned() } else { bound_origin.to_string() },
    );
    Problem { origin: origin.max(bound_origin), text }
}

fn origin(draft: &Draft, key: &str) -> Origin {
    draft.origins.get(key).cloned().unwrap_or(Origin::Default)
}

fn shown(draft: &Draft, key: &str) -> String {
    Setting::find(key).and_then(|setting| (setting.show)(&draft.config)).unwrap_or_default()
}
