//! The page: a frame, its style and scripts, and the data.

use std::io::{self, Write};

use serde::Serialize;

use super::curves::{Columns, Curve};
use crate::outcome::{Audit, Connections, Figures, GeneratorUse, Machine, Run, ServerUse, ThresholdOutcome, Validity};
use crate::output::quantile::SHOWN;
use crate::output::text::{self, Colour};
use crate::output::threshold;
use crate::output::timeline::{self, Band};

const STYLE: &str = include_str!("report.css");
const SCRIPTS: [&str; 4] =
    [include_str!("figures.js"), include_str!("chart.js"), include_str!("tables.js"), include_str!("report.js")];

/// Writes the page. Each run has a label, which the legend shows.
///
/// The page works without scripts too: it then shows the summaries in text.
///
/// # Errors
/// `out` does not take it.
pub fn report(runs: &[(String, Run)], out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<_> = runs.iter().map(|(_, run)| run.scenario.name.as_str()).collect();
    let title = match names.split_first() {
        Some((first, others)) if others.iter().all(|name| name == first) => (*first).to_owned(),
        _ => names.join(", "),
    };
    writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    // Even a page that somebody tampered with loads nothing and sends nothing.
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
    )?;
    writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    writeln!(out, "<title>{} – loadgen</title>\n<style>\n{STYLE}</style>\n</head>\n<body>", escaped(&title))?;
    writeln!(out, "<main id=\"page\"></main>\n<noscript>")?;
    for (label, run) in runs {
        let mut summary = Vec::new();
        text::write(run, Colour::Never, &mut summary)?;
        writeln!(out, "<h2>{}</h2>\n<pre>{}</pre>", escaped(label), escaped(&String::from_utf8_lossy(&summary)))?;
    }
    writeln!(out, "</noscript>\n<script type=\"application/json\" id=\"data\">")?;
    let page = Page {
        title,
        quantiles: SHOWN.iter().map(|shown| shown.label).chain(["max"]).collect(),
        runs: runs.iter().map(|(label, run)| Shown::of(label, run)).collect(),
    };
    out.write_all(inside_script(&serde_json::to_string(&page)?).as_bytes())?;
    writeln!(out, "\n</script>")?;
    for script in SCRIPTS {
        writeln!(out, "<script>\n{script}</script>")?;
    }
    writeln!(out, "</body>\n</html>")
}

/// What the scripts read.
#[derive(Serialize)]
struct Page<'a> {
    title: String,
    quantiles: Vec<&'static str>,
    runs: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    label: &'a str,
    name: &'a str,
    url: &'a str,
    started: &'a str,
    loadgen: &'a str,
    workers: u32,
    interrupted: bool,
    validity: &'a Validity,
    thresholds: Vec<ThresholdShown>,
    asked_per_second: Option<f64>,
    total: FiguresShown,
    phases: Vec<PhaseShown<'a>>,
    bands: Vec<Band>,
    columns: Columns,
    audit: &'a Audit,
    connections: &'a Connections,
    server: Option<&'a ServerUse>,
    generator: &'a GeneratorUse,
    machine: &'a Machine,
    scenario: String,
}

#[derive(Serialize)]
struct ThresholdShown {
    sentence: String,
    met: bool,
}

impl ThresholdShown {
    fn of(threshold: &ThresholdOutcome) -> Self {
        Self { sentence: threshold::sentence(threshold), met: threshold.met }
    }
}

#[derive(Serialize)]
struct PhaseShown<'a> {
    name: &'a str,
    kind: crate::scenario::PhaseKind,
    asked_per_second: Option<f64>,
    figures: FiguresShown,
}

/// [`Figures`] with curves instead of distributions; null where nothing was recorded.
#[derive(Serialize)]
struct FiguresShown {
    seconds: f64,
    published: u64,
    deliveries: u64,
    deliveries_per_second: f64,
    bytes_per_second: f64,
    lost: u64,
    latency: Option<Curve>,
    latency_with_losses: Option<Curve>,
    lateness: Option<Curve>,
    spread: Option<Curve>,
    completion: Option<Curve>,
    connect: Option<Curve>,
    handshake: Option<Curve>,
    resume: Option<Curve>,
}

