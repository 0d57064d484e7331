//! Runs that were kept as files, and what they are called.

use std::path::{Path, PathBuf};

use crate::outcome::Run;
use crate::output::json;

use super::CommandError;

/// Files of loadgen's folders that are no runs.
const NO_RUNS: [&str; 4] = ["verdict.json", "trial.json", "search.json", "plan.json"];

/// A run and what it is called.
pub(super) type Labelled = (String, Run);

/// The runs that these files and folders hold, each with a label that no other has: the file's name, or the folder's
/// if the file is its `run.json`.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<Labelled>, CommandError> {
    let files: Vec<PathBuf> =
        paths.iter().map(|path| files_of(path)).collect::<Result<Vec<_>, CommandError>>()?.concat();
    let runs: Vec<Run> = files.iter().map(|file| read(file)).collect::<Result<_, CommandError>>()?;
    Ok(labels(&files).into_iter().zip(runs).collect())
}

/// The run of one file.
pub(super) fn read(file: &Path) -> Result<Run, CommandError> {
    let usage = |problem: String| CommandError::Usage(format!("{}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| usage(error.to_string()))?;
    json::read(&text).map_err(|error| usage(error.to_string()))
}

/// The path itself; of a folder its `run.json`, or else all runs in it.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let single = path.join("run.json");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let entries = std::fs::read_dir(path).map_err(|source| CommandError::Read { path: path.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".json") && !NO_RUNS.contains(&name)
        })
        .collect();
    if files.is_empty() {
        return Err(CommandError::Usage(format!("{}: no run.json and no other run in it", path.display())));
    }
    files.sort();
    Ok(files)
}

fn labels(files: &[PathBuf]) -> Vec<String> {
    let named: Vec<String> = files.iter().map(|file| label(file)).collect();
    let is_alone = |label: &String| named.iter().filter(|other| *other == label).count() == 1;
    let whole = |file: &PathBuf| file.display().to_string();
    named.iter().zip(files).map(|(label, file)| if is_alone(label) { label.clone() } else { whole(file) }).collect()
}

fn label(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match (stem.as_str(), folder) {
        ("run", Some(folder)) => folder,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use crate::compare::simulated::blank_run;
    use crate::exit::Exit;
    use crate::scenario::Scenario;

    use super::*;

    #[test]
    fn labels_tell_runs_apart() {
        for (files, wanted) in [
            (vec!["out/run.json"], vec!["out"]),
            (vec!["a/run.json", "b/run.json", "c.json"], vec!["a", "b", "c"]),
            (vec!["a/run-01.json", "b/run-01.json"], vec!["a/run-01.json", "b/run-01.json"]),
            (vec!["run.json"], vec!["run"]),
        ] {
            let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
            assert_eq!(labels(&files), wanted);
        }
    }

    #[test]
    fn folders_are_their_runs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let mut bytes = Vec::new();
            json::write(&blank_run(&Scenario::default()), &mut bytes).unwrap();
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let read = || read_all(&[folder.path().to_owned()]);
        assert!(matches!(read().unwrap_err(), CommandError::Usage(_)));
        write("run-02.json");
        write("run-01.json");
        std::fs::write(folder.path().join("verdict.json"), "{}").unwrap();
        let labels: Vec<String> = read().unwrap().into_iter().map(|(label, _)| label).collect();
        assert_eq!(labels, ["run-01", "run-02"]);
        write("run.json");
        assert_eq!(read().unwrap().len(), 1);
        std::fs::write(folder.path().join("run.json"), "{\"schema\": 99}").unwrap();
        let error = read().unwrap_err();
        assert!(error.exit() == Exit::Usage && error.to_string().contains("run.json: schema 99"), "{error}");
    }
}
