//! Which rooms there are: name to room, for whoever has only a name.
//!
//! A room exists while somebody holds it: each member's subscription, its home while it keeps something, and each
//! publication on its way there. It is
//! consulted when a connection joins or leaves and when something is published by name, never for a delivery. No guard
//! of
//! the map leaves this file.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dashmap::{DashMap, Entry};

use super::room::RoomName;
use super::settings::{RoomSettings, Settings};

/// A room, as everybody who deals with it sees it.
#[derive(Debug)]
pub(crate) struct Room {
    /// Never used twice while the engine runs.
    pub(crate) id: u64,
    pub(crate) name: RoomName,
    /// The shard that gives its publications their order.
    pub(crate) home: usize,
    /// Members on all shards.
    members: AtomicU32,
    /// Which of the settings' classes it belongs to; `None`: to none.
    class: Option<usize>,
}

impl Room {
    pub(crate) fn members(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }

    pub(crate) fn settings<'s>(&self, settings: &'s Settings) -> &'s RoomSettings {
        self.class.map_or(&settings.room, |class| &settings.rooms[class].settings)
    }
}

/// As many rooms exist as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rooms: {actual}, limits.rooms_max is {limit}")]
pub struct RoomsFull {
    /// Rooms there are.
    pub actual: usize,
    /// Rooms there may be.
    pub limit: usize,
}

#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    holders: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Directory {
    rooms: DashMap<RoomName, Held>,
    /// Counted apart: `DashMap::len` locks every part of the map.
    count: AtomicU64,
    next_id: AtomicU64,
    settings: Arc<Settings>,
    shards: usize,
}

impl Directory {
    pub(crate) fn new(settings: Arc<Settings>, shards: usize) -> Arc<Self> {
        Arc::new(Self { rooms: DashMap::new(), count: AtomicU64::new(0), next_id: AtomicU64::new(1), settings, shards })
    }

    /// How many rooms there are.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// The room called `name`, new if there is none, with one member more.
    pub(crate) fn join(&self, name: &RoomName) -> Result<Arc<Room>, RoomsFull> {
        let room = self.hold(name)?;
        room.members.fetch_add(1, Ordering::Relaxed);
        Ok(room)
    }

    /// Takes back one [`Directory::join`].
    pub(crate) fn leave(&self, room: &Room) {
        room.members.fetch_sub(1, Ordering::Relaxed);
        self.release(room);
    }

    /// The room called `name`, if there is one.
    pub(crate) fn get(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.rooms.get(name).map(|held| Arc::clone(&held.room))
    }

    /// All rooms, with their members.
    pub(crate) fn list(&self) -> Vec<(RoomName, u32)> {
        self.rooms.iter().map(|held| (held.key().clone(), held.room.members())).collect()
    }

    /// One holder more, if somebody still holds the room.
    pub(crate) fn hold_more(&self, room: &Room) -> Option<()> {
        let mut held = self.rooms.get_mut(&room.name).filter(|held| held.room.id == room.id)?;
        held.holders += 1;
        Some(())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The room called `name`, new if there is none, with one holder more.
    pub(crate) fn hold(&self, name: &RoomName) -> Result<Arc<Room>, RoomsFull> {
        match self.rooms.entry(name.clone()) {
            Entry::Occupied(mut entry) => {
                let held = entry.get_mut();
                held.holders += 1;
                Ok(Arc::clone(&held.room))
            }
            Entry::Vacant(entry) => {
                let (actual, limit) = (self.len(), self.settings.limits.rooms_max);
                if actual >= limit {
                    return Err(RoomsFull { actual, limit });
                }
                self.count.fetch_add(1, Ordering::Relaxed);
                let room = Arc::new(self.new_room(name));
                entry.insert(Held { room: Arc::clone(&room), holders: 1 });
                Ok(room)
            }
        }
    }

    fn new_room(&self, name: &RoomName) -> Room {
        #[cfg(not(test))]
        let hash = self.rooms.hasher().hash_one(name);
        // The simulation's homes are decided by its seed.
        #[cfg(test)]
        let hash = rustc_hash::FxBuildHasher.hash_one(name);
        let class = self.settings.class_of(name.as_str());
        Room {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            name: name.clone(),
            home: usize::try_from((u128::from(hash) * self.shards as u128) >> 64).unwrap_or(0),
            members: AtomicU32::new(0),
            class,
        }
    }

    /// Takes back one [`Directory::hold`]. The last one takes the room.
    pub(crate) fn release(&self, room: &Room) {
        let removed = self.rooms.remove_if_mut(&room.name, |_, held| {
            debug_assert_eq!(held.room.id, room.id, "a held room is not replaced");
            held.holders -= 1;
            held.holders == 0
        });
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives memory back that an earlier, larger number of rooms left behind. Rehashes; from time to time only.
    pub(crate) fn shrink(&self) {
        if self.rooms.capacity() > 1_024 && self.rooms.capacity() / 8 > self.len() {
            self.rooms.shrink_to_fit();
        }
    }
}