impl FiguresShown {
    fn of(figures: &Figures) -> Self {
        Self {
            seconds: figures.seconds,
            published: figures.published,
            deliveries: figures.deliveries,
            deliveries_per_second: figures.deliveries_per_second,
            bytes_per_second: figures.bytes_per_second,
            lost: figures.lost,
            latency: Curve::of(&figures.latency),
            // Without losses it is the same curve.
            latency_with_losses: (figures.lost > 0).then(|| Curve::of(&figures.latency_with_losses)).flatten(),
            lateness: Curve::of(&figures.lateness),
            spread: Curve::of(&figures.spread),
            completion: Curve::of(&figures.completion),
            connect: Curve::of(&figures.connect),
            handshake: Curve::of(&figures.handshake),
            resume: Curve::of(&figures.resume),
        }
    }
}

impl<'a> Shown<'a> {
    fn of(label: &'a str, run: &'a Run) -> Self {
        let phase = |phase: &'a crate::outcome::PhaseOutcome| PhaseShown {
            name: &phase.name,
            kind: phase.kind,
            asked_per_second: phase.rate_per_second,
            figures: FiguresShown::of(&phase.figures),
        };
        Self {
            label,
            name: &run.scenario.name,
            url: &run.scenario.target.url,
            started: &run.started,
            loadgen: &run.loadgen,
            workers: run.workers,
            interrupted: run.interrupted,
            validity: &run.validity,
            thresholds: run.thresholds.iter().map(ThresholdShown::of).collect(),
            asked_per_second: text::asked_per_second(run),
            total: FiguresShown::of(&run.total),
            phases: run.phases.iter().map(phase).collect(),
            bands: timeline::bands(run),
            columns: Columns::of(run),
            audit: &run.audit,
            connections: &run.connections,
            server: run.server.as_ref(),
            generator: &run.generator,
            machine: &run.machine,
            scenario: toml::to_string(&run.scenario).unwrap_or_else(|error| format!("# not shown: {error}\n")),
        }
    }
}

/// For text between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(one),
        }
    }
    safe
}

/// JSON that no parser of HTML can take for the end of the script or the begin of a comment: outside of strings JSON
/// has none of these characters, and inside they may be written so.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    const EVIL: &str = "</script><script>alert(1)</script><!--<b>&\"'\u{2028}";

    fn data_of(html: &str) -> serde_json::Value {
        let data = html.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        serde_json::from_str(data).unwrap()
    }

    #[test]
    fn names_cannot_break_out() {
        let mut run = Fabricated { name: EVIL.to_owned(), ..Fabricated::default() }.run();
        run.phases[0].name = EVIL.to_owned();
        run.seconds[3].phase = EVIL.to_owned();
        run.validity.problems.push(EVIL.to_owned());
        run.machine.facts.insert(EVIL.to_owned(), EVIL.to_owned());
        run.connections.lost.insert(EVIL.to_owned(), 1);
        let html = text_of(|out| report(&[(EVIL.to_owned(), run)], out));
        assert!(!html.contains("<script>alert"), "it broke out");
        assert!(!html.contains("<!--"), "a comment began");
        let scripts = html.matches("<script").count();
        assert_eq!(scripts, SCRIPTS.len() + 1, "scripts of the page and its data");
        assert_eq!(scripts, html.matches("</script>").count());
        let data = data_of(&html);
        assert_eq!(data["runs"][0]["name"], EVIL);
        assert_eq!(data["runs"][0]["label"], EVIL);
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let html = text_of(|out| report(&[("one".to_owned(), Fabricated::default().run())], out));
        // The namespace of SVG is a name, not an address.
        let without_names = html.replace("http://www.w3.org/2000/svg", "");
        for address in ["http://", "https://", "src=", "href=", "@import", "url("] {
            assert!(!without_names.contains(address), "{address}");
        }
        for (script, way_in) in SCRIPTS
            .iter()
            .flat_map(|script| ["innerHTML", "insertAdjacent", "document.write", "eval("].map(|way| (script, way)))
        {
            assert!(!script.contains(way_in), "text could become markup by {way_in}");
        }
    }

    #[test]
    fn without_scripts_the_summary_is_there() {
        let html = text_of(|out| report(&[("a<b".to_owned(), Fabricated::default().run())], out));
        let summary = html.split_once("<noscript>").unwrap().1.split_once("</noscript>").unwrap().0;
        assert!(summary.contains("<h2>a&lt;b</h2>") && summary.contains("VALID  one-room"), "{summary}");
    }

    #[test]
    fn no_runs_are_no_failure() {
        assert_eq!(data_of(&text_of(|out| report(&[], out)))["runs"].as_array().unwrap().len(), 0);
    }
}
