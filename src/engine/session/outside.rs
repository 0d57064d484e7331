//! What reaches sessions from outside their connection: other requests of their clients, and the server's own API.

use std::sync::Arc;

use uuid::Uuid;

use super::super::connection::{Flags, State};
use super::super::directory::Room;
use super::super::feed::Form;
use super::super::membership::Close;
use super::super::metrics::Counter;
use super::super::position::Start;
use super::super::shard::Shard;
use super::super::socket::Socket;
use super::subscribing::Wish;
use super::{Moves, Origin, Phase};
use crate::protocol::centrifuge::code::Unsubscribe;

/// What a request of a session's client shows: see [`super::Session::token`].
pub(crate) struct SessionKey {
    pub(crate) shard: usize,
    pub(crate) number: u32,
    pub(crate) serial: u32,
    pub(crate) secret: Uuid,
}

impl std::fmt::Debug for SessionKey {
    /// Nothing of the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey").field("shard", &self.shard).field("number", &self.number).finish_non_exhaustive()
    }
}

impl SessionKey {
    /// `None`: no session has ever been called that.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let shard = usize::from_str_radix(parts.next()?, 16).ok()?;
        let number = u32::from_str_radix(parts.next()?, 16).ok()?;
        let serial = u32::from_str_radix(parts.next()?, 16).ok()?;
        let secret = Uuid::try_parse(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { shard, number, serial, secret })
    }
}

/// Which sessions are meant: those that fit everything that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The user's id.
    pub user: Option<Arc<str>>,
    /// The client's id, a UUID.
    pub client: Option<String>,
    /// The secret by which a stream's other requests find its session, as its client was told it.
    pub session: Option<String>,
    /// Not these clients.
    pub spared: Vec<String>,
}

/// What is to be done with them.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// End the connection.
    Disconnect { code: u16, reason: String },
    /// Out of a room.
    Unsubscribe { room: Arc<Room> },
    /// Into a room.
    Subscribe { room: Arc<Room>, start: Start },
}

impl<S: Socket> Shard<S> {
    /// What a session's client says by a request of its own. Whether there is such a session.
    pub(in crate::engine) fn emulate(&mut self, session: &SessionKey, message: &[u8]) -> bool {
        let SessionKey { number, serial, secret, .. } = *session;
        let Some(connection) = self.connections.get_mut(number) else { return false };
        if connection.serial != serial || connection.is_ending() {
            return false;
        }
        let session = connection.extra.as_ref().and_then(|extra| extra.session.as_deref());
        if session.is_none_or(|session| session.secret != secret) {
            return false;
        }
        connection.heard_s = self.now.seconds();
        self.counts.add(Counter::MessagesReceived, 1);
        self.hear(number, message);
        true
    }

    /// Does something with every session that is meant; with how many. O(connections of the shard).
    pub(in crate::engine) fn act(&mut self, target: &Target, act: &Act) -> usize {
        let mut meant = Vec::new();
        for number in 0..self.connections.numbers_end() {
            let Some(connection) = self.connections.get(number) else { continue };
            if !connection.flags.has(Flags::SESSION) || connection.state != State::Open {
                continue;
            }
            let session = connection.extra.as_ref().and_then(|extra| extra.session.as_deref());
            if session.is_some_and(|it| it.phase == Phase::Connected && target.means(it)) {
                meant.push(number);
            }
        }
        for number in &meant {
            self.act_on(*number, act);
        }
        meant.len()
    }

    fn act_on(&mut self, number: u32, act: &Act) {
        match act {
            Act::Disconnect { code, reason } => {
                let close = Close { code: *code, reason: reason.clone(), counter: Counter::ClosedByServer };
                self.close(number, &close);
            }
            Act::Unsubscribe { room } => {
                if let Some(subscription) = self.subscription_to(number, room.name.as_str()) {
                    self.unsubscribe(subscription, Unsubscribe::SERVER);
                }
            }
            Act::Subscribe { room, start } => {
                if self.subscription_to(number, room.name.as_str()).is_some() {
                    return;
                }
                let Ok(room) = self.directory.join(&room.name) else { return };
                let (origin, start, recovers) = (Origin::Server, *start, *start != Start::Live);
                let (rejects_lost, moves, form) = (false, Moves::Unasked, Form::Value);
                let wish = Wish { origin, command: 0, start, recovers, rejects_lost, moves, form };
                self.add_subscription(number, &room, wish);
            }
        }
    }
}

impl Target {
    fn means(&self, session: &super::Session) -> bool {
        let client = session.client.as_hyphenated().to_string();
        self.user.as_ref().is_none_or(|user| *user == session.identity.user)
            && self.client.as_ref().is_none_or(|wanted| *wanted == client)
            && self.session.as_ref().is_none_or(|it| SessionKey::read(it).is_some_and(|it| it.secret == session.secret))
            && !self.spared.contains(&client)
    }
}
