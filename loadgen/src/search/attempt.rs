//! One run of a search: its load, what was judged, its figures.

use serde::Serialize;

use crate::outcome::Run;
use crate::output::units;
use crate::thresholds;

/// Which part of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Until one load holds and one does not.
    Growing,
    /// Between the two.
    Narrowing,
    /// The result again.
    Confirming,
    /// A part of the result.
    Curve,
}

/// What a run says of its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// The bounds hold.
    Holds,
    /// A bound does not, or the run is invalid for another reason than the generator.
    Breaks,
    /// The generator was late or busy: the figures say nothing about the server.
    GeneratorLimited,
    /// It was interrupted.
    Interrupted,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attempt {
    /// Of which part of the search.
    pub stage: Stage,
    /// The load.
    pub load: f64,
    /// What it says.
    pub judged: Judged,
    /// Why it does not hold.
    pub reasons: Vec<String>,
    /// What was measured; none if there was no run.
    pub point: Option<Point>,
}

/// A point of the curve. What was not measured is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Median latency, nanoseconds.
    pub p50_ns: Option<f64>,
    /// 99th percentile of the latency, nanoseconds.
    pub p99_ns: Option<f64>,
    /// Longest latency, nanoseconds.
    pub max_ns: Option<f64>,
    /// Deliveries per second.
    pub deliveries_per_second: Option<f64>,
    /// The server's CPU, cores.
    pub server_cpu: Option<f64>,
    /// The generator's busiest thread, part of a core.
    pub generator_cpu: Option<f64>,
}

impl Point {
    fn of(run: &Run) -> Self {
        let value = |name: &str| thresholds::value(name, run).ok().flatten();
        Self {
            p50_ns: value("latency.p50"),
            p99_ns: value("latency.p99"),
            max_ns: value("latency.max"),
            deliveries_per_second: value("deliveries_per_second"),
            server_cpu: value("server.cpu"),
            generator_cpu: value("generator.cpu"),
        }
    }
}

impl Attempt {
    pub(super) fn of(load: f64, stage: Stage, run: &Run) -> Self {
        let of_generator = generator_limits(run);
        let (judged, reasons) = if run.interrupted {
            (Judged::Interrupted, vec!["interrupted".to_owned()])
        } else if !of_generator.is_empty() {
            (Judged::GeneratorLimited, of_generator)
        } else {
            let unmet = run.thresholds.iter().filter(|threshold| !threshold.met).map(|threshold| {
                format!("{} {}, measured {}", threshold.metric, threshold.bound, thresholds::measured(threshold))
            });
            let reasons: Vec<String> = run.validity.problems.iter().cloned().chain(unmet).collect();
            (if reasons.is_empty() { Judged::Holds } else { Judged::Breaks }, reasons)
        };
        Self { stage, load, judged, reasons, point: Some(Point::of(run)) }
    }

    pub(super) fn without_run(load: f64, stage: Stage, error: String) -> Self {
        Self { stage, load, judged: Judged::Breaks, reasons: vec![error], point: None }
    }
}

/// Why the generator, not the server, decided how the run went.
fn generator_limits(run: &Run) -> Vec<String> {
    let limits = &run.scenario.limits;
    let (late_ns, busiest) = (run.total.lateness.percentile_ns(99.9), run.generator.busiest_thread);
    let late_max_ns = u64::try_from(limits.lateness_p999_max.as_nanos()).unwrap_or(u64::MAX);
    let late = (late_ns > late_max_ns).then(|| {
        format!(
            "publications left {} late (p99.9), {} may be",
            units::nanoseconds(late_ns),
            units::nanoseconds(late_max_ns)
        )
    });
    let busy = (busiest > limits.generator_cpu_max).then(|| {
        let (busiest, most) = (busiest * 100.0, limits.generator_cpu_max * 100.0);
        format!("the generator's busiest thread used {busiest:.0} % of a core, {most:.0} % may be")
    });
    late.into_iter().chain(busy).collect()
}
