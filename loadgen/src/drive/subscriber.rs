//! One subscriber: connects, listens, and behaves as its kind does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use tokio::sync::OwnedSemaphorePermit;

use super::connect::{Carrier, Route, within};
use super::desk::Desk;
use super::listen::{Ear, End, Line};
use super::reader::Intake;
use super::wire::Wire;
use crate::adapter::{Dialect, Position, Role, Session};
use crate::clock::Nanos;
use crate::ledger::Resumes;
use crate::scenario::Scenario;
use crate::seats::Kind;
use crate::seed::{Purpose, rng};

/// Publications that a server may send to a connection before it says that it is a member.
const EARLY_MAX: usize = 1_024;

/// What all subscribers of a worker share.
pub(super) struct Audience {
    pub(super) scenario: Arc<Scenario>,
    pub(super) dialect: Arc<Dialect>,
    pub(super) route: Route,
    pub(super) desk: Mutex<Desk>,
    /// Takes over normal members.
    pub(super) intake: Intake,
}

/// One of them.
pub(super) struct Subscriber {
    pub(super) audience: Arc<Audience>,
    /// Its number among all subscribers of the run.
    pub(super) number: u32,
    /// Its place at the desk.
    pub(super) place: usize,
    pub(super) kind: Kind,
    pub(super) room: String,
}

/// How listening ended.
enum Heard {
    /// It has been there for as long as it wanted.
    Enough,
    /// The server or the network ended it.
    Ended(End),
}

impl Subscriber {
    /// Connects for the first time, then does what its kind does until the run ends. `connecting` is given back when
    /// the first attempt is over; that is what the ramp waits for.
    pub(super) async fn live(self, connecting: OwnedSemaphorePermit) {
        let mut random = rng(self.audience.scenario.seed, Purpose::Leaving, self.number);
        let mut position = None;
        let mut first_attempt = Some(connecting);
        let mut back_since = None;
        loop {
            let joined = self.join(position.clone(), back_since).await;
            drop(first_attempt.take());
            let Some(mut line) = joined else {
                if !self.comes_again() {
                    return;
                }
                // A server that refuses is asked again like by any client, not at once.
                tokio::time::sleep(self.audience.scenario.mix.reconnect_away.max(Duration::from_millis(100))).await;
                continue;
            };
            if self.kind == Kind::Normal {
                line = match line.into_parts() {
                    Ok(parts) => return self.audience.intake.hand_over(self.place, parts),
                    // An event stream.
                    Err(line) => line,
                };
            }
            let heard = self.listen(&mut line, back_since.take(), &mut random).await;
            position = line.position();
            drop(line);
            self.note_end(heard);
            if !self.comes_again() {
                return;
            }
            if self.kind == Kind::Reconnecting {
                tokio::time::sleep(self.audience.scenario.mix.reconnect_away).await;
                back_since = Some(Nanos::now());
            } else {
                position = None;
            }
        }
    }

    fn note_end(&self, heard: Heard) {
        let mut desk = self.audience.desk.lock().expect("nobody panics while holding it");
        desk.left(self.place);
        if let Heard::Ended(end) = heard {
            desk.lost_connection(self.place, end);
        }
    }

    const fn comes_again(&self) -> bool {
        matches!(self.kind, Kind::Churning | Kind::Reconnecting)
    }

