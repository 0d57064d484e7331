//! What came of the paired procedure, stage by stage.

use serde::Serialize;

use super::bench::{Side, StageKind};
use super::metrics::Role;
use super::rules::Pair;
use super::verdict::{Judgement, Verdict, overall};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No worse than the bounds.
    Ok,
    /// The pairs do not suffice to tell, or a regression was not confirmed.
    Inconclusive,
    /// Worse, twice.
    Regression,
    /// A run stayed invalid however often it was repeated, or nothing that decides was measured.
    Invalid,
    /// Ended by the user.
    Interrupted,
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Inconclusive => "inconclusive",
            Self::Regression => "regression",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A stage's pairs and what they say.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Which.
    pub kind: StageKind,
    /// Probability of a false alarm that it may spend.
    pub alpha: f64,
    /// Who ran first in each pair.
    pub first: Vec<Side>,
    /// The pairs that were judged; with a doubled stage those of the one before too.
    pub pairs: Vec<Pair>,
    /// What they say, metric by metric.
    pub judgements: Vec<Judgement>,
}

/// A run that was not looked at.
#[derive(Clone, Debug, Serialize)]
pub struct InvalidRun {
    /// In which stage.
    pub stage: StageKind,
    /// Of which pair, from 1.
    pub pair: usize,
    /// Of what.
    pub side: Side,
    /// Why.
    pub problems: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// In a word.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub reason: String,
    /// Each stage, in order.
    pub stages: Vec<Stage>,
    /// Runs that were not looked at.
    pub invalid: Vec<InvalidRun>,
    /// All runs, invalid ones included.
    pub runs: u32,
}

impl Decision {
    /// Whether a stage said regression, be it confirmed or not.
    #[must_use]
    pub fn alarmed(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| !stage.kind.confirms() && overall(&stage.judgements) == Some(Verdict::Regression))
    }

    /// What the last stage calls worse.
    #[must_use]
    pub fn regressions(&self) -> Vec<String> {
        self.deciding_with(Verdict::Regression)
    }

    /// What should decide and cannot.
    #[must_use]
    pub fn not_measured(&self) -> Vec<String> {
        self.deciding_with(Verdict::NotMeasured)
    }

    fn deciding_with(&self, verdict: Verdict) -> Vec<String> {
        let last = self.stages.last().into_iter().flat_map(|stage| &stage.judgements);
        last.filter(|judgement| judgement.role == Role::Gating && judgement.verdict == verdict)
            .map(|judgement| judgement.metric.clone())
            .collect()
    }
}
