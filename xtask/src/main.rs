//! The project's own tasks: `cargo xtask test` is the one command that checks everything, here and in CI.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to whoever started it")]

mod command;
mod report;
mod smoke;
mod steps;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use report::AfterFailure;
use steps::{STEPS, Step};

const USAGE: &str = "\
Usage: cargo xtask test [--list] [--only NAME]... [--keep-going]

  --list         name the steps and what each one does
  --only NAME    run this step alone (may be given several times)
  --keep-going   run the later steps too when one has failed

The last line is `N passed, M failed, K skipped`, in steps. Exit code: 0 if nothing failed, 1 if a step failed,
64 for a mistake in the arguments.";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Request {
    Usage,
    List,
    Test { only: Vec<String>, after_failure: AfterFailure },
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
            if let Err(error) = std::env::set_current_dir(root()) {
                eprintln!("xtask: the root of the project, {}: {error}", root().display());
                return ExitCode::FAILURE;
            }
            let chosen = STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name));
            report::run(&chosen.collect::<Vec<&Step>>(), after_failure)
        }
        Err(problem) => {
            eprintln!("xtask: {problem}\n\n{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        Some("test") => {}
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
        assert_eq!(parse_line("--help"), Ok(Request::Usage));
    }

    #[test]
    fn command_lines_that_are_refused() {
        for line in ["", "tset", "test --only", "test --only nothing", "test fmt"] {
            assert!(parse_line(line).is_err(), "accepted: {line:?}");
        }
    }
}
