//! What people and tools get to see of a run: a summary in text, a report in HTML, and files that other tools read.
//!
//! Everything here only reads [`Run`] and writes to what it is given.

pub mod csv;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod json;
pub mod quantile;
pub mod text;
mod threshold;
mod timeline;
pub mod units;

#[cfg(test)]
pub(crate) mod fixture;

use std::io::{self, Write};

use crate::outcome::Run;

/// What a run is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A summary for people.
    #[default]
    Text,
    /// Everything, documented, with a schema version.
    Json,
    /// One self-contained page with charts.
    Html,
    /// HdrHistogram interval log (V2): second by second and phase by phase.
    Hlog,
    /// Percentile spectrum of the latency, as HdrHistogram's plotters read it.
    Hgrm,
    /// One row per second.
    Csv,
}

impl Format {
    /// All of them, by the names of the command line (and of the files).
    pub const ALL: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("html", Self::Html),
        ("hlog", Self::Hlog),
        ("hgrm", Self::Hgrm),
        ("csv", Self::Csv),
    ];
}

/// Writes a run; `label` names it where the format has several (HTML).
///
/// # Errors
/// `out` does not take it.
pub fn write(format: Format, label: &str, run: &Run, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(run, text::Colour::Never, out),
        Format::Json => json::write(run, out),
        Format::Html => html::report(&[(label.to_owned(), run.clone())], out),
        Format::Hlog => hlog::write(run, out),
        Format::Hgrm => hgrm::write(&run.total.latency, out),
        Format::Csv => csv::write_seconds(run, out),
    }
}
