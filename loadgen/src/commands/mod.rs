//! The commands that do not drive load by themselves.

pub(crate) mod compare;
pub(crate) mod index;
mod keep;
mod kept;
pub(crate) mod report;
pub(crate) mod search;

use loadgen::cli::Setup;
use loadgen::compare::RunError;
use loadgen::outcome::Run;
use loadgen::scenario::Scenario;

/// Runs a scenario, so set up.
pub(crate) type Drive<'a> = dyn FnMut(&Scenario, &Setup) -> Result<Run, RunError> + 'a;

/// A command line that can be understood, but not be followed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);
