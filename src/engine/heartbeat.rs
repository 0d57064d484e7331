//! Who is still there: one wheel of seconds for all connections of a shard.
//!
//! Each connection stands in the slot of the second in which it is to be looked at, and notes that second itself; an
//! entry whose connection has gone, or notes another second, is stale. No timer per connection: four bytes.

use std::time::Duration;

use super::clock::Nanos;
use super::connection::{Connection, Flags, State};
use super::membership::Close;
use super::metrics::Counter;
use super::ring::Warmth;
use super::session::Session;
use super::shard::Shard;
use super::socket::Socket;
use crate::protocol::centrifuge::code::Disconnect;
use crate::protocol::centrifuge::reply;
use crate::protocol::{event_stream, frame};

/// Seconds that the wheel reaches ahead; who is due later is looked at on the way.
const SLOTS: u32 = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<u32>>,
    /// The second that was looked at last.
    second: u32,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), second: 0 }
    }

    /// When to look next.
    pub(crate) fn next_tick(&self) -> Nanos {
        Nanos((u64::from(self.second) + 1) * 1_000_000_000)
    }

    /// Puts a connection down for `due_s`, or as near to it as the wheel reaches; returns for when.
    fn put(&mut self, number: u32, due_s: u32) -> u32 {
        let due_s = due_s.clamp(self.second + 1, self.second + SLOTS - 1);
        self.slots[(due_s % SLOTS) as usize].push(number);
        due_s
    }

    /// Forgets everybody: nobody is left. Entries of connections that have gone would stay until their second comes.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = Vec::new());
    }

    /// The connections due in the next second up to `now_s`, if it has come.
    fn take(&mut self, now_s: u32) -> Option<(u32, Vec<u32>)> {
        if self.second >= now_s {
            return None;
        }
        self.second += 1;
        Some((self.second, std::mem::take(&mut self.slots[(self.second % SLOTS) as usize])))
    }
}

/// What the heartbeat finds.
enum Verdict {
    LookAgain(u32),
    Ping,
    /// An HTTP stream: a comment, which nobody answers.
    Comment,
    Disconnect(Disconnect),
    /// It has begun a message and does not finish it.
    Overdue,
    Gone(Counter),
}

/// Whole seconds, at least one.
fn seconds(time: Duration) -> u32 {
    Nanos(0).after(time).seconds().max(1)
}

impl<S: Socket> Shard<S> {
    /// A new connection: puts it down for its first look.
    pub(crate) fn schedule_heartbeat(&mut self, number: u32) {
        let ping_s = self.ping_interval_s(self.connections.get(number).map_or(0, |it| it.serial));
        self.schedule(number, self.now.seconds().saturating_add(ping_s));
    }

    /// A closing connection: puts it down to be aborted.
    pub(crate) fn schedule_abort(&mut self, number: u32) {
        let now_s = self.now.seconds();
        if let Some(connection) = self.connections.get_mut(number) {
            connection.heard_s = now_s;
        }
        self.schedule(number, self.aborted_at_s(now_s));
    }

    /// When a connection is aborted that has been ending since `began_s`.
    fn aborted_at_s(&self, began_s: u32) -> u32 {
        let close_time_s = Nanos(0).after(self.settings.limits.close_time_max).seconds();
        began_s.saturating_add(close_time_s).saturating_add(1)
    }

    fn schedule(&mut self, number: u32, due_s: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.due_s = self.wheel.put(number, due_s);
    }

    /// The interval of one connection: up to a fifth shorter than the setting, so that pings spread.
    fn ping_interval_s(&self, serial: u32) -> u32 {
        let interval_s = Nanos(0).after(self.settings.heartbeat.ping_interval).seconds().max(1);
        // Fibonacci hashing: consecutive serials land far apart.
        let spread = serial.wrapping_mul(2_654_435_769) >> 16;
        interval_s - spread % (interval_s / 5 + 1)
    }

    /// Looks at the connections that are due.
    pub(crate) fn heartbeat(&mut self) {
        while let Some((second, due)) = self.wheel.take(self.now.seconds()) {
            for number in due {
                match self.connections.get(number) {
                    Some(connection) if connection.due_s == second => {}
                    _ => continue,
                }
                let verdict = if self.is_overdue(number) { Verdict::Overdue } else { self.examine(number) };
                match verdict {
                    Verdict::Overdue => self.end_overdue(number),
                    Verdict::LookAgain(due_s) => self.schedule(number, due_s),
                    Verdict::Ping => self.ping(number),
                    Verdict::Comment => self.comment(number),
                    Verdict::Disconnect(why) => self.disconnect(number, why),
                    Verdict::Gone(counter) => self.abort(number, counter),
                }
            }
            self.leave_idle_rooms();
            self.cool(second);
        }
    }

