//! What `loadgen compare` is told: plain values, whoever parses them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::bench::Pairing;
use super::simulated::{Injection, Noise};
use crate::scenario::Scenario;

/// A whole comparison.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// What is compared.
    pub subject: Subject,
    /// Pairs of the first stage; by default 10.
    pub pairs: Pairs,
    /// How the two runs of a pair are made; none: interleaved where that is possible, which a report says.
    pub pairing: Option<Pairing>,
    /// Decides the order of runs, their seeds and the resamples; by default 1.
    pub seed: u64,
    /// Resamples of a bootstrap; by default 10,000.
    pub resamples: u32,
    /// Bounds that replace the default ones, by metric (0.05: 5 %).
    pub bounds: BTreeMap<String, f64>,
    /// The metrics that decide, if not the default ones.
    pub gate: Option<BTreeSet<String>>,
    /// What an inconclusive comparison ends with; by default 0.
    pub strictness: Strictness,
    /// This machine's noise (`aa.toml`); without it bounds are the default ones.
    pub noise: Option<PathBuf>,
    /// Folder for `verdict.json` (of trials: `trial.json`, `aa.toml`) and the runs, side by side; created if need be.
    pub out: Option<PathBuf>,
}

/// What is compared.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Runs that were recorded: files, or folders of them.
    Recorded {
        /// What it is compared with.
        base: PathBuf,
        /// What is judged.
        candidate: PathBuf,
        /// What to do if machines or scenarios differ; by default refuse.
        unlike: Unlike,
    },
    /// Two servers, in pairs: the gate.
    Servers {
        /// How they are started.
        servers: Box<Servers>,
        /// What is run against them.
        scenario: Box<Scenario>,
    },
    /// The gate itself: how often it says what. Without an injection it is a comparison of a server with itself
    /// (`--aa`), which also writes the noise table.
    Trial {
        /// How many trials.
        trials: usize,
        /// What is done to the candidate's figures.
        injection: Option<Injection>,
        /// Where the figures come from.
        bench: TrialBench,
    },
}

/// Where a trial's figures come from.
#[derive(Clone, Debug)]
pub enum TrialBench {
    /// Drawn from this noise.
    Simulated(Noise),
    /// Measured; both sides are the same command, or two that differ in a known way.
    Servers {
        /// How they are started.
        servers: Box<Servers>,
        /// What is run against them.
        scenario: Box<Scenario>,
    },
}

/// How servers are started.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The base's shell command; `{port}` becomes a free port, `{dir}` the folder of its revision.
    pub base: String,
    /// The candidate's; `{dir}` becomes the folder of its revision, or the repository's root.
    pub candidate: String,
    /// Revision of the base: checked out in a temporary git worktree.
    pub base_revision: Option<String>,
    /// Revision of the candidate: checked out likewise; none: the working tree.
    pub candidate_revision: Option<String>,
    /// Shell command that builds a revision; run in each side's folder.
    pub build: Option<String>,
    /// A folder of the repository; by default the current one.
    pub repository: PathBuf,
    /// Cores that servers may use; empty: all.
    pub cores: Vec<usize>,
    /// By then a server must accept connections; by default 30 s.
    pub start_timeout: Duration,
    /// How long a server has to end after SIGTERM; by default 5 s.
    pub stop_timeout: Duration,
}

/// How many pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// So many.
    Fixed(usize),
    /// As many as this machine's noise needs for the bounds, from 6 to 40. Needs a noise table.
    Auto,
}

/// What an inconclusive comparison ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// 0, and a note.
    Lenient,
    /// 11.
    Strict,
}

/// What to do if recorded runs are of unlike machines or scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlike {
    /// Say how, and refuse.
    Refuse,
    /// Say how, and compare.
    Compare,
}

impl CompareOptions {
    /// With the defaults.
    #[must_use]
    pub const fn new(subject: Subject) -> Self {
        Self {
            subject,
            pairs: Pairs::Fixed(10),
            pairing: None,
            seed: 1,
            resamples: 10_000,
            bounds: BTreeMap::new(),
            gate: None,
            strictness: Strictness::Lenient,
            noise: None,
            out: None,
        }
    }
}

impl Servers {
    /// These commands, with the defaults.
    #[must_use]
    pub fn new(base: &str, candidate: &str) -> Self {
        Self {
            base: base.to_owned(),
            candidate: candidate.to_owned(),
            base_revision: None,
            candidate_revision: None,
            build: None,
            repository: PathBuf::from("."),
            cores: Vec::new(),
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
