//! The highest load at which bounds hold: `loadgen search`.
//!
//! ```text
//! grow (×2, or ÷2) until one load holds and one does not → narrow (the geometric mean) → confirm → curve
//!          a load that fails is tried once more                     fails twice: narrow below it ↩
//! ```
//!
//! Pure: whoever calls it runs the loads. A single run of a shared machine proves little, so a load counts as too much
//! only after two runs, and the result only after it held twice. What the generator cannot do is never said of the
//! server.

mod attempt;
mod load;
mod text;

use std::io;

use serde::Serialize;

pub use attempt::{Attempt, Judged, Point, Stage};
pub use load::{VaryError, scenario_at};

use crate::outcome::Run;

/// Parts of the result at which the curve is measured.
const CURVE: [f64; 3] = [0.1, 0.5, 0.9];
/// Loads below this part of the first one are not tried.
const SMALLEST: f64 = 1e-3;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The load to begin with, above 0.
    pub from: f64,
    /// The largest load; none: until one fails.
    pub to: Option<f64>,
    /// How near the smallest load that fails must be to the result, as a part of it.
    pub precision: f64,
    /// Which loads there are.
    pub loads: Loads,
    /// Runs at most, without those of the curve.
    pub runs_max: u32,
}

/// Which loads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loads {
    /// Any.
    Any,
    /// Whole numbers: of people.
    Whole,
}

