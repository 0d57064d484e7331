//! `loadgen report`.

use std::io::Write;

use loadgen::cli::ReportOptions;
use loadgen::exit::Exit;
use loadgen::output::html;

use super::{keep, kept};

/// Makes one page of runs.
pub(crate) fn report(options: &ReportOptions, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runs = kept::read_all(&options.runs)?;
    match &options.out {
        None => html::report(&runs, out)?,
        Some(file) => keep::write(file, |file| html::report(&runs, file))?,
    }
    Ok(Exit::Ok)
}
