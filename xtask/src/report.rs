//! Runs steps one after the other, says what happens, and counts.

use std::process::ExitCode;
use std::time::Instant;

use crate::steps::Step;

/// How a step ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// What went wrong, as a sentence.
    Failed(String),
    /// Why it could not run here, and the command after which it can.
    Skipped {
        why: String,
        enable: String,
    },
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(problem) => Self::Failed(problem),
        }
    }
}

/// What becomes of the later steps when one has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AfterFailure {
    Stop,
    KeepGoing,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Runs the steps; the last line printed is the count.
pub(crate) fn run(steps: &[&Step], after_failure: AfterFailure) -> ExitCode {
    let mut count = Count::default();
    let mut notes = Vec::new();
    let started = Instant::now();
    for (index, step) in steps.iter().enumerate() {
        println!("==> {} ({} of {}): {}", step.name, index + 1, steps.len(), step.summary);
        let begun = Instant::now();
        let outcome = (step.run)();
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Outcome::Passed => {
                println!("<== {} passed in {seconds:.1} s\n", step.name);
                count.passed += 1;
            }
            Outcome::Failed(problem) => {
                println!("<== {} FAILED after {seconds:.1} s: {problem}\n", step.name);
                notes.push(format!("failed: {}: {problem}", step.name));
                count.failed += 1;
                if after_failure == AfterFailure::Stop {
                    for later in &steps[index + 1..] {
                        notes.push(skipped(later, "a step before it failed", "cargo xtask test --keep-going"));
                        count.skipped += 1;
                    }
                    break;
                }
            }
            Outcome::Skipped { why, enable } => {
                println!("<== {} skipped after {seconds:.1} s\n", step.name);
                notes.push(skipped(step, &why, &enable));
                count.skipped += 1;
            }
        }
    }
    for note in notes {
        println!("{note}");
    }
    println!("{:.0} s in all", started.elapsed().as_secs_f64());
    println!("{}", summary(&count));
    if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn skipped(step: &Step, why: &str, enable: &str) -> String {
    format!("skipped: {}: {why}; to enable it: {enable}", step.name)
}

/// The one line that other programs read: its form is fixed.
fn summary(count: &Count) -> String {
    format!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_its_fixed_form() {
        assert_eq!(summary(&Count { passed: 9, failed: 1, skipped: 2 }), "9 passed, 1 failed, 2 skipped");
    }
}
