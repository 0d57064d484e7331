//! The workers of a run, and what they tell.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::cli::{Setup, Workers};
use crate::clock::Nanos;
use crate::drive::{Command, Report, Task, work};
use crate::scenario::Scenario;

/// Reports under way.
const REPORTS: usize = 1_024;
/// Commands under way: there are three.
const COMMANDS: usize = 8;

/// See the module.
pub(super) struct Crew {
    pub(super) commands: Vec<SyncSender<Command>>,
    pub(super) reports: Receiver<(u32, Report)>,
    pub(super) warnings: Vec<String>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(super) fn start(scenario: &Scenario, setup: &Setup, (run_id, began): (u64, Nanos)) -> Result<Self, String> {
        let count = setup.workers.drivers().workers;
        if setup.workers != Workers::Here(1) {
            return Err("several workers are not there yet".to_owned());
        }
        let (tell, reports) = sync_channel(REPORTS);
        let (mut commands, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count {
            let scenario = scenario.clone();
            let task = Task { scenario, run_id, index, count, began, pin: setup.pin, clock_offset_ns: 0 };
            let (command, inbox) = sync_channel(COMMANDS);
            let tell = tell.clone();
            let drive = move || work(task, &inbox, &tell);
            let thread = std::thread::Builder::new().name("worker".to_owned()).spawn(drive);
            threads.push(thread.map_err(|error| format!("no thread for a worker: {error}"))?);
            commands.push(command);
        }
        Ok(Self { commands, reports, warnings: Vec::new(), threads })
    }

    /// Tells all of them.
    pub(super) fn tell(&self, command: &Command) {
        for worker in &self.commands {
            // Whoever is gone has reported that, or will be missed at the end.
            worker.send(command.clone()).ok();
        }
    }

    pub(super) fn finish(self) {
        let Self { commands, reports, threads, .. } = self;
        drop((commands, reports));
        for thread in threads {
            thread.join().expect("a worker does not panic");
        }
    }
}
