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
use crate::run::Conduct;
use crate::scenario::Scenario;
use crate::thresholds;

/// Runs a scenario, so conducted; Ctrl-C ends it. Two runs at once are two calls at once.
pub type DriveSide<'a> = dyn Fn(&Scenario, Conduct) -> Result<Run, RunError> + Sync + 'a;
/// Runs a scenario, so set up.
pub type Drive<'a> = dyn FnMut(&Scenario, &Setup) -> Result<Run, RunError> + 'a;

/// Checks that thresholds on the server's own figures can be judged: that it is said where these come from.
///
/// # Errors
/// It is not.
pub fn server_is_looked_at(scenario: &Scenario, setup: &Setup) -> Result<(), CommandError> {
    let needing = thresholds::needing_server(scenario);
    let is_looked_at = setup.server_pid.is_some() || setup.server_metrics.is_some();
    match needing.first() {
        Some(metric) if !is_looked_at => Err(CommandError::Usage(format!(
            "thresholds: {metric} cannot be measured without --server-pid or --server-metrics"
        ))),
        _ => Ok(()),
    }
}
