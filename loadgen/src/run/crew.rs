//! The workers of a run, and what they tell.

use std::sync::mpsc::{Receiver, sync_channel};

use super::RunError;
use crate::cli::Setup;
use crate::clock::Nanos;
use crate::drive::{Command, Report, Task};
use crate::scenario::Scenario;
use crate::workers::{Handle, Started, start};

/// Reports under way.
const REPORTS: usize = 1_024;

/// See the module.
pub(super) struct Crew {
    handles: Vec<Handle>,
    pub(super) reports: Receiver<(u32, Report)>,
    pub(super) warnings: Vec<String>,
}

impl Crew {
    pub(super) fn start(scenario: &Scenario, setup: &Setup, (run_id, began): (u64, Nanos)) -> Result<Self, RunError> {
        let count = setup.workers.drivers().workers;
        let task = |index| Task {
            scenario: scenario.clone(),
            run_id,
            index,
            count,
            began,
            pin: setup.pin,
            clock_offset_ns: 0,
        };
        let (tell, reports) = sync_channel(REPORTS);
        let Started { handles, warnings } = start(&setup.workers, (0..count).map(task).collect(), &tell)?;
        Ok(Self { handles, reports, warnings })
    }

    /// How many there are.
    pub(super) fn workers(&self) -> u32 {
        u32::try_from(self.handles.len()).unwrap_or(u32::MAX)
    }

    /// Tells all of them.
    pub(super) fn tell(&self, command: &Command) {
        for worker in &self.handles {
            // Whoever is gone has reported that, or will be missed at the end.
            worker.commands.send(command.clone()).ok();
        }
    }

    pub(super) fn finish(self) {
        drop(self.reports);
        for worker in self.handles {
            worker.finish();
        }
    }
}
