//! From a file and flags to a whole, checked scenario; and back to a file.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::check::{self, PayloadBytesMin, Problem};
use super::fields::{self, Kind};
use super::overrides::Overrides;
use super::{Phase, PhaseKind, Scenario};
use crate::nearest::did_you_mean;

/// Length of the warm-up if nothing says otherwise.
const WARM_UP: Duration = Duration::from_secs(2);
/// Length of the measured phase if nothing says otherwise.
const MEASURED: Duration = Duration::from_secs(10);

/// Why there is no scenario. Each is bad usage.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the scenario {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{origin}: {message}")]
    Toml {
        /// The file, or the command line.
        origin: String,
        /// Says the line, with a picture of it.
        message: String,
    },
    /// The file has keys that no scenario has.
    #[error("{path}:{}", lines(keys))]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// All of them.
        keys: Vec<UnknownKey>,
    },
    /// The scenario cannot be run.
    #[error("{origin}:{}", lines(problems))]
    Problems {
        /// The file, or the command line.
        origin: String,
        /// All of them.
        problems: Vec<Problem>,
    },
}

/// A key that no scenario has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: no field \"{path}\"{}", did_you_mean(*nearest))]
pub struct UnknownKey {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The key, with its table.
    pub path: String,
    /// The field that is nearest to it.
    pub nearest: Option<&'static str>,
}

/// One thing stays on the line of the file's name; several get a line each.
fn lines<T: fmt::Display>(things: &[T]) -> String {
    match things {
        [one] => format!(" {one}"),
        many => many.iter().map(|one| format!("\n  {one}")).collect(),
    }
}

/// Stands for a port in URLs where servers are started on a free one.
pub const PORT: &str = "{port}";

/// Whether URLs may have [`PORT`] in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// They name their ports.
    Named,
    /// They may: whoever starts the server puts its port there.
    Chosen,
}

/// Reads the file, if any, puts the overrides over it, fills in phases and their names, and checks the whole.
///
/// # Errors
/// See [`LoadError`]; all unknown keys, or all problems, at once.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    payload_bytes_min: PayloadBytesMin,
) -> Result<Scenario, LoadError> {
    load_for(Ports::Named, file, overrides, payload_bytes_min)
}

/// As [`load`], for one who starts the servers.
///
/// # Errors
/// As [`load`].
pub fn load_for(
    ports: Ports,
    file: Option<&Path>,
    overrides: &Overrides,
    payload_bytes_min: PayloadBytesMin,
) -> Result<Scenario, LoadError> {
    let text = match file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?
        }
        None => String::new(),
    };
    let path = file.unwrap_or_else(|| Path::new("command line"));
    let mut scenario = parse(&text, path, overrides)?;
    let mut problems = fill_phases(&mut scenario, overrides);
    let checked = match ports {
        Ports::Named => scenario.clone(),
        Ports::Chosen => with_some_port(&scenario),
    };
    problems.extend(check::check(&checked, payload_bytes_min, &check::is_local));
    if problems.is_empty() {
        Ok(scenario)
    } else {
        Err(LoadError::Problems { origin: path.display().to_string(), problems })
    }
}

/// What it will be like when a port has been chosen.
fn with_some_port(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    let target = &mut scenario.target;
    for url in [Some(&mut target.url), target.publish_url.as_mut()].into_iter().flatten() {
        *url = url.replace(PORT, "1");
    }
    scenario
}

fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Scenario, LoadError> {
    let origin = path.display().to_string();
    let wrong = |error: toml::de::Error| LoadError::Toml {
        origin: origin.clone(),
        message: error.to_string().trim_end().to_owned(),
    };
    let document = DeTable::parse(text).map_err(wrong)?;
    let mut keys = Vec::new();
    unknown_keys(document.get_ref(), "", text, &mut keys);
    if !keys.is_empty() {
        keys.sort_by_key(|key| key.line);
        return Err(LoadError::UnknownKeys { path: path.to_owned(), keys });
    }
    // Alone first: an error then shows the file's line.
    drop(toml::from_str::<Scenario>(text).map_err(wrong)?);
    let mut table: toml::Table = text.parse().map_err(wrong)?;
    overrides.apply(&mut table);
    let publishers = table.get("publishers");
    let says = |key| publishers.is_some_and(|publishers| publishers.get(key).is_some());
    if says("window") && says("rate_per_second") {
        let problem = check::window_and_rate("publishers.rate_per_second");
        return Err(LoadError::Problems { origin, problems: vec![problem] });
    }
    if !overrides.phases.is_empty() {
        table.remove("phase");
    }
    table.try_into().map_err(wrong)
}

