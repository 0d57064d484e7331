//! The commands: each from its options to its exit code.

pub mod compare;
mod error;
pub mod index;
mod keep;
mod kept;
pub mod report;
pub mod run;
pub mod search;

pub use error::CommandError;

use crate::cli::Setup;
use crate::compare::RunError;
use crate::outcome::Run;
use crate::scenario::Scenario;

/// Runs a scenario, so set up.
pub type Drive<'a> = dyn FnMut(&Scenario, &Setup) -> Result<Run, RunError> + 'a;
