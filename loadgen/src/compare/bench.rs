//! Who runs the two sides, and who watches.

use serde::{Deserialize, Serialize};

use crate::outcome::Run;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What it is compared with.
    Base,
    /// What is judged.
    Candidate,
}

impl Side {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Candidate => "candidate",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Base => Self::Candidate,
            Self::Candidate => Self::Base,
        }
    }
}

/// Why a run could not be made.
pub type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// How the two runs of a pair are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// At once, with messages in turn: what the machine does, it does to both.
    Interleaved,
    /// One right after the other: each server is alone.
    Sequential,
}

impl Pairing {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interleaved => "interleaved",
            Self::Sequential => "sequential",
        }
    }
}

/// Runs the scenario against a side, each time with a fresh server.
pub trait Bench {
    /// One run. What the seed decides must be the same for both sides.
    ///
    /// # Errors
    /// If the server could not be started or reached. It counts as an invalid run.
    fn run(&mut self, side: Side, seed: u64) -> Result<Run, BenchError>;

    /// Both runs of a pair at once, that of `first` first: it is the first to begin whatever cannot be done at once. A
    /// bench that can do nothing at once makes them one after the other.
    fn run_both(&mut self, first: Side, seed: u64) -> [Result<Run, BenchError>; 2] {
        [self.run(first, seed), self.run(first.other(), seed)]
    }
}

/// Which part of the procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// The first k pairs.
    First,
    /// They did not suffice: k more, judged together.
    Doubled,
    /// They said regression: fresh ones in the other order.
    Confirmation,
    /// Those did not suffice: as many more, judged together.
    ConfirmationDoubled,
}

impl StageKind {
    /// Whether it is of the confirmation.
    #[must_use]
    pub const fn confirms(self) -> bool {
        matches!(self, Self::Confirmation | Self::ConfirmationDoubled)
    }

    /// Whether it judges the pairs of the stage before it as well.
    #[must_use]
    pub const fn doubles(self) -> bool {
        matches!(self, Self::Doubled | Self::ConfirmationDoubled)
    }
}

/// One run, as it is told to whoever watches. No figures: see the module.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Of which part of the procedure.
    pub stage: StageKind,
    /// Of which pair, from 1.
    pub pair: usize,
    /// Of how many in this stage.
    pub pairs: usize,
    /// Of what.
    pub side: Side,
    /// How often it was repeated.
    pub repeat: u32,
    /// The run; none if it could not be made.
    pub run: Option<&'a Run>,
    /// Why it cannot be compared.
    pub problems: &'a [String],
}

/// Watches the runs: tells of progress, keeps them.
pub trait Watch {
    /// A run has ended.
    ///
    /// # Errors
    /// If it cannot be told or kept; this ends the comparison.
    fn ran(&mut self, attempt: &Attempt<'_>) -> std::io::Result<()>;
}

/// Does not look.
impl Watch for () {
    fn ran(&mut self, _attempt: &Attempt<'_>) -> std::io::Result<()> {
        Ok(())
    }
}
