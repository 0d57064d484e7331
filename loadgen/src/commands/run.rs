//! `loadgen run`: a run, what is shown of it, and where it is kept.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use crate::cli::{OutputOptions, RunFormat, RunOptions, Show};
use crate::exit::Exit;
use crate::live::{self, LiveKind};
use crate::machine::Kernel;
use crate::machine::calibrate::calibrate;
use crate::outcome::Run;
use crate::output::text::Colour;
use crate::output::{self, Format};
use crate::run::{Conduct, Interrupt, run};
use crate::scenario::Scenario;

use super::{CommandError, keep};

/// Runs `scenario` and reports.
///
/// # Errors
/// There is no outcome, or it could not be kept; the report has been printed in that case.
pub fn execute(
    scenario: &Scenario,
    options: &RunOptions,
    interrupt: Interrupt,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let (sender, receiver) = sync_channel(1);
    let kind = match options.show {
        Show::LiveOrLines(every) => match LiveKind::for_output(&io::stderr()) {
            LiveKind::Plain { .. } => LiveKind::Plain { every },
            live => live,
        },
        Show::Lines(every) => LiveKind::Plain { every },
        Show::Nothing => LiveKind::Silent,
    };
    let view = live::start(kind, receiver, Box::new(io::stderr()));
    let conduct = Conduct { setup: options.setup.clone(), live: Some(sender), interrupt, beside: None };
    let outcome = run(scenario, &conduct);
    drop(conduct);
    view.finish();
    let outcome = outcome?;
    // First of all what was measured: whatever fails behind this, it has been said.
    match options.output.format {
        RunFormat::Text => {
            let colour = if io::stdout().is_terminal() { Colour::Ansi } else { Colour::Never };
            output::text::write(&outcome, colour, out)?;
        }
        RunFormat::Json => output::json::write(&outcome, out)?,
    }
    out.flush()?;
    keep(&outcome, &options.output)?;
    Ok(exit_of(&outcome))
}

/// What a run ends with.
#[must_use]
pub fn exit_of(run: &Run) -> Exit {
    if run.interrupted {
        Exit::Interrupted
    } else if !run.validity.is_valid() {
        Exit::Invalid
    } else if run.thresholds.iter().any(|threshold| !threshold.met) {
        Exit::Threshold
    } else {
        Exit::Ok
    }
}

fn keep(outcome: &Run, options: &OutputOptions) -> Result<(), CommandError> {
    let written = options.out.as_ref().map_or(Ok(()), |folder| write_folder(outcome, folder));
    if let Some(results) = &options.record {
        let mut recorded = outcome.clone();
        recorded.machine.calibration = calibrate(&Kernel::default());
        let runs = [("run-1".to_owned(), recorded)];
        // Standard output may be the outcome's as JSON.
        // A disk that takes nothing more may not be this one.
        let recorded = keep::record_in(results, &runs, (Path::new("."), &[]), &mut io::stderr());
        return written.and(recorded);
    }
    written
}

/// Writes a run in every format into `folder`, which is made if it is not there. Each file is whole, or not there.
///
/// # Errors
/// Some cannot be written: the error names the first of these; the others are there.
pub fn write_folder(outcome: &Run, folder: &Path) -> Result<(), CommandError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = [
        ("run.json", Format::Json),
        ("run.hlog", Format::Hlog),
        ("run.hgrm", Format::Hgrm),
        ("run.csv", Format::Csv),
        ("report.html", Format::Html),
    ];
    let mut result = Ok(());
    for (name, format) in files {
        let path = folder.join(name);
        let mut bytes = Vec::new();
        let written = output::write(format, &outcome.scenario.name, outcome, &mut bytes);
        let written = written.and_then(|()| fs::write(&path, bytes).inspect_err(|_| remove_part(&path)));
        // A full disk may still take smaller ones.
        if let Err(error) = written.map_err(failed(&path)) {
            result = result.and(Err(error));
        }
    }
    result
}

/// Half a file must not be taken for a result. What is no plain file is somebody's device or link.
fn remove_part(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        // There is nobody to tell: the error that led here is on its way.
        fs::remove_file(path).ok();
    }
}
