//! `cargo xtask fuzz`: builds the fuzz targets with coverage instrumentation, by flags of the stable compiler, and runs
//! them, two at a time.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::command::{Running, cargo, ensure, succeed};
use crate::report::Outcome;

/// A fuzz target: `fuzz/src/NAME.rs`, its seeds in `fuzz/corpus/NAME/`.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Longest input that is tried, bytes.
    bytes_max: u32,
}

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "session", bytes_max: 4_096 },
    Target { name: "api", bytes_max: 4_096 },
    Target { name: "commands", bytes_max: 4_096 },
    Target { name: "frame", bytes_max: 4_096 },
    Target { name: "deflate", bytes_max: 4_096 },
    Target { name: "payload", bytes_max: 4_096 },
    Target { name: "handshake", bytes_max: 9_000 },
    Target { name: "config", bytes_max: 4_096 },
    Target { name: "position", bytes_max: 512 },
];

/// What each target gets in the test.
pub(crate) const SECONDS: u32 = 60;

/// Targets that run at the same time: on two cores each has two thirds of its time.
const WORKERS: usize = 3;

/// One input may take this long. A thousand times what it takes usually: the machine may be busy.
const INPUT_SECONDS_MAX: u32 = 10;
/// Memory of one target's process, MiB. What a decoder may take is bounded by the target itself.
const MEMORY_MIB_MAX: u32 = 1_024;
/// Time to start and to read the seeds, beside the time to run.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What cargo-fuzz sets, too: coverage by counters, and the operands of comparisons.
const INSTRUMENTATION: &[&str] = &[
    "--cfg fuzzing",
    // Of the binary, the targets use the decoders only.
    "-Adead_code",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

const FOLDER: &str = "fuzz";

/// What to do with the targets.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    /// Look for new findings for so many seconds each; with one seed the search begins the same way each time.
    Search { seconds: u32, seed: Option<u32> },
    /// Run these files, or all seeds if there are none, once.
    Repeat { inputs: Vec<String> },
}

/// Where the test's search begins: the same for everybody, so that a change is judged by what it changed and not by
/// luck. Other seeds are for `cargo xtask fuzz`.
const STEP_SEED: u32 = 1;

/// Every target, for a minute each: the step of the test.
pub(crate) fn step() -> Outcome {
    if let Err(why) = ensure("c++", "g++") {
        return Outcome::Skipped { why, enable: "apt-get install g++".to_owned() };
    }
    let names: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    run(&names, &Task::Search { seconds: SECONDS, seed: Some(STEP_SEED) }).into()
}

