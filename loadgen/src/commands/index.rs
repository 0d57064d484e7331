//! `loadgen index`.

use std::io::Write;

use loadgen::cli::{IndexMode, IndexOptions};
use loadgen::exit::Exit;
use loadgen::record::index::{self, Changed};

/// Brings the table in the README of the results up to date, or says whether it is.
pub(crate) fn index(options: &IndexOptions, out: &mut dyn Write) -> anyhow::Result<Exit> {
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
