//! `loadgen index`.

use std::io::Write;

use crate::cli::{IndexMode, IndexOptions};
use crate::exit::Exit;
use crate::record::index::{self, Changed};

use super::CommandError;

/// Brings the table in the README of the results up to date, or says whether it is.
///
/// # Errors
/// It is not up to date and was not to be written, or it cannot be made.
pub fn index(options: &IndexOptions, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let readme = options.results.join("README.md");
    let readme = readme.display();
    match options.mode {
        IndexMode::Check => {
            index::check(&options.results)?;
            writeln!(out, "{readme} is up to date")?;
        }
        IndexMode::Write => match index::update(&options.results)? {
            Changed::Written => writeln!(out, "{readme} is written")?,
            Changed::No => writeln!(out, "{readme} was up to date")?,
        },
    }
    Ok(Exit::Ok)
}
