//! What must hold of sessions on the shards when nothing moves.

use std::collections::{BTreeMap, BTreeSet};

use super::super::socket::lock;
use super::super::world::World;
use super::acts::unrest;
use super::stay::Way;
use crate::engine::session::SubscriptionState;

/// A session that is in rooms.
#[derive(Default)]
struct There {
    user: String,
    rooms: BTreeSet<usize>,
}

impl World {
    /// What keeps the crowd from resting.
    pub(in super::super) fn crowd_unrest(&self) -> Option<String> {
        if !self.crowd.is_open() {
            return None;
        }
        if let Some(at) = self.nodes.iter().find_map(|node| node.shard.homes.next_leave()) {
            return Some(format!("a leave is held until {at:?}"));
        }
        let left = self.crowd.visitors.iter().find(|visitor| self.leaving && !lock(&visitor.wire).server_gone);
        let left = left.map(|visitor| format!("visitor {} has not been let go", visitor.who.id));
        left.or_else(|| self.crowd.visitors.iter().find_map(unrest))
    }

    /// Whoever is still there has everything, and was answered.
    pub(in super::super) fn check_crowd_at_rest(&mut self) {
        self.take_deeds();
        assert!(self.crowd.acting.is_empty(), "every act is answered");
        for visitor in &mut self.crowd.visitors {
            let stays = visitor.stays() && visitor.reads();
            for mut posted in visitor.posted.drain(..) {
                let heard = posted.try_recv().expect("every request is answered");
                assert!(heard || !stays, "visitor {} is there, and was not heard", visitor.who.id);
            }
            if stays && visitor.client.is_some() {
                visitor.check_answered();
            }
        }
        let there = self.check_subscriptions();
        for visitor in self.crowd.visitors.iter().filter(|visitor| visitor.stays() && visitor.reads()) {
            let Some(client) = &visitor.client else { continue };
            let rooms: BTreeSet<usize> =
                visitor.stays.iter().filter(|stay| !stay.is_over).map(|stay| stay.room).collect();
            let id = visitor.who.id;
            assert_eq!(
                there.get(client).map(|it| it.rooms.clone()).unwrap_or_default(),
                rooms,
                "the rooms of visitor {id}"
            );
        }
        self.check_presence(&there);
    }

    /// All sessions' subscriptions are as they must be. Who is in which rooms.
    fn check_subscriptions(&self) -> BTreeMap<String, There> {
        let mut there: BTreeMap<String, There> = BTreeMap::new();
        for node in &self.nodes {
            let shard = &node.shard;
            let mut count = 0;
            for number in 0..shard.subscriptions.numbers_end() {
                let Some(it) = shard.subscriptions.get(number) else { continue };
                count += 1;
                assert_ne!(it.state, SubscriptionState::Joining, "a subscription waits for ever");
                let room = shard.rooms.get(it.room).expect("a subscription has a room");
                let connection = shard.connections.get(it.connection).expect("a subscription has a connection");
                let session = connection.extra.as_ref().and_then(|extra| extra.session.as_deref());
                let session = session.expect("a subscription has a session");
                if connection.is_open_and_unblocked() {
                    assert_eq!(it.cursor, room.window.head(), "a subscription is behind although nothing moves");
                    assert!(!session.owes(), "something waits for a session that takes everything");
                    assert!(!connection.has_direct(), "something waits for a session that takes everything");
                }
                if !room.tells_moves() {
                    assert!(session.subscriptions.contains(&number), "a subscription is its session's");
                    let name = self.names.iter().position(|name| *name == room.room.name).expect("one of ours");
                    let it = there.entry(session.client.to_string()).or_default();
                    it.user = session.identity.user.to_string();
                    assert!(it.rooms.insert(name), "twice in a room");
                }
            }
            assert_eq!(count, shard.subscriptions.len(), "subscriptions are counted");
        }
        there
    }

    /// What homes and the directory say of who is there, and what was told of it, is what is so.
    fn check_presence(&self, there: &BTreeMap<String, There>) {
        for (number, name) in self.names.iter().enumerate() {
            let Some(room) = self.directory.get(name) else { continue };
            let settings = room.settings(&self.settings);
            let here = || there.iter().filter(|(_, it)| it.rooms.contains(&number));
            let sessions: BTreeSet<&str> = here().map(|(client, _)| client.as_str()).collect();
            let raw = self.nodes.iter().map(|node| {
                let connections = &node.shard.connections;
                let all = (0..connections.numbers_end()).filter_map(|number| connections.get(number));
                let rooms = &node.shard.rooms;
                let here =
                    all.filter(|it| it.is_member() && rooms.get(it.room).is_some_and(|it| it.room.id == room.id));
                here.count()
            });
            let members = sessions.len() + raw.sum::<usize>();
            assert_eq!(room.members() as usize, members, "members of room {number}, as the directory counts them");
            let Some(listed) = self.nodes[room.home].shard.homes.presence(room.id) else { continue };
            let listed: BTreeSet<&str> = listed.iter().map(|it| &*it.client).collect();
            assert!(listed.is_subset(&sessions), "room {number} lists {listed:?}, there are {sessions:?}");
            let all = settings.presence_members_max < 1_000 || listed.len() == sessions.len();
            assert!(all, "room {number} lists {listed:?}, there are {sessions:?}");
            let person = |(client, it): (&String, &There)| match &*it.user {
                "" => format!("client {client}"),
                user => format!("user {user}"),
            };
            self.check_moves(number, &here().map(person).collect());
        }
    }

    /// Who was last seen to come is there, who was last seen to leave is not.
    fn check_moves(&self, room: usize, persons: &BTreeSet<String>) {
        for visitor in self.crowd.visitors.iter().filter(|visitor| visitor.stays() && visitor.is_perfect()) {
            let here = visitor.stays.iter().filter(|stay| stay.room == room && !stay.is_over && stay.hears_all_moves);
            for (person, way) in here.flat_map(|stay| &stay.moves) {
                let is_there = persons.contains(person);
                assert_eq!(*way == Way::Came, is_there, "{person} was last seen by visitor {}", visitor.who.id);
            }
        }
    }
}
