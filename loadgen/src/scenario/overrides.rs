//! What the command line says over a scenario's file.

use std::time::Duration;

use super::fields::{self, Kind};
use super::{Phase, PhaseKind};
use crate::nearest::did_you_mean;

/// Values by path, and what the flags of phases say. All of it wins over the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    values: Vec<(Vec<String>, toml::Value)>,
    /// `--phase`: if any, they replace those of the file.
    pub phases: Vec<Phase>,
    /// `--warm-up`: the length of the first warm-up; one is made if there is none, and zero takes it out.
    pub warm_up: Option<Duration>,
    /// `--duration`: the length of the measured phase.
    pub duration: Option<Duration>,
}

/// Why a flag cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Not `PATH=VALUE`, `NAME: VALUE` or `METRIC OP BOUND`.
    #[error("\"{text}\" is not {form}")]
    Form {
        /// What was given.
        text: String,
        /// What it has to be.
        form: &'static str,
    },
    /// No field has this path.
    #[error("no field \"{path}\"{}", did_you_mean(*nearest))]
    Unknown {
        /// What was given.
        path: String,
        /// The field that is nearest to it.
        nearest: Option<&'static str>,
    },
    /// The field takes something else.
    #[error("{path} = \"{text}\": {problem}")]
    Value {
        /// The field.
        path: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A metric has one bound.
    #[error("{metric} has two bounds, a scenario has one for each metric")]
    Twice {
        /// The metric.
        metric: String,
    },
    /// Phases are set as a whole.
    #[error("{path} cannot be set alone: use --phase, --warm-up or --duration")]
    Phase {
        /// The field.
        path: &'static str,
    },
}

impl Overrides {
    /// Sets the field of that path from a flag's text. An entry of a table has the table's path and its own name:
    /// `target.headers.Origin`.
    ///
    /// # Errors
    /// No such field, or it takes something else.
    pub fn set(&mut self, path: &str, text: &str) -> Result<(), OverrideError> {
        for field in fields::FIELDS.iter().filter(|field| field.kind == Kind::Table) {
            if let Some(name) = path.strip_prefix(field.path).and_then(|rest| rest.strip_prefix('.')) {
                self.entry(field.path, name, text);
                return Ok(());
            }
        }
        let Some(field) = fields::find(path).filter(|field| field.kind != Kind::Table) else {
            return Err(OverrideError::Unknown { path: path.to_owned(), nearest: fields::nearest_path(path) });
        };
        if field.section() == "phase" {
            return Err(OverrideError::Phase { path: field.path });
        }
        let value = fields::parse_value(field.kind, text).map_err(|problem| OverrideError::Value {
            path: field.path,
            text: text.to_owned(),
            problem,
        })?;
        self.values.push((field.path.split('.').map(str::to_owned).collect(), value));
        Ok(())
    }

    /// Takes `PATH=VALUE`.
    ///
    /// # Errors
    /// It is not of this form, or as [`Overrides::set`].
    pub fn set_pair(&mut self, pair: &str) -> Result<(), OverrideError> {
        let (path, text) = split(pair, "=", "PATH=VALUE, such as publishers.count=4")?;
        // A quoted value is meant as in the file.
        let plain = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        self.set(path, plain)
    }