    fn examine(&self, number: u32) -> Verdict {
        let Some(connection) = self.connections.get(number) else { return Verdict::Gone(Counter::ClosedSilent) };
        let now_s = self.now.seconds();
        if connection.is_ending() {
            // The wheel of a shard that slept for long comes too early.
            let at_s = self.aborted_at_s(connection.heard_s);
            return if now_s >= at_s { Verdict::Gone(Counter::Aborted) } else { Verdict::LookAgain(at_s) };
        }
        if connection.flags.has(Flags::SESSION) {
            return self.examine_session(connection);
        }
        if connection.flags.has(Flags::STREAM) {
            let due_s = connection.heard_s.saturating_add(self.ping_interval_s(connection.serial));
            // The wheel may have come too early; and nothing stands in front of the answer's head.
            let waits = now_s < due_s || connection.state == State::Joining;
            return if waits { Verdict::LookAgain(due_s.max(now_s.saturating_add(1))) } else { Verdict::Comment };
        }
        if connection.flags.has(Flags::QUEUED) {
            // It has said something; it is this shard that has not listened, because publishers have to wait.
            return Verdict::LookAgain(now_s.saturating_add(1));
        }
        if !connection.flags.has(Flags::PINGED) {
            // Nobody is gone who was not asked, even if this shard itself stood still for longer than anybody may be
            // silent.
            let ping_s = connection.heard_s.saturating_add(self.ping_interval_s(connection.serial));
            return if now_s >= ping_s { Verdict::Ping } else { Verdict::LookAgain(ping_s) };
        }
        let gone_s = connection.heard_s.saturating_add(self.silence_max_s());
        if now_s >= gone_s { Verdict::Gone(Counter::ClosedSilent) } else { Verdict::LookAgain(gone_s) }
    }

    /// Whether a connection holds this shard's memory with a message that it has begun long ago. What stands in the
    /// queue to be read may finish it.
    fn is_overdue(&self, number: u32) -> bool {
        let waits = |it: &&Connection<S>| !it.is_ending() && !it.flags.has(Flags::QUEUED);
        let extra = self.connections.get(number).filter(waits).and_then(|connection| connection.extra.as_ref());
        let Some(unfinished) = extra.and_then(|extra| extra.unfinished.as_ref()) else { return false };
        let time_max_s = seconds(self.settings.limits.message_time_max);
        unfinished.since_s > 0 && self.now.seconds() >= unfinished.since_s.saturating_add(time_max_s)
    }

    fn end_overdue(&mut self, number: u32) {
        let limit = self.settings.limits.message_time_max;
        let reason = format!("a message unfinished for longer than limits.message_time_max, {limit:?}");
        self.end(number, Close { code: 1008, reason, counter: Counter::ClosedUnfinished });
    }

    fn silence_max_s(&self) -> u32 {
        Nanos(0).after(self.settings.heartbeat.silence_max).seconds().max(1)
    }

    fn examine_session(&self, connection: &Connection<S>) -> Verdict {
        let now_s = self.now.seconds();
        let session = connection.extra.as_ref().and_then(|extra| extra.session.as_deref());
        if session.is_some_and(Session::is_new) {
            let stale_s = connection.heard_s.saturating_add(seconds(self.settings.sessions.connect_time_max));
            return if now_s >= stale_s { Verdict::Disconnect(Disconnect::STALE) } else { Verdict::LookAgain(stale_s) };
        }
        // One that waits for the rooms that it is in from the beginning has not been promised pings.
        let Some(session) = session.filter(|session| session.is_connected()) else {
            return Verdict::LookAgain(now_s.saturating_add(1));
        };
        let look_s = match session.unanswered_since_s {
            None => session.next_ping_s,
            Some(since_s) if now_s < since_s.saturating_add(self.answer_s()) => {
                session.next_ping_s.min(since_s.saturating_add(self.answer_s()))
            }
            // It has said something; it is this shard that has not listened.
            Some(_) if connection.flags.has(Flags::QUEUED) => now_s.saturating_add(1),
            Some(_) => return Verdict::Disconnect(Disconnect::NO_PONG),
        };
        if now_s >= session.next_ping_s { Verdict::Ping } else { Verdict::LookAgain(look_s) }
    }

