//! `loadgen search`.

use std::cell::RefCell;
use std::io::Write;

use crate::cli::{RunFormat, SearchOptions, Setup, Vary};
use crate::exit::Exit;
use crate::output::{csv, html, json};
use crate::payload;
use crate::scenario::Scenario;
use crate::search::{self, Attempt, Capacity, Limit, Loads, Plan, Stage};

use super::kept::Labelled;
use super::{CommandError, Drive, keep};

/// Each takes as long as the scenario: more is no search but a mistake.
const RUNS_MAX: u32 = 60;

/// Searches, tells of each run, and keeps what was asked to be kept.
///
/// # Errors
/// There is no scenario, not even its first run can be made, or something cannot be kept.
pub fn search(options: &SearchOptions, drive: &mut Drive<'_>, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let scenario = options.source.load(payload::bytes_min)?;
    search::scenario_at(&scenario, options.vary, 1.0).map_err(|error| CommandError::Usage(error.to_string()))?;
    super::server_is_looked_at(&scenario, &options.setup)?;
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder).map_err(|source| CommandError::Write { path: folder.clone(), source })?;
    }
    let (varied, loads) = match options.vary {
        Vary::Rate => ("messages/s", Loads::Any),
        Vary::Subscribers => ("subscribers", Loads::Whole),
    };
    let plan = Plan {
        from: options.from.unwrap_or_else(|| first_load(&scenario, options.vary)),
        to: options.to,
        precision: options.precision,
        loads,
        runs_max: RUNS_MAX,
    };
    let tells = options.format == RunFormat::Text;
    if tells {
        Attempt::write_head(varied, out)?;
    }
    let mut kept: Vec<Labelled> = Vec::new();
    let mut rows: Vec<Labelled> = Vec::new();
    let out = RefCell::new(out);
    let mut run_at = |load: f64| {
        let setup: &Setup = &options.setup;
        drive(&search::scenario_at(&scenario, options.vary, load)?, setup)
    };
    let mut watch = |attempt: &Attempt, run: Option<&crate::outcome::Run>| {
        if tells && attempt.stage != Stage::Curve {
            attempt.write_row(&mut **out.borrow_mut())?;
        }
        let (Some(folder), Some(run)) = (&options.out, run) else { return Ok(()) };
        let label = format!("{:02} {} {varied}", rows.len() + 1, attempt.load);
        let file = std::fs::File::create(folder.join(format!("run-{:02}.json", rows.len() + 1)))?;
        json::write(run, &mut std::io::BufWriter::new(file))?;
        if matches!(attempt.stage, Stage::Confirming | Stage::Curve) {
            kept.push((label.clone(), run.clone()));
        }
        rows.push((label, run.clone()));
        Ok(())
    };
    let capacity = search::search(plan, varied, &mut run_at, &mut watch)?;
    let out = out.into_inner();
    if let Some(folder) = &options.out {
        keep::write(&folder.join("search.json"), |file| Ok(serde_json::to_writer_pretty(file, &capacity)?))?;
        keep::write(&folder.join("runs.csv"), |file| csv::write_runs(&rows, file))?;
        let shown = if kept.is_empty() { &rows } else { &kept };
        keep::write(&folder.join("report.html"), |file| html::report(shown, file))?;
    }
    match options.format {
        RunFormat::Text => capacity.write(out)?,
        RunFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&capacity).map_err(std::io::Error::from)?)?,
    }
    Ok(exit_of(&capacity))
}

/// Where to begin if nobody says: at what the scenario asks for.
fn first_load(scenario: &Scenario, vary: Vary) -> f64 {
    match vary {
        Vary::Rate => {
            let of_phases = scenario.phases.iter().filter_map(|phase| phase.rate_per_second).reduce(f64::max);
            of_phases.unwrap_or(scenario.publishers.rate_per_second).max(1.0)
        }
        Vary::Subscribers => f64::from(scenario.subscribers.count.max(1)),
    }
}

fn exit_of(capacity: &Capacity) -> Exit {
    match (capacity.limit, capacity.load) {
        (Limit::Interrupted, _) => Exit::Interrupted,
        (_, Some(_)) => Exit::Ok,
        (_, None) if capacity.only_the_generator() => Exit::Invalid,
        (_, None) => Exit::Threshold,
    }
}