/// What ended the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The next load breaks a bound, or its run is invalid for another reason than the generator.
    Server,
    /// At the next load the generator was late or busy: the server may be able to do more.
    Generator,
    /// The largest load that was asked for holds.
    Asked,
    /// So many runs were not enough.
    Runs,
    /// It was interrupted.
    Interrupted,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Capacity {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// What is varied, in words.
    pub varied: &'static str,
    /// The highest load that held; none: none did.
    pub load: Option<f64>,
    /// Whether it held again.
    pub confirmed: bool,
    /// The lowest load that did not.
    pub fails_at: Option<f64>,
    /// Why not.
    pub reasons: Vec<String>,
    /// What ended the search.
    pub limit: Limit,
    /// All runs of the search, in order.
    pub attempts: Vec<Attempt>,
    /// The runs at 10, 50 and 90 % of the result.
    pub curve: Vec<Attempt>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Not even the first run could be made.
    #[error("the first load, {load}, could not be run: {source}")]
    First {
        /// The load.
        load: f64,
        /// Why.
        source: DriveError,
    },
    /// Nobody became a member in the first run: no smaller load helps.
    #[error("the first load, {load}, reached no server: {problems}")]
    Unreachable {
        /// The load.
        load: f64,
        /// What the run says.
        problems: String,
    },
    /// A run cannot be told or kept.
    #[error("what was measured cannot be kept: {0}")]
    Watch(#[from] io::Error),
}

/// Why a run could not be made.
pub type DriveError = Box<dyn std::error::Error + Send + Sync>;
/// Runs a load.
pub type Drive<'a> = dyn FnMut(f64) -> Result<Run, DriveError> + 'a;
/// Is told of each run; none if it could not be made.
pub type Watch<'a> = dyn FnMut(&Attempt, Option<&Run>) -> io::Result<()> + 'a;

/// Searches, then measures the curve. `varied` says in words what a load is: `messages/s`.
///
/// # Errors
/// See [`SearchError`]. A later run that cannot be made is a load that fails: the server may have died of it.
pub fn search(
    plan: Plan,
    varied: &'static str,
    drive: &mut Drive<'_>,
    watch: &mut Watch<'_>,
) -> Result<Capacity, SearchError> {
    let mut search = Search { plan, drive, watch, attempts: Vec::new(), holding: Vec::new(), failing: None, end: None };
    let confirmed = search.run()?;
    let load = search.holding.last().copied();
    let curve = match (load, search.end) {
        (Some(load), None | Some(Limit::Runs)) => search.curve(load)?,
        _ => Vec::new(),
    };
    let failed = |attempt: &&Attempt| Some(attempt.load) == search.failing && attempt.judged != Judged::Holds;
    let of_failing: Vec<&Attempt> = search.attempts.iter().filter(failed).collect();
    let is_of_generator =
        !of_failing.is_empty() && of_failing.iter().all(|attempt| attempt.judged == Judged::GeneratorLimited);
    let limit = match (search.end, search.failing) {
        (Some(end), _) => end,
        (None, None) => Limit::Asked,
        (None, Some(_)) if is_of_generator => Limit::Generator,
        (None, Some(_)) => Limit::Server,
    };
    let reasons = of_failing.last().map(|attempt| attempt.reasons.clone()).unwrap_or_default();
    let (fails_at, attempts) = (search.failing, search.attempts);
    Ok(Capacity { schema: 1, varied, load, confirmed, fails_at, reasons, limit, attempts, curve })
}

struct Search<'a, 'b> {
    plan: Plan,
    drive: &'a mut Drive<'b>,
    watch: &'a mut Watch<'b>,
    attempts: Vec<Attempt>,
    /// Loads that hold, rising; all below `failing`.
    holding: Vec<f64>,
    /// The lowest load that fails.
    failing: Option<f64>,
    /// Why it ended early.
    end: Option<Limit>,
}

impl Search<'_, '_> {
    /// Whether the result held twice.
    fn run(&mut self) -> Result<bool, SearchError> {
        loop {
            while let Some(load) = self.next_load() {
                let stage =
                    if self.holding.is_empty() || self.failing.is_none() { Stage::Growing } else { Stage::Narrowing };
                if self.test(load, stage)?.is_none() {
                    return Ok(false);
                }
            }
            let Some(&load) = self.holding.last() else { return Ok(false) };
            match self.test(load, Stage::Confirming)? {
                Some(false) => {}
                held => return Ok(held == Some(true)),
            }
        }
    }

    /// The load to try next; none if the result is near enough.
    fn next_load(&self) -> Option<f64> {
        let Plan { from, to, precision, .. } = self.plan;
        let to = to.unwrap_or(f64::INFINITY);
        let load = match (self.holding.last(), self.failing) {
            (None, None) => self.rounded(from.min(to)),
            (Some(&low), None) if low < to => self.rounded((low * 2.0).min(to)),
            (Some(_), None) => return None,
            (None, Some(high)) => self.rounded(high / 2.0),
            (Some(&low), Some(high)) if (high - low) / low > precision => self.rounded((low * high).sqrt()),
            (Some(_), Some(_)) => return None,
        };
        let above = self.holding.last().is_none_or(|&low| load > low);
        let below = self.failing.is_none_or(|high| load < high);
        let possible = load >= from * SMALLEST && load > 0.0;
        (above && below && possible).then_some(load)
    }

    fn rounded(&self, load: f64) -> f64 {
        match self.plan.loads {
            Loads::Whole => load.floor(),
            // Three digits: nobody asks for 1187.3062 messages/s.
            Loads::Any => {
                let unit = 10f64.powf(load.log10().floor() - 2.0);
                (load / unit).round() * unit
            }
        }
    }

    /// Whether a load holds; one that fails is tried once more. None if the search has to end.
    fn test(&mut self, load: f64, stage: Stage) -> Result<Option<bool>, SearchError> {
        for _try in 0..2 {
            if self.attempts.len() >= usize::try_from(self.plan.runs_max).unwrap_or(usize::MAX) {
                self.end = Some(Limit::Runs);
                return Ok(None);
            }
            let attempt = self.attempt(load, stage)?;
            let judged = attempt.judged;
            self.attempts.push(attempt);
            match judged {
                Judged::Interrupted => {
                    self.end = Some(Limit::Interrupted);
                    return Ok(None);
                }
                Judged::Holds => {
                    if !self.holding.contains(&load) {
                        self.holding.push(load);
                    }
                    return Ok(Some(true));
                }
                Judged::Breaks | Judged::GeneratorLimited => {}
            }
        }
        self.failing = Some(load);
        self.holding.retain(|holding| *holding < load);
        Ok(Some(false))
    }

    fn attempt(&mut self, load: f64, stage: Stage) -> Result<Attempt, SearchError> {
        let (attempt, run) = match (self.drive)(load) {
            Ok(run) => (Attempt::of(load, stage, &run), Some(run)),
            Err(source) if self.attempts.is_empty() => return Err(SearchError::First { load, source }),
            Err(error) => (Attempt::without_run(load, stage, error.to_string()), None),
        };
        (self.watch)(&attempt, run.as_ref())?;
        let reached = run.as_ref().is_none_or(|run| run.connections.wanted == 0 || run.connections.established > 0);
        if self.attempts.is_empty() && attempt.judged == Judged::Breaks && !reached {
            return Err(SearchError::Unreachable { load, problems: attempt.reasons.join("; ") });
        }
        Ok(attempt)
    }

    fn curve(&mut self, load: f64) -> Result<Vec<Attempt>, SearchError> {
        let mut curve = Vec::with_capacity(CURVE.len());
        for part in CURVE {
            let load = self.rounded(load * part);
            if load > 0.0 {
                curve.push(self.attempt(load, Stage::Curve)?);
            }
            if curve.last().is_some_and(|attempt: &Attempt| attempt.judged == Judged::Interrupted) {
                self.end = Some(Limit::Interrupted);
                break;
            }
        }
        Ok(curve)
    }
}

#[cfg(test)]
mod tests;
