//! One publication until it is acknowledged: what is tried again, how long, and what is said about it.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::publisher::{Answer, Publisher};
use super::{ClientError, notice};

/// Outages that follow each other faster are told once.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);
/// The longest wait that a server's `Retry-After` is believed for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// What became of a publication in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the room; the server's words.
    Accepted(String),
    /// The server will not have this one (too big, say); others it may.
    Refused(String),
}

/// Publishes one after the other, each until the server has answered for good.
pub(super) struct Retry {
    publisher: Publisher,
    backoff: Backoff,
    /// Tells this process's publications from all others.
    seed: u64,
    /// How many publications there were.
    count: u64,
    /// How long one publication is tried; `None`: for ever.
    time_max: Option<Duration>,
    told_at: Option<Instant>,
}

impl Retry {
    /// Tries each publication for at most `time_max`.
    pub(super) fn new(publisher: Publisher, time_max: Option<Duration>) -> Self {
        let (backoff, seed) = (Backoff::new(Backoff::process_seed()), Backoff::process_seed());
        Self { publisher, backoff, seed, count: 0, time_max, told_at: None }
    }

    /// Publishes; `what` names the publication in messages ("line 7").
    ///
    /// An answer that got lost cannot be told from a publication that did: after a lost connection the same is sent
    /// again, with the same key. A server that has forgotten the key, or knows none, then has it twice.
    ///
    /// # Errors
    /// The server would refuse any other publication too, or was not available for too long.
    pub(super) async fn publish(&mut self, what: &str, payload: &Bytes) -> Result<Outcome, ClientError> {
        let started = Instant::now();
        self.count += 1;
        let key = format!("{:016x}-{}", self.seed, self.count);
        loop {
            let (why, wait) = match self.publisher.publish(&key, payload.clone()).await {
                Answer::Accepted(receipt) => {
                    self.backoff.reset();
                    return Ok(Outcome::Accepted(receipt));
                }
                Answer::Refused(why) => return Ok(Outcome::Refused(why)),
                Answer::RefusedAll(why) => return Err(ClientError::Failed(format!("{what} was not published: {why}"))),
                Answer::Unavailable { why, wait } => (why, wait),
            };
            let delay = self.backoff.delay().max(wait.unwrap_or_default().min(RETRY_AFTER_MAX));
            if self.time_max.is_some_and(|time_max| started.elapsed() + delay > time_max) {
                return Err(ClientError::Unavailable(format!("{what} is not acknowledged: {why}")));
            }
            self.tell(what, &why);
            sleep(delay).await;
        }
    }

    fn tell(&mut self, what: &str, why: &str) {
        if self.told_at.is_none_or(|at| at.elapsed() >= NOTICE_INTERVAL) {
            notice(format_args!("{what} is not acknowledged yet: {why}; trying until it is"));
            self.told_at = Some(Instant::now());
        }
    }
}
