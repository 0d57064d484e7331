//! What one worker measured: parts that add up to a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::fan_out::{Partial, Unfinished};
use crate::ledger::Account;
use crate::outcome::{Connections, Distribution};

/// One phase, as one worker saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PhasePart {
    /// Messages sent that were due in it.
    pub published: u64,
    /// Deliveries of messages that were due in it.
    pub deliveries: u64,
    /// Deliveries that came within it, whenever they were due.
    pub arrived: u64,
    /// Payload bytes of these.
    pub arrived_bytes: u64,
    /// Deliveries that are not audited, within it: copies that publishers got, and what slow members read. The server
    /// made them too.
    pub unaudited: u64,
    /// Deliveries owed that never came, of messages that were due in it.
    pub lost: u64,
    /// Due time to receipt.
    pub latency: Distribution,
    /// Due time to sent.
    pub lateness: Distribution,
    /// First to last subscriber; only if this worker has all of them.
    pub spread: Distribution,
    /// Due time to last subscriber; likewise.
    pub completion: Distribution,
}

impl PhasePart {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.deliveries += other.deliveries;
        self.arrived += other.arrived;
        self.arrived_bytes += other.arrived_bytes;
        self.unaudited += other.unaudited;
        self.lost += other.lost;
        self.latency.add(&other.latency);
        self.lateness.add(&other.lateness);
        self.spread.add(&other.spread);
        self.completion.add(&other.completion);
    }
}

/// One second, as one worker saw it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tick {
    /// Which second of the run, from 0.
    pub second: u64,
    /// Members at its end.
    pub connected: u64,
    /// Messages sent.
    pub published: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Payload bytes of these.
    pub bytes: u64,
    /// Connections that failed or were lost.
    pub errors: u64,
    /// Deliveries known to be missing so far (gaps).
    pub gaps: u64,
    /// Due time to receipt.
    pub latency: Distribution,
    /// Due time to sent.
    pub lateness: Distribution,
    /// CPU of the worker's process in it, seconds; of the whole coordinator if that is its process.
    pub cpu_seconds: f64,
    /// CPU of its busiest thread, as part of a core.
    pub busiest_thread: f64,
}

impl Tick {
    /// Adds another worker's same second.
    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.published += other.published;
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.gaps += other.gaps;
        self.latency.add(&other.latency);
        self.lateness.add(&other.lateness);
        self.cpu_seconds += other.cpu_seconds;
        self.busiest_thread = self.busiest_thread.max(other.busiest_thread);
    }
}

/// All that one worker measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// By phase.
    pub phases: Vec<PhasePart>,
    /// What became of the deliveries.
    pub account: Account,
    /// Payloads of this run with a wrong checksum.
    pub corrupt: u64,
    /// Payloads of another room.
    pub misrouted: u64,
    /// Frames that are no payload of this run.
    pub foreign: u64,
    /// How connections fared.
    pub connections: Connections,
    /// Members that were to stay and read, and whose connection the server ended.
    pub members_lost: u64,
    /// TCP connect to established.
    pub connect: Distribution,
    /// Established to member.
    pub handshake: Distribution,
    /// Coming back to the first message.
    pub resume: Distribution,
    /// Messages as far as this worker's members got them, if others have members too.
    pub partials: Vec<Partial>,
    /// Messages whose spread is not known.
    pub unfinished: Unfinished,
    /// Things that went wrong with publishing, by kind.
    pub publish_errors: BTreeMap<String, u64>,
    /// CPU of the worker's process during the measured phases, seconds.
    pub cpu_seconds: f64,
    /// CPU of its busiest thread then (pinned: of all of them), as part of a core.
    pub busiest_thread: f64,
    /// Most members at once.
    pub connected_max: u64,
    /// When the accounts were settled.
    pub closed: Nanos,
}