    /// How long a session may take to answer a ping, seconds.
    fn answer_s(&self) -> u32 {
        self.silence_max_s().saturating_sub(seconds(self.settings.heartbeat.ping_interval)).max(1)
    }

    /// A new session: puts it down for the time by which it must have said `connect`.
    pub(crate) fn schedule_session(&mut self, number: u32) {
        let at = self.now.seconds().saturating_add(seconds(self.settings.sessions.connect_time_max));
        self.schedule(number, at);
    }

    /// A session has said `connect`: puts it down for its first ping. Those who come together are not pinged together.
    pub(crate) fn schedule_first_ping(&mut self, number: u32) {
        let (now_s, interval_s) = (self.now.seconds(), seconds(self.settings.heartbeat.ping_interval));
        let serial = self.connections.get(number).map_or(0, |connection| connection.serial);
        let Some(session) = self.session(number) else { return };
        // Fibonacci hashing, as below.
        let earlier_s = (serial.wrapping_mul(2_654_435_769) >> 16) % (interval_s / 2 + 1);
        session.next_ping_s = now_s.saturating_add(interval_s - earlier_s);
        let at = session.next_ping_s;
        self.schedule(number, at);
    }

    /// Pings a session as its protocol does: often enough whatever else goes on, for its client counts on it.
    fn ping_session(&mut self, number: u32) {
        let (now_s, interval_s) = (self.now.seconds(), seconds(self.settings.heartbeat.ping_interval));
        let answer_s = self.answer_s();
        let Some(session) = self.session(number) else { return };
        session.next_ping_s = now_s.saturating_add(interval_s);
        session.pings_unanswered = session.pings_unanswered.saturating_add(1);
        let since_s = *session.unanswered_since_s.get_or_insert(now_s);
        let at = session.next_ping_s.min(since_s.saturating_add(answer_s));
        self.say(number, |out| out.extend_from_slice(reply::PING));
        self.send_replies(number);
        self.schedule(number, at);
    }

    /// Keeps the middle boxes of an HTTP stream awake.
    fn comment(&mut self, number: u32) {
        let interval_s = self.ping_interval_s(self.connections.get(number).map_or(0, |it| it.serial));
        self.schedule(number, self.now.seconds().saturating_add(interval_s));
        let now_s = self.now.seconds();
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.heard_s = now_s;
        if connection.flags.has(Flags::BLOCKED) {
            // Something is under way anyway.
            return;
        }
        connection.extra().direct.extend_from_slice(event_stream::COMMENT);
        self.serve(number);
    }

    fn ping(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else { return };
        if connection.flags.has(Flags::SESSION) {
            return self.ping_session(number);
        }
        connection.flags.set(Flags::PINGED);
        frame::encode_ping(&mut connection.extra().direct, &[]);
        let heard_s = connection.heard_s;
        let silence_max_s = self.silence_max_s();
        // A late ping leaves as much time for its answer as one in time.
        let answer_s = silence_max_s.saturating_sub(Nanos(0).after(self.settings.heartbeat.ping_interval).seconds());
        let asked_until_s = self.now.seconds().saturating_add(answer_s.max(1));
        self.schedule(number, heard_s.saturating_add(silence_max_s).max(asked_until_s));
        if !self.connections.get(number).is_some_and(|it| it.flags.has(Flags::BLOCKED)) {
            self.serve(number);
        }
    }

    /// Drops a connection, and whatever the kernel still holds for it.
    pub(crate) fn abort(&mut self, number: u32, counter: Counter) {
        if let Some(connection) = self.connections.get_mut(number) {
            connection.socket.abort();
            if connection.is_ending() {
                self.counts.add(Counter::Aborted, 1);
            }
        }
        self.gone(number, counter);
    }

    /// Gives memory back: of windows that nothing came into for a second, and of a directory that shrank.
    fn cool(&mut self, second: u32) {
        let mut warm = std::mem::take(&mut self.warm);
        warm.retain(|number| {
            self.trim(*number);
            let Some(room) = self.rooms.get_mut(*number) else { return false };
            if room.window.count() > 0 || room.warmth == Warmth::Touched {
                room.warmth = Warmth::Warm;
                return true;
            }
            room.window.shrink();
            room.warmth = Warmth::Cold;
            false
        });
        debug_assert!(self.warm.is_empty(), "trimming warms no room");
        self.warm = warm;
        if self.own_number == 0 && second.is_multiple_of(16) {
            self.directory.shrink();
        }
    }
}
