//! A room's WebSocket over time: connect, and what each kind of end means.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::handshake::{Dialect, HandshakeError};
use super::link::{End, Link};
use super::message::one_line;
use super::resume::Start;
use super::target::{Target, TargetError};
use super::{ClientError, notice};

/// A connection that lasted for so long was a good one: the next failure is a first one.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// A server that drains is left by all at once; they come back spread over this time.
const DRAIN_SPREAD: Duration = Duration::from_secs(3);

/// Whether an end is followed by another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reconnect {
    /// Until it works.
    Always,
    /// Not at all.
    Never,
}

/// What an end means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The server has no more for us.
    Finished,
    /// The same again would end the same way.
    Refused,
    /// It may be better after a while.
    Later,
}

/// Connects to one room, again and again.
pub(super) struct Session {
    target: Target,
    path: String,
    dialect: Dialect,
    reconnect: Reconnect,
    backoff: Backoff,
    connected_at: Option<Instant>,
    outage: Outage,
    /// Waited before the next connection.
    delay: Duration,
}

/// What has been said about the connection; each outage is told once.
#[derive(PartialEq, Eq)]
enum Outage {
    /// Not yet connected, nothing said.
    Fresh,
    /// Connected.
    No,
    /// Told.
    Told,
}

impl Session {
    /// Of the room at `target`; does not connect yet.
    pub(super) fn new(target: Target, dialect: Dialect, reconnect: Reconnect) -> Result<Self, TargetError> {
        let path = target.socket_path()?.to_owned();
        let backoff = Backoff::new(Backoff::process_seed());
        let (connected_at, outage, delay) = (None, Outage::Fresh, Duration::ZERO);
        Ok(Self { target, path, dialect, reconnect, backoff, connected_at, outage, delay })
    }

    /// Connects at `start`, however often it takes. Safe to drop while waiting.
    ///
    /// # Errors
    /// The server refuses; or it cannot be reached, and there is to be no further try.
    pub(super) async fn connect(&mut self, start: Start) -> Result<Link, ClientError> {
        let path = path_at(&self.path, start);
        loop {
            sleep(std::mem::take(&mut self.delay)).await;
            let room = &self.target;
            match Link::open(room, &path, self.dialect).await {
                Ok(link) => {
                    if self.outage == Outage::Told {
                        let missed = match self.dialect {
                            Dialect::Raw => "; what was sent meanwhile is not shown",
                            Dialect::V1 => "",
                        };
                        notice(format_args!("connected to {room} again{missed}"));
                    }
                    self.outage = Outage::No;
                    self.connected_at = Some(Instant::now());
                    return Ok(link);
                }
                Err(error @ HandshakeError::Refused(_)) => {
                    return Err(ClientError::Failed(format!("cannot join {room}: {error}")));
                }
                Err(error) if self.reconnect == Reconnect::Never => {
                    return Err(ClientError::Unavailable(format!("cannot join {room}: {error}")));
                }
                Err(error) => {
                    if self.outage == Outage::Fresh {
                        notice(format_args!("cannot join {room}: {error}; trying until it works"));
                        self.outage = Outage::Told;
                    }
                    self.delay = self.backoff.delay();
                }
            }
        }
    }

    /// Takes an end: `Ok(true)`: connect again; `Ok(false)`: the server has finished with us.
    ///
    /// # Errors
    /// Connecting again would not help, or is not wanted.
    pub(super) fn ended(&mut self, end: &End) -> Result<bool, ClientError> {
        let room = &self.target;
        let words = words(end);
        match meaning(end) {
            Meaning::Finished => {
                notice(format_args!("{words}"));
                Ok(false)
            }
            Meaning::Refused => Err(ClientError::Failed(format!("{room}: {words}"))),
            Meaning::Later if self.reconnect == Reconnect::Never => {
                Err(ClientError::Unavailable(format!("{room}: {words}")))
            }
            Meaning::Later => {
                notice(format_args!("{words}; reconnecting"));
                self.outage = Outage::Told;
                if self.connected_at.take().is_some_and(|at| at.elapsed() >= GOOD_AFTER) {
                    self.backoff.reset();
                }
                let draining = matches!(end, End::Closed { code: Some(1001 | 1012), .. });
                let spread = if draining { self.backoff.jitter(DRAIN_SPREAD) } else { Duration::ZERO };
                self.delay = self.backoff.delay() + spread;
                Ok(true)
            }
        }
    }
}

/// The room's path, with where to begin in its query.
fn path_at(path: &str, start: Start) -> String {
    match start.query() {
        None => path.to_owned(),
        Some(query) if path.contains('?') => format!("{path}&{query}"),
        Some(query) => format!("{path}?{query}"),
    }
}

/// Codes of RFC 6455 and the registry; 3000–4999 as centrifuge has them: the upper half of each thousand is final.
/// 4410 answers a position in the URL that cannot be gone on from.
fn meaning(end: &End) -> Meaning {
    match end {
        End::Closed { code: Some(1000), .. } => Meaning::Finished,
        End::Closed { code: Some(1002 | 1003 | 1007 | 1008 | 1010 | 3500..=3999 | 4410 | 4500..=4999), .. } => {
            Meaning::Refused
        }
        End::Closed { .. } | End::Lost(_) => Meaning::Later,
    }
}

/// An end in words, fit for a terminal.
fn words(end: &End) -> String {
    let (code, reason) = match end {
        End::Lost(why) => return format!("the connection was lost ({})", one_line(why)),
        End::Closed { code: None, .. } => return "the server closed the connection".to_owned(),
        End::Closed { code: Some(code), reason } => (code, one_line(reason)),
    };
    let meaning = match code {
        1000 => "the server closed the connection",
        1001 | 1012 => "the server is going away or restarting",
        1008 => "the server refuses this",
        1009 => "the message was too big for the server",
        1013 => "the server is too busy",
        3008 => "this client read too slowly",
        4410 => "what was asked for cannot be replayed",
        _ => "the server closed the connection",
    };
    if reason.is_empty() { format!("{meaning} ({code})") } else { format!("{meaning} ({code} {reason})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let closed = |code| End::Closed { code, reason: "why\u{1b}".to_owned() };
        for (end, expected) in [
            (closed(Some(1000)), Meaning::Finished),
            (closed(Some(1001)), Meaning::Later),
            (closed(Some(1008)), Meaning::Refused),
            (closed(Some(1012)), Meaning::Later),
            (closed(Some(3008)), Meaning::Later),
            (closed(Some(3501)), Meaning::Refused),
            (closed(Some(4409)), Meaning::Later),
            (closed(Some(4410)), Meaning::Refused),
            (closed(None), Meaning::Later),
            (End::Lost("gone".to_owned()), Meaning::Later),
        ] {
            assert_eq!(meaning(&end), expected, "{end:?}");
        }
        assert_eq!(path_at("/ws/a", Start::Now), "/ws/a");
        assert_eq!(path_at("/ws/a", Start::Last(3)), "/ws/a?last=3");
        assert_eq!(path_at("/ws/a?token=t", Start::Last(3)), "/ws/a?token=t&last=3");
        assert_eq!(words(&closed(Some(3008))), "this client read too slowly (3008 why)");
    }
}
