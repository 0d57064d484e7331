//! What the server's API does to sessions.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::world::World;
use super::visitor::Visitor;
use crate::engine::command::Command;
use crate::engine::directory::Room;
use crate::engine::position::Start;
use crate::engine::session::{Act, Target};

/// An act that not every shard has done yet.
pub(super) struct Acting {
    target: Target,
    deed: Deed,
    /// Held until all have.
    room: Option<Arc<Room>>,
    waiting: Vec<oneshot::Receiver<usize>>,
}

/// What an act is to those whom it concerns.
#[derive(Clone, Copy)]
enum Deed {
    Ends(u16),
    Moves(usize),
}

impl World {
    /// The API ends sessions, or puts them into a room or out of one.
    pub(in super::super) fn api_acts(&mut self) {
        let target = self.choose_target();
        let name = self.random.below(self.names.len());
        let (act, deed, room) = match self.random.below(5) {
            0 => {
                let code = self.random.pick(&[3503, 4000, 4501]);
                (Act::Disconnect { code, reason: "the API".to_owned() }, Deed::Ends(code), None)
            }
            1 | 2 => {
                let Some(room) = self.directory.get(&self.names[name]) else { return };
                (Act::Unsubscribe { room }, Deed::Moves(name), None)
            }
            _ => {
                let start = match self.choose_start(name) {
                    (Start::After(position), false) => Start::After(position),
                    _ => Start::Live,
                };
                let Ok(room) = self.directory.hold(&self.names[name]) else { return };
                (Act::Subscribe { room: Arc::clone(&room), start }, Deed::Moves(name), Some(room))
            }
        };
        let shared = Arc::new(target.clone());
        let mut waiting = Vec::new();
        for node in &self.nodes {
            // One whose inbox is full is left out: as if the API had been stopped between two shards.
            let Some(slot) = node.sender.try_reserve(0) else { continue };
            let (reply, meant) = oneshot::channel();
            let command = Command::Act { target: Arc::clone(&shared), act: act.clone(), reply };
            assert!(slot.send(command).is_ok(), "the shard has not ended");
            waiting.push(meant);
        }
        let acting = Acting { target, deed, room, waiting };
        self.crowd.visitors.iter_mut().for_each(|visitor| acting.announce(visitor));
        self.crowd.acting.push(acting);
    }

    fn choose_target(&mut self) -> Target {
        let clients: Vec<&String> = self.crowd.visitors.iter().filter_map(|visitor| visitor.client.as_ref()).collect();
        let some_client = |random: &mut super::Random| clients.get(random.below(clients.len())).map(|it| (*it).clone());
        match self.random.below(3) {
            0 => Target { user: Some(self.random.pick(&["", "ann", "bob"]).into()), ..Target::default() },
            1 => {
                let spared = some_client(&mut self.random).into_iter().collect();
                Target { user: Some("eve".into()), spared, ..Target::default() }
            }
            _ => {
                let nobody = "00000000-0000-0000-0000-000000000000".to_owned();
                let client = some_client(&mut self.random).or(Some(nobody));
                Target { client, ..Target::default() }
            }
        }
    }

    /// Whoever comes may be meant by what is under way.
    pub(super) fn announce(&mut self, number: usize) {
        for acting in &self.crowd.acting {
            acting.announce(&mut self.crowd.visitors[number]);
        }
    }

    /// Takes note of what has been done.
    pub(in super::super) fn take_deeds(&mut self) {
        let directory = &self.directory;
        self.crowd.acting.retain_mut(|acting| {
            acting.waiting.retain_mut(|meant| meant.try_recv().is_err());
            if !acting.waiting.is_empty() {
                return true;
            }
            if let Some(room) = acting.room.take() {
                directory.release(&room);
            }
            false
        });
    }
}

impl Acting {
    /// Tells one whom this may concern what it has to put up with.
    fn announce(&self, visitor: &mut Visitor) {
        let Target { user, client, .. } = &self.target;
        let may_be_meant = user.as_ref().is_none_or(|user| **user == *visitor.who.user)
            && client.as_ref().is_none_or(|client| visitor.client.as_ref().is_none_or(|own| own == client))
            && !visitor.client.as_ref().is_some_and(|own| self.target.spared.contains(own));
        if may_be_meant {
            match self.deed {
                Deed::Ends(code) => drop(visitor.dues.insert(code)),
                Deed::Moves(room) => visitor.standings[room].is_disturbed = true,
            }
        }
    }
}
