//! Files that a command leaves.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::output::{csv, hlog};
use crate::record::{ExtraFile, RecordContext, index, record};

use super::CommandError;
use super::kept::Labelled;

/// Writes a file anew; an error names it.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        content(&mut file)?;
        file.flush()
    });
    written.map_err(|source| CommandError::Write { path: path.to_owned(), source })
}

/// Keeps these runs, in the order in which they ran, and files of `folder` if they are there, in the folder of results;
/// brings its index up to date.
pub(super) fn record_in(
    results: &Path,
    runs: &[Labelled],
    (folder, names): (&Path, &[&str]),
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for &name in names {
        match std::fs::read(folder.join(name)) {
            Ok(bytes) => files.push((name, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CommandError::Read { path: folder.join(name), source }),
        }
    }
    let (mut log, mut table) = (Vec::new(), Vec::new());
    hlog::write_runs(runs, &mut log)?;
    csv::write_runs(runs, &mut table)?;
    files.extend([("runs.hlog", log), ("runs.csv", table)]);
    let extra: Vec<ExtraFile<'_>> = files.iter().map(|(name, bytes)| ExtraFile { name, bytes }).collect();
    let arguments: Vec<String> = std::env::args().collect();
    // Of `base pair-001` the side.
    let order = runs.iter().map(|(label, _)| label.split(' ').next().unwrap_or(label).to_owned()).collect();
    let context = RecordContext::gather(Path::new("."), &arguments, order);
    let runs: Vec<_> = runs.iter().map(|(_, run)| run.clone()).collect();
    let path = record(results, &runs, &context, &extra)?;
    writeln!(out, "recorded in {}", path.display())?;
    index::update(results)?;
    Ok(())
}