    /// Takes a header as `NAME: VALUE`.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn header(&mut self, header: &str) -> Result<(), OverrideError> {
        let (name, value) = split(header, ":", "NAME: VALUE, such as \"Authorization: Bearer x\"")?;
        self.entry("target.headers", name, value);
        Ok(())
    }

    /// Takes a threshold as `METRIC OP BOUND`. What the words mean is checked with the whole scenario.
    ///
    /// # Errors
    /// It is not of this form, or another one of these bounds the same metric.
    pub fn threshold(&mut self, threshold: &str) -> Result<(), OverrideError> {
        let form = "METRIC OP BOUND, such as \"latency.p99 <= 20ms\"";
        let wrong = || OverrideError::Form { text: threshold.to_owned(), form };
        let at = threshold.find(['<', '>', '=']).ok_or_else(wrong)?;
        let (metric, bound) = threshold.split_at(at);
        if metric.trim().is_empty() {
            return Err(wrong());
        }
        let metric = metric.trim();
        if self.values.iter().any(|(path, _)| path.len() == 2 && path[0] == "thresholds" && path[1] == metric) {
            return Err(OverrideError::Twice { metric: metric.to_owned() });
        }
        self.entry("thresholds", metric, bound.trim());
        Ok(())
    }

    /// Takes a phase as `KIND:DURATION[:RATE[:NAME]]`.
    ///
    /// # Errors
    /// It is not of this form, or a part of it is not what the field takes.
    pub fn phase(&mut self, phase: &str) -> Result<(), OverrideError> {
        let form = "KIND:DURATION[:RATE[:NAME]], such as measured:10s:50";
        let mut parts = phase.splitn(4, ':');
        let (Some(kind), Some(duration)) = (parts.next(), parts.next()) else {
            return Err(OverrideError::Form { text: phase.to_owned(), form });
        };
        let wrong = |path, text: &str, problem| OverrideError::Value { path, text: text.to_owned(), problem };
        let kind = match kind {
            "warm-up" => PhaseKind::WarmUp,
            "measured" => PhaseKind::Measured,
            "cool-down" => PhaseKind::CoolDown,
            other => {
                return Err(wrong("phase.kind", other, "not one of warm-up, measured, cool-down".to_owned()));
            }
        };
        let duration = fields::duration(duration).map_err(|problem| wrong("phase.duration", duration, problem))?;
        let rate_per_second = match parts.next().filter(|rate| !rate.is_empty()) {
            Some(rate) => fields::parse_value(Kind::Number, rate)
                .map_err(|problem| wrong("phase.rate_per_second", rate, problem))?
                .as_float(),
            None => None,
        };
        let name = parts.next().unwrap_or_default().to_owned();
        self.phases.push(Phase { name, kind, duration, rate_per_second });
        Ok(())
    }

    /// Whether this field is set.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.values.iter().any(|(set, _)| set.iter().map(String::as_str).eq(path.split('.')))
    }

    /// Puts the values into a scenario's table, over what it says. A rate takes the file's window away and the other
    /// way round: only one of them can be meant.
    pub fn apply(&self, table: &mut toml::Table) {
        for (set, unset) in [("rate_per_second", "window"), ("window", "rate_per_second")] {
            let publishers = table.get_mut("publishers").and_then(toml::Value::as_table_mut);
            if let Some(publishers) = publishers.filter(|_| self.has(&format!("publishers.{set}"))) {
                publishers.remove(unset);
            }
        }
        for (path, value) in &self.values {
            insert(table, path, value.clone());
        }
    }

    fn entry(&mut self, table: &str, name: &str, text: &str) {
        let path = table.split('.').chain([name]).map(str::to_owned).collect();
        self.values.push((path, text.into()));
    }
}

fn split<'a>(text: &'a str, at: &str, form: &'static str) -> Result<(&'a str, &'a str), OverrideError> {
    match text.split_once(at) {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim(), value.trim())),
        _ => Err(OverrideError::Form { text: text.to_owned(), form }),
    }
}

/// Inserts at that path. What stands in its way and is no table is left for the reader of the table to refuse.
fn insert(table: &mut toml::Table, path: &[String], value: toml::Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| toml::Table::new().into());
            if let toml::Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let mut all = Overrides::default();
        all.set("publishers.rate_per_second", "50").unwrap();
        all.set_pair("target.url=\"ws://h/{room}?a=b\"").unwrap();
        all.set_pair("target.headers.Origin = http://h").unwrap();
        all.header("Authorization: Bearer a:b").unwrap();
        all.threshold("latency.p99<=20ms").unwrap();
        all.phase("measured:1m30s:20k:the peak").unwrap();
        let mut table: toml::Table = "[publishers]\nwindow = 3\ncount = 2".parse().unwrap();
        all.apply(&mut table);
        let wanted = "[publishers]\ncount = 2\nrate_per_second = 50.0\n[target]\nurl = 'ws://h/{room}?a=b'\n\
            [target.headers]\nOrigin = 'http://h'\nAuthorization = 'Bearer a:b'\n\
            [thresholds]\n'latency.p99' = '<=20ms'";
        assert_eq!(table, wanted.parse().unwrap());
        let phase = &all.phases[0];
        assert_eq!((phase.name.as_str(), phase.duration.as_secs(), phase.rate_per_second), ("the peak", 90, Some(2e4)));
    }

    #[test]
    fn wrong_forms() {
        let text = |result: Result<(), OverrideError>| result.unwrap_err().to_string();
        let all = &mut Overrides::default();
        for (said, wanted) in [
            (text(all.set_pair("publishers.rate=5")), "did you mean \"publishers.rate_per_second\"?"),
            (text(all.set_pair("seed")), "PATH=VALUE"),
            (text(all.set_pair("seed=x")), "not a whole number"),
            (text(all.set_pair("phase.duration=1s")), "--duration"),
            (text(all.set_pair("thresholds=x")), "no field"),
            (text(all.header("x")), "NAME: VALUE"),
            (text(all.threshold("latency.p99 20ms")), "METRIC OP BOUND"),
            (text(all.threshold("lost = 0").and_then(|()| all.threshold("lost < 5"))), "two bounds"),
            (text(all.phase("measured")), "KIND:DURATION"),
            (text(all.phase("warmup:1s")), "warm-up"),
            (text(all.phase("measured:1s:x")), "phase.rate_per_second"),
        ] {
            assert!(said.contains(wanted), "{said}");
        }
    }
}
