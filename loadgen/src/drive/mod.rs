//! Driving a run: one worker's part of it.
//!
//! ```text
//!            coordinator (run)                       commands ↓  ↑ reports (once a second, and at the end)
//! ┌ worker ──────────────────────────────────────────────────────────────────────────────────────────┐
//! │ control thread: ticks, phases, own CPU                                                           │
//! │ pacer thread:  schedule → due → payload → frame → outlet ──→ socket     (never waits for readers) │
//! │ data thread:   ramp → connect → member? ─ tasks of slow, churning … ones → desk                   │
//! │ reader thread:                  normal ones → frames → dialect → desk (ledger, fan-out, times)    │
//! └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A worker drives every n-th subscriber and publisher. In a run of one process it is a set of threads of it; otherwise
//! a process of its own, and the messages below travel as JSON.

mod connect;
mod desk;
mod dues;
mod hearing;
mod http_publisher;
mod listen;
mod messages;
mod outlet;
mod pacer;
mod part;
mod publisher;
mod ramp;
mod reader;
mod sent;
mod subscriber;
mod usage;
mod window;
mod wire;
mod worker;

use serde::{Deserialize, Serialize};

pub use part::{Part, PhasePart, Tick};
pub(crate) use usage::{Edge, measured_edges};
pub use worker::work;

use crate::clock::Nanos;
use crate::ledger::Refused;
use crate::outcome::Connections;
use crate::scenario::Scenario;

/// What a worker is to drive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The whole run.
    pub scenario: Scenario,
    /// Tells this run's messages from any other's.
    pub run_id: u64,
    /// Which worker it is, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The beginning of the run: ticks count from it.
    pub began: Nanos,
    /// The core for this worker.
    pub pin: Option<u32>,
    /// Added to this machine's clock it gives the coordinator's: 0 on the same machine, nanoseconds.
    pub clock_offset_ns: i64,
}

impl Task {
    /// Whether this worker drives subscriber or publisher `number`.
    #[must_use]
    pub const fn drives(&self, number: u32) -> bool {
        number % self.count == self.index
    }
}

/// What the coordinator tells a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Publish: the schedule begins at this time (coordinator's clock).
    Start {
        /// Due time of offset 0.
        first_due: Nanos,
    },
    /// Publish nothing more.
    Stop,
    /// Nothing comes any more: say what was sent and heard.
    Tally,
    /// Settle the accounts.
    Close {
        /// By publisher, all workers'.
        sent: Vec<Sent>,
    },
}

/// What one publisher sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Sequences that it used: those below this one.
    pub sequences: u64,
    /// Of these, those that the server did not take, or did not answer. Nobody is owed them.
    pub refused: Refused,
    /// The server ended its connection, which may be how it refuses.
    pub ended: bool,
}

impl Sent {
    /// Says how far this publisher was heard, by whoever heard most of it. What a publisher whose connection was ended
    /// had sent behind that, nobody knows to have been taken.
    pub fn heard_until(&mut self, heard: u64) {
        if self.ended && heard < self.sequences {
            self.refused.add(heard..self.sequences);
        }
    }
}

/// What a worker tells the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// Everybody is connected, or has failed to be.
    Ramped {
        /// Members now.
        connected: u64,
        /// Publishers that can publish.
        publishers: u32,
        /// How the attempts went.
        connections: Connections,
    },
    /// A second has passed.
    Tick(Box<Tick>),
    /// The schedule is over and all posts are answered: messages sent, by publisher of this worker.
    Sent {
        /// Publisher and count.
        sent: Vec<(u32, u64)>,
    },
    /// The answer to [`Command::Tally`].
    Tally {
        /// By publisher of this worker.
        sent: Vec<(u32, Sent)>,
        /// By publisher, all workers': above the highest sequence that a subscriber of this worker got.
        heard: Vec<u64>,
    },
    /// The accounts.
    Done(Box<Part>),
    /// It cannot go on.
    Failed(String),
}