fn unknown_keys(table: &DeTable<'_>, prefix: &str, text: &str, into: &mut Vec<UnknownKey>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        if let Some(field) = fields::find(&path) {
            debug_assert!(field.kind == Kind::Table || !path.is_empty(), "a field has a path");
            continue;
        }
        let is_section = !path.is_empty() && fields::SECTIONS.iter().any(|&(section, _)| section == path);
        match value.get_ref() {
            DeValue::Table(inner) if is_section => unknown_keys(inner, &format!("{path}."), text, into),
            DeValue::Array(items) if is_section => {
                for inner in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    unknown_keys(inner, &format!("{path}."), text, into);
                }
            }
            // A section that is no table has the wrong type, which is told elsewhere.
            _ if is_section => {}
            _ => {
                let nearest = fields::nearest_path(&path);
                into.push(UnknownKey { line: line_of(text, &key.span()), path, nearest });
            }
        }
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1
}

/// Makes the phases what the flags and the defaults say, and names them.
fn fill_phases(scenario: &mut Scenario, overrides: &Overrides) -> Vec<Problem> {
    let phase = |kind, duration| Phase { name: String::new(), kind, duration, rate_per_second: None };
    if !overrides.phases.is_empty() {
        scenario.phases.clone_from(&overrides.phases);
    }
    let mut problems = Vec::new();
    let phases = &mut scenario.phases;
    if phases.is_empty() {
        phases.extend([phase(PhaseKind::WarmUp, WARM_UP), phase(PhaseKind::Measured, MEASURED)]);
    }
    if let Some(duration) = overrides.warm_up {
        match phases.iter().position(|phase| phase.kind == PhaseKind::WarmUp) {
            Some(index) if duration.is_zero() => drop(phases.remove(index)),
            Some(index) => phases[index].duration = duration,
            None if duration.is_zero() => {}
            None => phases.insert(0, phase(PhaseKind::WarmUp, duration)),
        }
    }
    if let Some(duration) = overrides.duration {
        let mut measured: Vec<&mut Phase> =
            phases.iter_mut().filter(|phase| phase.kind == PhaseKind::Measured).collect();
        match &mut measured[..] {
            [one] => one.duration = duration,
            many => problems.push(Problem {
                field: "phase.duration".to_owned(),
                text: format!("--duration is for one measured phase, there are {}: use --phase", many.len()),
            }),
        }
    }
    name_phases(phases);
    problems
}

/// A phase without a name gets that of its kind, with a number if there are several.
fn name_phases(phases: &mut [Phase]) {
    for kind in [PhaseKind::WarmUp, PhaseKind::Measured, PhaseKind::CoolDown] {
        let count = phases.iter().filter(|phase| phase.kind == kind).count();
        for (index, phase) in phases.iter_mut().filter(|phase| phase.kind == kind).enumerate() {
            if phase.name.is_empty() {
                let word = kind_name(kind);
                phase.name = if count == 1 { word.to_owned() } else { format!("{word}-{}", index + 1) };
            }
        }
    }
}

/// The kind's word in the file.
#[must_use]
pub const fn kind_name(kind: PhaseKind) -> &'static str {
    match kind {
        PhaseKind::WarmUp => "warm-up",
        PhaseKind::Measured => "measured",
        PhaseKind::CoolDown => "cool-down",
    }
}

/// The whole scenario as a file that loads as the same scenario.
///
/// # Panics
/// If a number does not fit TOML, which loading rules out.
#[must_use]
pub fn to_toml(scenario: &Scenario) -> String {
    let text = toml::to_string(scenario).expect("a scenario consists of what TOML can say");
    if scenario.publishers.window.is_none() {
        return text;
    }
    // The rate has a default, and beside a window it would be refused.
    let mut section = "";
    let kept = text.lines().filter(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section != "[publishers]" || !line.starts_with("rate_per_second")
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
