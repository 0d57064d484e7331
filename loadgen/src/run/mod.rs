//! A run from its scenario to its outcome: the coordinator.
//!
//! ```text
//! crew (workers) → ramp → settle → phases → arrival timeout → accounts → merge → validity → thresholds → Run
//!         watch: the server's CPU and memory, the machine, beside it · show: a snapshot a second
//!         beside: of two runs at once, the places where they wait for each other
//! ```

mod beside;
mod crew;
mod interrupt;
mod merge;
mod show;
mod timeline;
mod validity;
mod watch;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::mpsc::SyncSender;

pub use beside::{Beside, Turn};
pub use interrupt::Interrupt;

use crate::cli::Setup;
use crate::clock::Nanos;
use crate::live::Snapshot;
use crate::machine::{Kernel, facts, limits};
use crate::outcome::{Run, SCHEMA};
use crate::scenario::Scenario;
use crate::schedule::spans;
use crate::seats::{Seats, SeatsError};
use crate::thresholds::{self, ThresholdError};

/// How a scenario is carried out.
#[derive(Clone, Debug, Default)]
pub struct Conduct {
    /// By which workers, beside which server.
    pub setup: Setup,
    /// Where snapshots go, once a second.
    pub live: Option<SyncSender<Snapshot>>,
    /// Ends the run early: it stops publishing, takes what comes, and reports.
    pub interrupt: Interrupt,
    /// The run that takes place at the same time, if there is one.
    pub beside: Option<Beside>,
}

/// Why there is no outcome at all. A server that cannot be reached, or dies, does have one: an invalid one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario seats nobody.
    #[error(transparent)]
    Seats(#[from] SeatsError),
    /// A threshold is none.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// The server's process cannot be looked at.
    #[error("--server-pid: {0}")]
    Server(#[from] crate::machine::process::ProcessError),
    /// The server's metrics cannot be read.
    #[error("--server-metrics: {0}")]
    Metrics(#[from] crate::metrics_page::FetchError),
    /// A closed loop needs to know when a message has reached everybody, which several workers do not.
    #[error("publishers.window with {actual} workers: a closed loop has 1")]
    ClosedLoopWorkers {
        /// Workers asked for.
        actual: u32,
    },
    /// The workers cannot be started.
    #[error(transparent)]
    Workers(#[from] crate::workers::StartError),
}

impl Conduct {
    /// Waits for the run beside this one, if there is one, and says when both were there.
    fn meet(&self) -> Nanos {
        self.beside.as_ref().map_or_else(Nanos::now, Beside::meet)
    }
}

/// Runs `scenario`. Blocks until it is over.
///
/// # Errors
/// See [`RunError`].
pub fn run(scenario: &Scenario, conduct: &Conduct) -> Result<Run, RunError> {
    thresholds::parse_all(&scenario.thresholds)?;
    let workers = conduct.setup.workers.drivers().workers;
    if scenario.publishers.window.is_some() && workers > 1 {
        return Err(RunError::ClosedLoopWorkers { actual: workers });
    }
    let seats = Seats::new(scenario)?;
    let (spans, kernel) = (spans(scenario), Kernel::default());
    limits::raise_open_files();
    if let Some(core) = conduct.setup.pin {
        // All threads from here on; workers that are processes move themselves.
        crate::machine::pin(core);
    }
    let machine = facts::read(&kernel);
    let started = jiff::Timestamp::now().to_string();
    // The standard library's own source of randomness; nothing else in a run may be random but by the seed.
    let run_id = RandomState::new().build_hasher().finish();
    let mut watch = watch::Watch::begin(&conduct.setup, conduct.beside.as_ref(), kernel)?;
    conduct.meet();
    let began = Nanos::now();
    let crew = crew::Crew::start(scenario, &conduct.setup, (run_id, began))?;
    let course = timeline::conduct(scenario, (&spans, began), crew, &mut watch, conduct);
    let merged = merge::merge(scenario, (&seats, &spans), &course);
    let server = watch.finish(merged.served);
    let generator = watch.generator(&merged.generator, merged.total.seconds);
    let mut outcome = Run {
        schema: SCHEMA,
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        run_id,
        started,
        scenario: scenario.clone(),
        workers,
        machine,
        total: merged.total,
        phases: merged.phases,
        seconds: course.seconds(&spans),
        audit: merged.audit,
        connections: merged.connections,
        server,
        generator,
        validity: validity::judge(scenario, &course, &merged.facts),
        thresholds: Vec::new(),
        interrupted: course.interrupted,
    };
    validity::add_measured(scenario, &mut outcome);
    outcome.validity.warnings.extend(watch.warnings());
    outcome.thresholds = thresholds::judge(&outcome)?;
    Ok(outcome)
}
