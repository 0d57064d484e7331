//! `loadgen report`.

use std::io::Write;

use crate::cli::ReportOptions;
use crate::exit::Exit;
use crate::output::html;

use super::{CommandError, keep, kept};

/// Makes one page of runs.
///
/// # Errors
/// A run cannot be read, or the page cannot be written.
pub fn report(options: &ReportOptions, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let runs = kept::read_all(&options.runs)?;
    match &options.out {
        None => html::report(&runs, out)?,
        Some(file) => keep::write(file, |file| html::report(&runs, file))?,
    }
    Ok(Exit::Ok)
}
