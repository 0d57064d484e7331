//! The project's own tasks: `cargo xtask test` is the one command that checks everything, here and in CI.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to whoever started it")]

mod command;
mod fuzz;
mod report;
mod smoke;
mod steps;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use fuzz::{TARGETS, Task};
use report::AfterFailure;
use steps::{STEPS, Step};

const USAGE: &str = "\
Usage: cargo xtask test [--list] [--only NAME]... [--keep-going]
       cargo xtask fuzz [TARGET]... [--seconds N | --seeds | --input FILE]

  --list         name the steps and what each one does
  --only NAME    run this step alone (may be given several times)
  --keep-going   run the later steps too when one has failed

The last line is `N passed, M failed, K skipped`, in steps. Exit code: 0 if nothing failed, 1 if a step failed,
64 for a mistake in the arguments.

fuzz runs the targets of that name, or all of them:

  --seconds N    for so long each (default: 60)
  --seeds        with the committed seeds only, once
  --input FILE   with this file, once";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Request {
    Usage,
    List,
    Test { only: Vec<String>, after_failure: AfterFailure },
    Fuzz { targets: Vec<String>, task: Task },
}

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments) {
        Ok(Request::Usage) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Request::List) => {
            for step in STEPS {
                println!("{:<9} {}", step.name, step.summary);
            }
            ExitCode::SUCCESS
        }
        Ok(Request::Test { only, after_failure }) => {
            if let Err(code) = go_to_root() {
                return code;
            }
            let chosen = STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name));
            report::run(&chosen.collect::<Vec<&Step>>(), after_failure)
        }
        Ok(Request::Fuzz { targets, task }) => {
            if let Err(code) = go_to_root() {
                return code;
            }
            match fuzz::run(&targets, &task) {
                Ok(()) => ExitCode::SUCCESS,
                Err(problem) => {
                    eprintln!("xtask: {problem}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(problem) => {
            eprintln!("xtask: {problem}\n\n{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn go_to_root() -> Result<(), ExitCode> {
    std::env::set_current_dir(root()).map_err(|error| {
        eprintln!("xtask: the root of the project, {}: {error}", root().display());
        ExitCode::FAILURE
    })
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        Some("test") => {}
        Some("fuzz") => return parse_fuzz(words),
        Some("--help" | "-h" | "help") => return Ok(Request::Usage),
        Some(other) => return Err(format!("no such task: {other}")),
        None => return Err("which task?".to_owned()),
    }
    let mut only = Vec::new();
    let mut after_failure = AfterFailure::Stop;
    while let Some(word) = words.next() {
        match word {
            "--help" | "-h" => return Ok(Request::Usage),
            "--list" => return Ok(Request::List),
            "--keep-going" => after_failure = AfterFailure::KeepGoing,
            "--only" => {
                let name = words.next().ok_or("--only needs the name of a step")?;
                if !STEPS.iter().any(|step| step.name == name) {
                    return Err(format!("no such step: {name} (--list names them)"));
                }
                only.push(name.to_owned());
            }
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Request::Test { only, after_failure })
}

fn parse_fuzz<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Request, String> {
    let mut targets = Vec::new();
    let mut task = None;
    while let Some(word) = words.next() {
        let asked = match word {
            "--help" | "-h" => return Ok(Request::Usage),
            "--seconds" => {
                let seconds = words.next().and_then(|word| word.parse().ok());
                let seconds = seconds.filter(|n| *n > 0).ok_or("--seconds needs a number")?;
                Task::Search { seconds, seed: None }
            }
            "--seeds" => Task::Repeat { inputs: Vec::new() },
            "--input" => Task::Repeat { inputs: vec![words.next().ok_or("--input needs a file")?.to_owned()] },
            name if TARGETS.iter().any(|target| target.name == name) => {
                targets.push(name.to_owned());
                continue;
            }
            other => {
                let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                return Err(format!("no such target: {other} (there are {})", names.join(", ")));
            }
        };
        if task.replace(asked).is_some() {
            return Err("one of --seconds, --seeds and --input, once".to_owned());
        }
    }
    let task = task.unwrap_or(Task::Search { seconds: fuzz::SECONDS, seed: None });
    if targets.is_empty() {
        targets = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    }
    if matches!(&task, Task::Repeat { inputs } if !inputs.is_empty()) && targets.len() != 1 {
        return Err("--input needs one target".to_owned());
    }
    Ok(Request::Fuzz { targets, task })
}

/// The root of the project: the folder above this package.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the project")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Request, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_that_are_understood() {
        let everything = Request::Test { only: vec![], after_failure: AfterFailure::Stop };
        assert_eq!(parse_line("test"), Ok(everything));
        let two =
            Request::Test { only: vec!["fmt".to_owned(), "style".to_owned()], after_failure: AfterFailure::KeepGoing };
        assert_eq!(parse_line("test --only fmt --keep-going --only style"), Ok(two));
        assert_eq!(parse_line("test --list"), Ok(Request::List));
        let task = Task::Search { seconds: 3_600, seed: None };
        let long = Request::Fuzz { targets: vec!["frame".to_owned()], task };
        assert_eq!(parse_line("fuzz frame --seconds 3600"), Ok(long));
        let again = Request::Fuzz {
            targets: vec!["frame".to_owned()],
            task: Task::Repeat { inputs: vec!["crash-1".to_owned()] },
        };
        assert_eq!(parse_line("fuzz frame --input crash-1"), Ok(again));
        assert_eq!(parse_line("--help"), Ok(Request::Usage));
    }

    #[test]
    fn command_lines_that_are_refused() {
        let fuzz = ["fuzz nothing", "fuzz --seconds 0", "fuzz --input a", "fuzz frame --seeds --seconds 1"];
        for line in ["", "tset", "test --only", "test --only nothing", "test fmt"].into_iter().chain(fuzz) {
            assert!(parse_line(line).is_err(), "accepted: {line:?}");
        }
    }
}
