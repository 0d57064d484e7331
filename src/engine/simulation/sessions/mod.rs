//! Sessions in the world: clients that are in many rooms at once, in the words of the centrifuge protocol, among raw
//! members of the same rooms.
//!
//! ```text
//! acts      what they do, and what the server's API does to them
//! commands  what they ask for           visitor  who they are, and what they said
//! stream    bytes to objects            hears    what they must never hear
//! stay      a time in a room            answers  what they may be answered
//! judge     what must hold of all of it together, of positions and of publications
//! rest      what must hold of the shards when nothing moves
//! ```

mod acts;
mod answers;
mod commands;
mod hears;
pub(super) mod judge;
mod outside;
mod rest;
mod stay;
pub(super) mod stream;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use super::random::Random;
use super::world::World;
use crate::engine::clock::Nanos;
use crate::engine::room::RoomName;
use crate::engine::settings::{
    Deflate, DeflateMode, Delta, Presence, PresenceEvents, Recovery, SessionSettings, Settings,
};
use outside::Acting;
use visitor::Rules;
pub(super) use visitor::Visitor;

/// Everybody who came as a session; nobody, unless it is open.
#[derive(Default)]
pub(super) struct Crowd {
    /// `None`: raw members only.
    rules: Option<Arc<Rules>>,
    pub(super) visitors: Vec<Visitor>,
    visitors_max: usize,
    acting: Vec<Acting>,
}

impl World {
    /// From now on, sessions come.
    pub(super) fn open_to_sessions(&mut self) {
        let settings = Arc::clone(&self.settings);
        let names: Vec<String> = self.names.iter().map(|name| name.as_str().to_owned()).collect();
        let number_of = |name: &RoomName| names.iter().position(|it| it == name.as_str()).expect("one of ours");
        let rules = Rules {
            rooms: settings.rooms.iter().map(|class| class.settings.clone()).collect(),
            entrance: settings.sessions.rooms.iter().map(number_of).collect(),
            unfinished_scarce: settings.limits.unfinished_bytes_max < self.nodes.len() << 20,
            names,
            settings,
        };
        self.crowd.visitors_max = self.random.pick(&[4, 15, 40]);
        self.crowd.rules = Some(Arc::new(rules));
    }
}

impl Crowd {
    pub(super) const fn is_open(&self) -> bool {
        self.rules.is_some()
    }

    /// When a session's publication was said, or later.
    pub(super) fn said_at(&self, by: u32, number: u32) -> Option<Nanos> {
        let (visitor, room) = Visitor::of_publisher(by)?;
        Some(self.visitors[visitor].said_at[room][number as usize])
    }
}

/// What sessions make of a world's settings: presence, deltas, sessions' own bounds, compression.
pub(super) fn furnish(settings: &mut Settings, random: &mut Random) {
    for class in &mut settings.rooms {
        let room = &mut class.settings;
        if !random.one_in(3) {
            room.presence = Presence::Members;
            room.presence_events = random.pick(&[PresenceEvents::On, PresenceEvents::On, PresenceEvents::Off]);
            room.presence_members_max = random.pick(&[2, 1_000, 1_000]);
            room.presence_events_per_second_max = random.pick(&[2, 1_000_000, 1_000_000]);
            room.presence_leave_grace = Duration::from_millis(random.pick(&[0, 200, 2_000]));
        }
        if random.one_in(2) {
            room.delta = Delta::Fossil;
        }
        if random.one_in(8) {
            room.recovery = Recovery::Cache;
        }
    }
    settings.sessions = SessionSettings {
        subscriptions_max: 128,
        connect_time_max: Duration::from_secs(3),
        unsent_bytes_max: random.pick(&[400, 4_000, 1 << 20, 1 << 20]),
        rooms: if random.one_in(4) { vec![RoomName::new("0-entrance").expect("a good name")] } else { Vec::new() },
    };
    if random.one_in(3) {
        let threshold_bytes = random.pick(&[0, 60, 200]);
        settings.deflate = Deflate { mode: DeflateMode::On, threshold_bytes, ..Deflate::default() };
    }
}
