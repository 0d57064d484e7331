//! A workflow of GitHub Actions as its runner sees it: steps that use an action, and steps that run a shell.

use saphyr::{LoadableYamlNode as _, Yaml};

/// One step of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `uses`: an action and its inputs.
    Uses { action: String, with: Vec<(String, String)>, always: bool },
    /// `run`: a script for the shell, and the variables that the step sets.
    Run { script: String, variables: Vec<(String, String)> },
}

/// The steps of a workflow's only job, in order.
pub(crate) fn steps(text: &str) -> Vec<Step> {
    let documents = Yaml::load_from_str(text).expect("YAML");
    let [workflow] = documents.as_slice() else { panic!("{} documents", documents.len()) };
    let jobs = workflow.as_mapping_get("jobs").and_then(Yaml::as_mapping).expect("jobs");
    assert_eq!(jobs.len(), 1, "one job");
    let job = jobs.values().next().expect("there is one");
    assert!(text_at(job, "runs-on").is_some(), "runs-on");
    let steps = job.as_mapping_get("steps").and_then(Yaml::as_sequence).expect("steps");
    steps.iter().map(step).collect()
}

/// What starts the workflow.
pub(crate) fn trigger(text: &str) -> Option<String> {
    let documents = Yaml::load_from_str(text).expect("YAML");
    text_at(documents.first()?, "on")
}

fn step(step: &Yaml<'_>) -> Step {
    match (text_at(step, "uses"), text_at(step, "run")) {
        (Some(action), None) => {
            let always = text_at(step, "if").as_deref() == Some("always()");
            Step::Uses { action, with: table(step, "with"), always }
        }
        (None, Some(script)) => Step::Run { script, variables: table(step, "env") },
        _ => panic!("a step either uses an action or runs a script: {step:?}"),
    }
}

fn table(node: &Yaml<'_>, key: &str) -> Vec<(String, String)> {
    let entries = node.as_mapping_get(key).and_then(Yaml::as_mapping).into_iter().flatten();
    entries.map(|(key, value)| (text_of(key).expect("a name"), text_of(value).expect("a plain value"))).collect()
}

fn text_at(node: &Yaml<'_>, key: &str) -> Option<String> {
    node.as_mapping_get(key).and_then(text_of)
}

fn text_of(node: &Yaml<'_>) -> Option<String> {
    let number = || node.as_integer().map(|number| number.to_string());
    node.as_str().map(str::to_owned).or_else(number)
}

/// `text` with the expressions `${{ … }}` that the runner fills in.
pub(crate) fn filled(text: &str, context: &[(&str, &str)]) -> String {
    let mut pieces = text.split("${{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (expression, rest) = piece.split_once("}}").expect("an expression ends");
        let expression = expression.trim();
        let value = context.iter().find(|(name, _)| *name == expression);
        filled += value.unwrap_or_else(|| panic!("nothing is known of {expression}")).1;
        filled += rest;
    }
    filled
}

/// Whether `action` is `owner/name@vN`: a name without a version, or a branch, changes under whoever copies it.
pub(crate) fn has_version(action: &str) -> bool {
    let Some((name, version)) = action.split_once('@') else { return false };
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let names: Vec<&str> = name.split('/').collect();
    let digits = version.strip_prefix('v').unwrap_or_default();
    names.len() == 2
        && names.into_iter().all(is_word)
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
