//! A row of the table: what it shows of one record.

use std::path::Path;

use serde_json::Value;

use super::IndexError;

/// Text as a cell of a table: names come from scenarios, which anybody may have written.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

/// A record.
#[derive(Debug)]
pub(super) struct Row {
    path: String,
    scenario: String,
    revision: String,
    started: String,
    runs: usize,
    valid: Vec<Figures>,
    verdict: String,
}

/// What the table shows of a run. Read by name, so that records of older and newer loadgens are listed as well.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    deliveries_per_second: Option<f64>,
    p50_ns: Option<f64>,
    p99_ns: Option<f64>,
    lost: Option<f64>,
    cpu_ns_per_delivery: Option<f64>,
}

impl Figures {
    fn of(run: &Value) -> Self {
        let number = |pointer: &str| run.pointer(pointer).and_then(Value::as_f64);
        Self {
            deliveries_per_second: number("/total/deliveries_per_second"),
            p50_ns: number("/total/latency/p50_ns"),
            p99_ns: number("/total/latency/p99_ns"),
            lost: number("/total/lost"),
            cpu_ns_per_delivery: number("/server/cpu_ns_per_delivery"),
        }
    }
}

impl Row {
    /// None if the folder holds no record.
    pub(super) fn read(
        results_dir: &Path,
        path: &str,
        scenario: &str,
        revision: &str,
    ) -> Result<Option<Self>, IndexError> {
        let folder = results_dir.join(path);
        let manifest_path = folder.join("manifest.toml");
        if !manifest_path.is_file() {
            return Ok(None);
        }
        let broken = |path: &Path, problem: String| IndexError::Record { path: path.to_owned(), problem };
        let manifest: toml::Table =
            toml::from_str(&read(&manifest_path)?).map_err(|error| broken(&manifest_path, error.to_string()))?;
        let text = |key: &str| manifest.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let runs = manifest.get("run").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let mut valid = Vec::new();
        for entry in runs.iter().filter(|run| run.get("valid").and_then(toml::Value::as_bool) == Some(true)) {
            let file = entry.get("file").and_then(toml::Value::as_str).unwrap_or_default();
            let file = folder.join(file);
            let run = serde_json::from_str(&read(&file)?).map_err(|error| broken(&file, error.to_string()))?;
            valid.push(Figures::of(&run));
        }
        let verdict_path = folder.join("verdict.json");
        let verdict = if verdict_path.is_file() {
            let verdict: Value = serde_json::from_str(&read(&verdict_path)?)
                .map_err(|error| broken(&verdict_path, error.to_string()))?;
            verdict.get("outcome").and_then(Value::as_str).unwrap_or("see verdict.json").to_owned()
        } else {
            String::new()
        };
        Ok(Some(Self {
            path: path.to_owned(),
            scenario: scenario.to_owned(),
            revision: revision.to_owned(),
            started: text("started"),
            runs: runs.len(),
            valid,
            verdict,
        }))
    }

    /// The newest of a scenario last, as they grow; equal times by path.
    pub(super) fn order(&self) -> (&str, &str, &str) {
        (&self.scenario, &self.started, &self.path)
    }

    pub(super) fn line(&self) -> String {
        let Self { path, scenario, revision, started, runs, valid, verdict } = self;
        let begun = started.get(..16).unwrap_or(started).replace('T', " ");
        let figure = |read: fn(&Figures) -> Option<f64>, unit: f64, digits: usize| {
            median(valid.iter().filter_map(read).collect())
                .map_or_else(|| "–".to_owned(), |value| with_thousands(value / unit, digits))
        };
        format!(
            "| {scenario} | [{revision}]({path}) | {} | {} of {runs} | {} | {} | {} | {} | {} | {} |",
            cell(&begun),
            valid.len(),
            figure(|it| it.deliveries_per_second, 1.0, 0),
            figure(|it| it.p50_ns, 1e6, 3),
            figure(|it| it.p99_ns, 1e6, 3),
            figure(|it| it.lost, 1.0, 0),
            figure(|it| it.cpu_ns_per_delivery, 1e3, 3),
            cell(verdict),
        )
    }
}

fn read(path: &Path) -> Result<String, IndexError> {
    std::fs::read_to_string(path).map_err(|source| IndexError::Read { path: path.to_owned(), source })
}

/// None of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// `1234567.8` as `1,234,568`.
pub(super) fn with_thousands(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((&text[..], String::new()), |(whole, part)| (whole, format!(".{part}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &fraction
}
