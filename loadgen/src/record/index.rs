//! The table in `results/README.md`: a row per record, made from the folders, so that it cannot say anything else.
//!
//! Only what is between the two markers is written; the rest of the file is people's.

mod row;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::folder::{self, FolderError};
use row::{Row, cell};

/// The line before the table.
pub const BEGIN: &str = "<!-- loadgen index: written by `loadgen index`, do not edit -->";
/// The line after it.
pub const END: &str = "<!-- loadgen index: end -->";

/// What a new README says above the table.
const INTRODUCTION: &str = "\
# Results

What was measured, and with what. Figures are compared within one machine class only: the first part of a record's path.
In a record, `manifest.toml` says what was run and from which source, `host.toml` on which machine; `run-*.json` are the
runs, wholly (`loadgen report run-*.json` makes a page of them), `runs.csv` and `runs.hlog` the same for other tools.

";

/// Why there is no index.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A folder or file cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A record is broken.
    #[error("{path}: {problem}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The README has one marker without the other, or one twice.
    #[error("{path}: the markers of the index must be there once each, in order, or not at all: {BEGIN} and {END}")]
    Markers {
        /// The README.
        path: PathBuf,
    },
    /// The README is not what the folders say.
    #[error("{path} is not up to date: run `loadgen index`")]
    Outdated {
        /// The README.
        path: PathBuf,
    },
    /// The README cannot be written.
    #[error(transparent)]
    Write(#[from] FolderError),
}

/// Whether the README was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was.
    Written,
    /// It was up to date.
    No,
}

/// Writes the table into `README.md` of `results_dir`, which is made if it is not there. Twice in a row, the second
/// time changes nothing.
///
/// # Errors
/// See [`IndexError`]; the README is as it was then.
pub fn update(results_dir: &Path) -> Result<Changed, IndexError> {
    let path = results_dir.join("README.md");
    let (old, new) = old_and_new(results_dir, &path)?;
    if old.as_deref() == Some(&new) {
        return Ok(Changed::No);
    }
    folder::replace_file(&path, new.as_bytes())?;
    Ok(Changed::Written)
}

/// Checks that `README.md` of `results_dir` is what [`update`] would write.
///
/// # Errors
/// [`IndexError::Outdated`] if it is not; else see [`IndexError`].
pub fn check(results_dir: &Path) -> Result<(), IndexError> {
    let path = results_dir.join("README.md");
    let (old, new) = old_and_new(results_dir, &path)?;
    if old.as_deref() == Some(&new) { Ok(()) } else { Err(IndexError::Outdated { path }) }
}

fn old_and_new(results_dir: &Path, path: &Path) -> Result<(Option<String>, String), IndexError> {
    let table = table(results_dir)?;
    let old = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(IndexError::Read { path: path.to_owned(), source }),
    };
    let new = insert(old.as_deref().unwrap_or(INTRODUCTION), &table);
    Ok((old, new.ok_or_else(|| IndexError::Markers { path: path.to_owned() })?))
}

/// `text` with the table between its markers, which are put at the end if there are none; none if they are broken.
fn insert(text: &str, table: &str) -> Option<String> {
    match (text.matches(BEGIN).count(), text.matches(END).count()) {
        (0, 0) => {
            let gap = if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Some(format!("{text}{newline}{gap}{BEGIN}\n\n{table}\n{END}\n"))
        }
        (1, 1) => {
            let (before, rest) = text.split_once(BEGIN)?;
            let (_, after) = rest.split_once(END)?;
            Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
        }
        _ => None,
    }
}

/// The folders in `folder` by name; hidden ones, of records that are being written, are not among them.
fn folders(folder: &Path) -> Result<Vec<String>, IndexError> {
    let error = |source| IndexError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The tables: records by machine class, then folders that people made.
fn table(results_dir: &Path) -> Result<String, IndexError> {
    let mut records = String::new();
    let mut by_hand = String::new();
    for class in folders(results_dir)? {
        let mut rows = Vec::new();
        for scenario in folders(&results_dir.join(&class))? {
            for revision in folders(&results_dir.join(&class).join(&scenario))? {
                let path = format!("{class}/{scenario}/{revision}");
                rows.extend(Row::read(results_dir, &path, &scenario, &revision)?);
            }
        }
        // The newest last, as they grow; equal times by path.
        rows.sort_by(|left, right| left.order().cmp(&right.order()));

        if !rows.is_empty() {
            write_class(&mut records, &class, &rows);
        } else if let Some(title) = title(&results_dir.join(&class).join("README.md"))? {
            writeln!(by_hand, "| [{class}]({class}/README.md) | {} |", cell(&title)).expect("a String takes all");
        }
    }
    if !by_hand.is_empty() {
        by_hand.insert_str(0, "## Written by hand\n\n| folder | about |\n| --- | --- |\n");
    }
    Ok(match (records.is_empty(), by_hand.is_empty()) {
        (true, true) => "Nothing is recorded yet.\n".to_owned(),
        (false, false) => format!("{records}\n{by_hand}"),
        _ => records + &by_hand,
    })
}

fn write_class(out: &mut String, class: &str, rows: &[Row]) {
    let gap = if out.is_empty() { "" } else { "\n" };
    writeln!(out, "{gap}## {class}\n\nMedians of the valid runs.\n").expect("a String takes all");
    let columns = [
        "scenario",
        "record",
        "begun",
        "valid runs",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "lost",
        "server µs/delivery",
        "verdict",
    ];
    writeln!(out, "| {} |", columns.join(" | ")).expect("a String takes all");
    writeln!(out, "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |").expect("a String takes all");
    for row in rows {
        writeln!(out, "{}", row.line()).expect("a String takes all");
    }
}

/// The first heading of a README; its name if it has none; none if it is not there.
fn title(path: &Path) -> Result<Option<String>, IndexError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let heading = text.lines().find_map(|line| line.strip_prefix("# "));
            Ok(Some(heading.unwrap_or("README.md").trim().to_owned()))
        }
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => Ok(None),
        Err(source) => Err(IndexError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
