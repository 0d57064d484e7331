//! Commands about a room that a session is about to enter: they wait until it is in, so that what a client says in one
//! breath is done in that order. So does everything behind a `connect` that waits for the server's rooms.
//!
//! A shard's first member of a room has to wait for the room's home. A publication that did not wait could reach the
//! home before the room is there, and would be accepted and lost.

use super::super::shard::Shard;
#[cfg(test)]
use super::super::simulation::Planted;
use super::super::socket::Socket;
use super::{Phase, Session, SubscriptionState};
use crate::protocol::centrifuge::Body;
use crate::protocol::centrifuge::code::Error;

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For `connect` to be answered.
    Connect,
    /// For a subscription to begin.
    Subscription(u32),
}

/// A command that waits.
#[derive(Debug)]
pub(super) struct Later {
    waiting: Waiting,
    line: Box<[u8]>,
}

impl<S: Socket> Shard<S> {
    /// What a command has to wait for, if there is anything. O(subscriptions of the session).
    pub(super) fn waits_for(&mut self, number: u32, body: &Body<'_>) -> Option<Waiting> {
        if matches!(self.session(number)?.phase, Phase::Connecting { .. }) {
            return (!matches!(body, Body::Connect(_) | Body::Pong)).then_some(Waiting::Connect);
        }
        let channel = match body {
            Body::Subscribe(subscribe) => &subscribe.channel,
            Body::History(history) => &history.channel,
            Body::Unsubscribe { channel }
            | Body::Publish { channel, .. }
            | Body::Presence { channel }
            | Body::PresenceStats { channel } => channel,
            _ => return None,
        };
        let subscription = self.subscription_to(number, channel)?;
        let joins = |subscription| self.subscriptions.get(subscription).map(|it| it.state);
        let waits = joins(subscription) == Some(SubscriptionState::Joining);
        #[cfg(test)]
        let waits = waits && self.planted != Planted::TooEarly;
        waits.then_some(Waiting::Subscription(subscription))
    }

    /// Keeps a command until what it waits for has come about. Whoever says more meanwhile than fits into a message is
    /// told to try again.
    pub(super) fn put_off(&mut self, number: u32, waiting: Waiting, line: &[u8]) -> Result<(), Error> {
        let bytes_max = self.settings.limits.message_bytes_max;
        let Some(session) = self.session(number) else { return Ok(()) };
        let held: usize = session.later.iter().map(|later| later.line.len() + size_of::<Later>()).sum();
        if held + line.len() > bytes_max {
            return Err(Error::TOO_MANY_REQUESTS);
        }
        session.later.push(Later { waiting, line: line.into() });
        Ok(())
    }

    /// What commands have waited for has come about, or will not: they are done.
    pub(super) fn hear_later(&mut self, number: u32, waiting: Waiting) {
        let Some(session) = self.session(number) else { return };
        for line in session.take_later(waiting) {
            self.hear(number, &line);
        }
    }
}

impl Session {
    fn take_later(&mut self, waiting: Waiting) -> Vec<Box<[u8]>> {
        if self.later.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.later);
        let (due, later) = all.into_iter().partition(|later| later.waiting == waiting);
        self.later = later;
        let due: Vec<Later> = due;
        due.into_iter().map(|later| later.line).collect()
    }
}