/// Does `task` with the targets called `names`.
pub(crate) fn run(names: &[String], task: &Task) -> Result<(), String> {
    let built = build()?;
    let chosen = TARGETS.iter().filter(|target| names.iter().any(|name| name == target.name));
    let waiting = Mutex::new(chosen.collect::<VecDeque<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    // The guard must not live while the target runs.
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(target) = next else { return };
                    match target.run(&built, task) {
                        Ok(line) => println!("    {}: {line}", target.name),
                        Err(problem) => {
                            println!("    {}: {problem}", target.name);
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(target.name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzzing found something: {}", failed.join(", "))) }
}

/// Builds all targets; where they are.
fn build() -> Result<PathBuf, String> {
    // With a target named, cargo instruments what is fuzzed only, not the build scripts and macros that it runs.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = Path::new(FOLDER).join("target");
    let mut build = cargo(&format!("build --release --target {host}"));
    // The lock file is not the project's: a dependency that the project has since gets added.
    build.args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(&folder);
    build.env("RUSTFLAGS", INSTRUMENTATION.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    succeed(&mut build)?;
    Ok(folder.join(host).join("release"))
}

impl Target {
    /// Runs it to its end; what to say about it.
    fn run(&self, built: &Path, task: &Task) -> Result<String, String> {
        let folder = |kind: &str| Path::new(FOLDER).join(kind).join(self.name);
        // A search that is to be the same each time must not go on where an earlier one ended.
        let repeats = matches!(task, Task::Search { seed: Some(_), .. });
        let found = folder(if repeats { "target/found-by-step" } else { "target/found" });
        if repeats && found.exists() {
            fs::remove_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        }
        let (seeds, crashes) = (folder("corpus"), folder("artifacts"));
        let log = folder("target").with_file_name(format!("{}.log", self.name));
        for made in [&found, &crashes] {
            fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
        }
        let mut fuzzer = Command::new(built.join(self.name));
        fuzzer.args([
            format!("-max_len={}", self.bytes_max),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
            format!("-artifact_prefix={}/", crashes.display()),
            // Which edges, not how often: a corpus a quarter as large, so that each input is tried more.
            "-use_counters=0".to_owned(),
            "-print_final_stats=1".to_owned(),
        ]);
        let words = Path::new(FOLDER).join("dictionaries").join(self.name);
        if words.is_file() {
            fuzzer.arg(format!("-dict={}", words.display()));
        }
        let mut limit = START_LIMIT;
        match task {
            Task::Search { seconds, seed } => {
                limit += Duration::from_secs(u64::from(*seconds));
                if let Some(seed) = seed {
                    fuzzer.arg(format!("-seed={seed}"));
                }
                // What is found is kept in the first folder.
                fuzzer.arg(format!("-max_total_time={seconds}")).arg(found).arg(seeds);
            }
            Task::Repeat { inputs } if inputs.is_empty() => {
                fuzzer.arg("-runs=0").arg(seeds);
            }
            Task::Repeat { inputs } => {
                fuzzer.args(inputs);
            }
        }
        let file = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (errors, output) = file.map_err(|error| format!("{}: {error}", log.display()))?;
        let running = Running::start(fuzzer.stdout(output).stderr(errors))?;
        let status = running.wait(limit);
        let said = fs::read(&log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        match status {
            None => Err(format!("has not ended after {} s, see {}", limit.as_secs(), log.display())),
            Some(Err(problem)) => Err(problem),
            Some(Ok(status)) if status.success() => Ok(summary(&said)),
            Some(Ok(status)) => Err(format!("{status}, see {}\n{}", log.display(), finding(self.name, &said))),
        }
    }
}

/// The figures at the end of what a target said.
fn summary(said: &str) -> String {
    let figure = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    let covered = said
        .lines()
        .rev()
        .find_map(|line| line.split_once(" cov: "))
        .map_or("?", |(_, rest)| rest.split(' ').next().unwrap_or("?"));
    format!(
        "{} inputs, {} of them new, {covered} edges covered, {} MiB",
        figure("stat::number_of_executed_units:"),
        figure("stat::new_units_added:"),
        figure("stat::peak_rss_mb:"),
    )
}

/// What a target said when it found something: the panic, the input's file, and how to run that again.
fn finding(name: &str, said: &str) -> String {
    let mark = "Test unit written to ";
    let input = said.lines().find_map(|line| line.split_once(mark)).map(|(_, path)| path.trim());
    let telling = |line: &&str| {
        ["panicked at", "ERROR: libFuzzer", "memory allocation", "SUMMARY:", mark]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut lines: Vec<String> = Vec::new();
    let mut all = said.lines().peekable();
    while let Some(line) = all.next() {
        if telling(&line) {
            lines.push(format!("        {line}"));
            if line.contains("panicked at")
                && let Some(message) = all.peek()
            {
                lines.push(format!("        {message}"));
            }
        }
    }
    if let Some(input) = input {
        lines.push(format!("        again with: cargo xtask fuzz {name} --input {input}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_source_and_its_seeds() {
        let fuzz = crate::root().join(FOLDER);
        for Target { name, .. } in TARGETS {
            assert!(fuzz.join(format!("src/{name}.rs")).is_file(), "{name}");
            assert!(fuzz.join("corpus").join(name).read_dir().is_ok_and(|mut seeds| seeds.next().is_some()), "{name}");
        }
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the manifest");
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len(), "every target is run");
    }

    #[test]
    fn what_a_target_says_is_told_in_short() {
        let said = "#9\tDONE   cov: 71 ft: 99\nstat::number_of_executed_units: 9\nstat::new_units_added: 3\n\
                    stat::peak_rss_mb: 40\n";
        assert_eq!(summary(said), "9 inputs, 3 of them new, 71 edges covered, 40 MiB");
        let said =
            "thread panicked at src/a.rs:1:\nno such thing\nartifact_prefix='x/'; Test unit written to x/crash-1\n";
        let told = finding("frame", said);
        for words in ["src/a.rs:1", "no such thing", "cargo xtask fuzz frame --input x/crash-1"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
