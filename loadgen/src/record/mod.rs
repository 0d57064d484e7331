//! `results/`: what was measured, committed beside the code that it speaks of.
//!
//! ```text
//! results/
//!   README.md                        how to read it, and a table that `loadgen index` writes
//!   <machine class>/<scenario>/<revision>/
//!     manifest.toml                  what was run, from which source, in which order; the scenario itself
//!     host.toml                      the machine: facts, class, calibration
//!     run-01.json …                  each run wholly (`outcome::Run`)
//!     runs.hlog, runs.csv            histograms and a row per run, for other tools
//!     verdict.json, aa.toml          of a comparison
//! ```

mod folder;
pub mod index;
mod manifest;
pub mod source;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::outcome::Run;
pub use folder::FolderError;
pub use manifest::MANIFEST_SCHEMA;
pub use source::RecordContext;

/// Why nothing was recorded. What was measured is still with the caller.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is nothing to record.
    #[error("no run to record")]
    NoRuns,
    /// A name that cannot be a folder's or a file's.
    #[error("{what} {name:?} cannot name a folder: use letters, digits, `.`, `-` and `_`")]
    Name {
        /// What is named so.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A part of the record has no text form.
    #[error("{file} cannot be written as text: {problem}")]
    Format {
        /// The file it was for.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder could not be written; nothing of it is left.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// A file of a record that another part of loadgen made.
#[derive(Clone, Copy, Debug)]
pub struct ExtraFile<'a> {
    /// Its name, without folders.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// Writes a record of `runs` into `results_dir`, which is made if need be, and returns its folder:
/// `<machine class>/<scenario>/<revision>`, with `-2`, `-3` … behind it if that is there already. Machine and scenario
/// are those of the first run.
///
/// The folder appears whole or not at all: it is written under another name beside it, synchronised to the disk, then
/// renamed. Runs are written as JSON, some 10 to 100 KB each.
///
/// # Errors
/// See [`RecordError`]. Nothing is left in `results_dir` then but empty folders.
pub fn record(
    results_dir: &Path,
    runs: &[Run],
    context: &RecordContext,
    extra_files: &[ExtraFile<'_>],
) -> Result<PathBuf, RecordError> {
    let first = runs.first().ok_or(RecordError::NoRuns)?;
    let class = if first.machine.class.is_empty() { "unknown-machine" } else { &first.machine.class };
    let revision = context.folder_name(&first.started);
    for (what, name) in [("machine class", class), ("scenario", &first.scenario.name), ("revision", &revision)] {
        folder::check_name(what, name)?;
    }

    let mut files = vec![
        ("manifest.toml".to_owned(), manifest::manifest(runs, context)?.into_bytes()),
        ("host.toml".to_owned(), manifest::host(&first.machine)?.into_bytes()),
    ];
    for (index, run) in runs.iter().enumerate() {
        let name = manifest::run_file(index, runs.len());
        let format = |error: serde_json::Error| RecordError::Format { file: name.clone(), problem: error.to_string() };
        let mut json = serde_json::to_vec_pretty(run).map_err(format)?;
        json.push(b'\n');
        files.push((name, json));
    }
    for extra in extra_files {
        folder::check_name("file", extra.name)?;
        if files.iter().any(|(name, _)| name == extra.name) {
            return Err(RecordError::Name { what: "a second file", name: extra.name.to_owned() });
        }
        files.push((extra.name.to_owned(), extra.bytes.to_vec()));
    }
    Ok(folder::write(&results_dir.join(class).join(&first.scenario.name), &revision, &files)?)
}

#[cfg(test)]
mod tests;
