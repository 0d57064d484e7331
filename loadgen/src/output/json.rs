//! A run as JSON: [`Run`] itself, pretty, one object per run.
//!
//! | field | what it is |
//! | --- | --- |
//! | `schema` | [`crate::outcome::SCHEMA`]; raised when a field changes its meaning or goes, not when one is added |
//! | `loadgen`, `run_id`, `started`, `workers`, `interrupted` | who, when (RFC 3339, UTC), how many processes |
//! | `scenario` | what was run, as in its TOML file; durations as `"2s"` |
//! | `machine` | `facts` by name, their hash `class`, `calibration` by name |
//! | `validity` | `problems` (none: valid) and `warnings`, sentences |
//! | `total` | figures of the measured phases together |
//! | `phases[]` | `name`, `kind`, `rate_per_second` (null: closed loop), `start_s`, `figures` |
//! | `seconds[]` | `at_s`, `phase` (also `ramp`, `tail`), counts, `latency`, `server_cpu` (or null), `generator_cpu` |
//! | `audit` | what became of every delivery owed, all phases |
//! | `connections` | `wanted`, `connected_max`, `established`, `resumed`; `failed` and `lost` by kind |
//! | `server` | CPU, memory and counters of the server; null if it could not be looked at |
//! | `generator` | loadgen's own CPU, steal, other processes |
//! | `thresholds[]` | `metric`, `bound`, `actual`, `met` |
//!
//! Figures (`total`, `phases[].figures`) are `seconds`, `published`, `deliveries`, `deliveries_per_second`,
//! `bytes_per_second`, `lost`, and distributions: `latency` (due time to receipt), `latency_with_losses` (lost ones
//! at the arrival timeout), `lateness` (due to sent: the generator's own), `spread` (first to last subscriber),
//! `completion` (due to last subscriber), `connect`, `handshake`, `resume`.
//!
//! A distribution is `count`, `min_ns`, `mean_ns`, `p50_ns`, `p90_ns`, `p99_ns`, `p999_ns`, `p9999_ns`, `p99999_ns`,
//! `max_ns` and `v2`: the whole HdrHistogram (V2 with deflate, base64; empty if `count` is 0). A percentile says no
//! more than its number of times allows: with fewer than 1,000, `p999_ns` is the maximum. Merge and compare only
//! `v2`.

use std::io::{self, Write};

use crate::outcome::{Run, SCHEMA};

/// Why a file is no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not JSON, or not of a run.
    #[error("not a run as `loadgen run --format json` writes it: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another loadgen wrote it.
    #[error("schema {actual}, this loadgen reads {SCHEMA}: use the loadgen that wrote it")]
    Schema {
        /// The file's.
        actual: u64,
    },
}

/// Writes it, and a line end.
///
/// # Errors
/// `out` does not take it.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, run)?;
    out.write_all(b"\n")
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// It is no run, or one of another schema.
pub fn read(text: &str) -> Result<Run, ReadError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        schema: u64,
    }
    // First the version alone, or a change of the shape would be reported as a broken file.
    let Versioned { schema } = serde_json::from_str(text)?;
    if schema != u64::from(SCHEMA) {
        return Err(ReadError::Schema { actual: schema });
    }
    Ok(serde_json::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    #[test]
    fn what_was_written_is_read_back() {
        let run = Fabricated::default().run();
        let again = read(&text_of(|out| write(&run, out))).unwrap();
        assert!(again.total.latency == run.total.latency, "the histogram changed");
        assert_eq!(again.scenario, run.scenario);
        assert_eq!((again.audit, again.connections, again.machine), (run.audit, run.connections, run.machine));
        assert_eq!((again.validity, again.server), (run.validity, run.server));
        assert!(again.seconds.iter().zip(&run.seconds).all(|(left, right)| left.latency == right.latency));
        assert_eq!((again.seconds.len(), again.phases.len()), (run.seconds.len(), run.phases.len()));
    }

    #[test]
    fn the_documentation_names_every_field() {
        let json = serde_json::to_value(Fabricated::default().run()).unwrap();
        let documented = include_str!("json.rs");
        let figures = &json["total"];
        for object in [&json, figures, &json["phases"][0], &figures["latency"], &json["connections"]] {
            for name in object.as_object().unwrap().keys() {
                assert!(documented.contains(&format!("`{name}")), "{name} is not documented");
            }
        }
    }

    #[test]
    fn another_schema_is_told_from_a_broken_file() {
        let error = read("{\"schema\": 99}").unwrap_err();
        assert!(matches!(error, ReadError::Schema { actual: 99 }), "{error}");
        assert!(matches!(read("{\"schema\": 1}"), Err(ReadError::Shape(_))));
        assert!(matches!(read("[]"), Err(ReadError::Shape(_))));
    }
}