    /// Becomes a member. Nothing: it failed, and that has been counted.
    async fn join(&self, position: Option<Position>, back_since: Option<Nanos>) -> Option<Line<Wire>> {
        let audience = &self.audience;
        let role = if self.kind == Kind::Reconnecting { Role::Returning } else { Role::Subscriber };
        let has_position = position.is_some();
        let session = Session::new(&audience.dialect, &self.room, role, position);
        let buffer = match self.kind {
            Kind::Slow | Kind::Stalled => audience.scenario.mix.receive_buffer_bytes,
            Kind::Normal | Kind::Churning | Kind::Reconnecting => None,
        };
        let mut early = Vec::new();
        let opening = async {
            let opened = audience.route.open(&session.request(), self.number, buffer).await?;
            let mut line = match opened.carrier {
                Carrier::Messages(wire) => Line::over_messages(session, wire),
                Carrier::Body(body) => Line::over_body(session, body),
            };
            let mut too_many = 0_u64;
            let keep = &mut |payload: &[u8], now| {
                if early.len() < EARLY_MAX {
                    early.push((payload.to_vec(), now));
                } else {
                    too_many += 1;
                }
            };
            line.join(keep).await?;
            if too_many > 0 {
                return Err(format!("more than {EARLY_MAX} publications before it was a member"));
            }
            Ok((line, opened.connect_ns, Nanos::now().since_ns(opened.established)))
        };
        let opened = within(audience.scenario.subscribers.handshake_timeout, opening).await;
        let mut desk = audience.desk.lock().expect("nobody panics while holding it");
        let (line, connect_ns, handshake_ns) = match opened {
            Ok(opened) => opened,
            Err(kind) => {
                desk.failed(kind);
                return None;
            }
        };
        let resumes = if has_position && !line.is_not_resumed() { Resumes::Yes } else { Resumes::No };
        desk.established(connect_ns, handshake_ns);
        desk.joined(self.place, resumes);
        for (payload, now) in early {
            desk.delivered(self.place, &payload, now);
        }
        drop(desk);
        debug_assert!(back_since.is_none() || self.comes_again(), "only some come back");
        Some(line)
    }

    async fn listen(&self, line: &mut Line<Wire>, back_since: Option<Nanos>, random: &mut ChaCha8Rng) -> Heard {
        let mix = &self.audience.scenario.mix;
        match self.kind {
            Kind::Normal => Heard::Ended(self.read_all(line, None).await),
            Kind::Slow => Heard::Ended(self.read_slowly(line, mix.slow_bytes_per_second).await),
            Kind::Stalled => std::future::pending().await,
            Kind::Churning => self.read_for(line, None, exponential(random, mix.churn_stay)).await,
            Kind::Reconnecting => self.read_for(line, back_since, exponential(random, mix.reconnect_every)).await,
        }
    }

    async fn read_for(&self, line: &mut Line<Wire>, back_since: Option<Nanos>, stay: Duration) -> Heard {
        tokio::select! {
            end = self.read_all(line, back_since) => Heard::Ended(end),
            () = tokio::time::sleep(stay) => Heard::Enough,
        }
    }

    /// Reads until the connection ends.
    async fn read_all(&self, line: &mut Line<Wire>, back_since: Option<Nanos>) -> End {
        let mut audited = Audited { subscriber: self, back_since };
        loop {
            if let Err(end) = line.next(&mut audited).await {
                return end;
            }
        }
    }

    /// Reads no faster than so many bytes per second, and audits nothing.
    async fn read_slowly(&self, line: &mut Line<Wire>, bytes_per_second: u64) -> End {
        let began = Nanos::now();
        let mut read = 0_u64;
        let mut unaudited = |_: &[u8], now: Nanos| {
            self.audience.desk.lock().expect("nobody panics while holding it").unaudited(now);
        };
        loop {
            match line.next(&mut unaudited).await {
                Ok(len) => read += len as u64,
                Err(end) => return end,
            }
            let due = began.after(Duration::from_secs_f64(seconds_for(read, bytes_per_second)));
            tokio::time::sleep(due.since(Nanos::now())).await;
        }
    }
}

/// Tells the desk.
struct Audited<'a> {
    subscriber: &'a Subscriber,
    /// It came back then, and has got nothing yet.
    back_since: Option<Nanos>,
}

impl Ear for Audited<'_> {
    fn publication(&mut self, payload: &[u8], now: Nanos) {
        let mut desk = self.subscriber.audience.desk.lock().expect("nobody panics while holding it");
        if desk.delivered(self.subscriber.place, payload, now)
            && let Some(since) = self.back_since.take()
        {
            desk.resumed(now.since_ns(since));
        }
    }

    fn not_resumed(&mut self) {
        self.subscriber
            .audience
            .desk
            .lock()
            .expect("nobody panics while holding it")
            .not_resumed(self.subscriber.place);
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 bytes are nine petabytes")]
fn seconds_for(bytes: u64, bytes_per_second: u64) -> f64 {
    bytes as f64 / bytes_per_second.max(1) as f64
}

/// A time drawn from an exponential distribution.
fn exponential(random: &mut ChaCha8Rng, mean: Duration) -> Duration {
    let times_mean: f64 = random.sample(Exp1);
    mean.mul_f64(times_mean.min(1_000.0))
}
