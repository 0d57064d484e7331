//! HdrHistogram's interval log, version 1.3 with V2 histograms: what `HistogramLogAnalyzer`, `HistogramLogProcessor`
//! and the like read. Times in the histograms are nanoseconds, the maximum beside them milliseconds.
//!
//! Per second `Tag=latency`; per phase `Tag=phase:NAME:latency`, `…:latency_with_losses`, `…:lateness`, `…:spread`,
//! `…:completion`; for the measured phases together `Tag=total:…`. A reader without tags in mind would add phases and
//! seconds up, so each has its own. Lines are ordered by their beginning.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use jiff::Timestamp;

use crate::outcome::{Distribution, Figures, Run};
use crate::output::timeline;

/// One line.
struct Interval<'a> {
    start_s: f64,
    length_s: f64,
    tag: String,
    times: &'a Distribution,
}

/// Writes a run. Empty intervals are left out.
///
/// # Errors
/// `out` does not take it.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let comment = format!("loadgen {}, scenario {}", run.loadgen, run.scenario.name);
    write_log(&comment, started(run), intervals(run), out)
}

/// Writes several runs as one log, their labels before the tags: `Tag=LABEL:total:latency`. Times count from the
/// beginning of the first.
///
/// # Errors
/// `out` does not take it.
pub fn write_runs(runs: &[(String, Run)], out: &mut dyn Write) -> io::Result<()> {
    let first = runs.iter().filter_map(|(_, run)| started(run)).min();
    let mut all = Vec::new();
    for (label, run) in runs {
        let later = first.zip(started(run)).map_or(0.0, |(first, own)| own.duration_since(first).as_secs_f64());
        all.extend(intervals(run).into_iter().map(|interval| Interval {
            start_s: interval.start_s + later,
            tag: format!("{}:{}", tag_of(label), interval.tag),
            ..interval
        }));
    }
    write_log(&format!("{} runs", runs.len()), first, all, out)
}

/// When the run began; none if a file says it in no known way.
fn started(run: &Run) -> Option<Timestamp> {
    run.started.parse().ok()
}

fn write_log(
    comment: &str,
    started: Option<Timestamp>,
    mut intervals: Vec<Interval<'_>>,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    intervals.retain(|interval| interval.times.count() > 0);
    intervals.sort_by(|left, right| left.start_s.total_cmp(&right.start_s));

    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment("[Histogram log format version 1.3]");
    log.add_comment(&format!("[{}]", one_line(comment)));
    if let Some(started) = started.map(SystemTime::from) {
        log.with_start_time(started).with_base_time(started);
    }
    log.with_max_value_divisor(1e6);
    let mut log = log.begin_log_with(&mut out, &mut serializer)?;
    log.write_comment("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"")?;
    for Interval { start_s, length_s, tag, times } in &intervals {
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        log.write_histogram(times.histogram(), seconds(*start_s), seconds(*length_s), Tag::new(tag))
            .map_err(io::Error::other)?;
    }
    Ok(())
}

fn intervals(run: &Run) -> Vec<Interval<'_>> {
    let second = timeline::step_s(run);
    let mut intervals: Vec<_> = run
        .seconds
        .iter()
        .map(|one| Interval { start_s: one.at_s, length_s: second, tag: "latency".to_owned(), times: &one.latency })
        .collect();
    let published_from_s = timeline::published_from_s(run);
    for phase in &run.phases {
        let tag = format!("phase:{}", tag_of(&phase.name));
        append(&mut intervals, &tag, published_from_s + phase.start_s, &phase.figures);
    }
    let measured = run.phases.iter().find(|phase| phase.kind == crate::scenario::PhaseKind::Measured);
    let start_s = published_from_s + measured.map_or(0.0, |phase| phase.start_s);
    append(&mut intervals, "total", start_s, &run.total);
    intervals
}

fn append<'a>(intervals: &mut Vec<Interval<'a>>, tag: &str, start_s: f64, figures: &'a Figures) {
    let distributions = [
        ("latency", &figures.latency),
        ("latency_with_losses", &figures.latency_with_losses),
        ("lateness", &figures.lateness),
        ("spread", &figures.spread),
        ("completion", &figures.completion),
        ("connect", &figures.connect),
        ("handshake", &figures.handshake),
        ("resume", &figures.resume),
    ];
    for (name, times) in distributions {
        intervals.push(Interval { start_s, length_s: figures.seconds, tag: format!("{tag}:{name}"), times });
    }
}

/// A tag has no blanks and no commas.
fn tag_of(name: &str) -> String {
    name.chars().map(|one| if one.is_whitespace() || one.is_control() || one == ',' { '_' } else { one }).collect()
}

/// A comment is a line, whatever the name holds.
fn one_line(name: &str) -> String {
    name.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::output::fixture::{Fabricated, text_of};

    #[test]
    fn the_log_holds_every_second_and_phase() {
        let mut run = Fabricated::default().run();
        run.scenario.name = "one\nroom".to_owned();
        run.phases[1].name = "step 1, slow".to_owned();
        let log = text_of(|out| write(&run, out));
        let (mut per_second, mut phase, mut total) = <(Distribution, Distribution, Distribution)>::default();
        let mut last = Duration::ZERO;
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            assert!(interval.start_timestamp() >= last, "out of order");
            last = interval.start_timestamp();
            let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
            let times = Distribution::from_v2(&bytes).unwrap();
            match interval.tag().unwrap().as_str() {
                "latency" => per_second.add(&times),
                "phase:step_1__slow:latency" => phase.add(&times),
                "total:latency" => total.add(&times),
                _ => {}
            }
        }
        let seconds = run.seconds.iter().map(|second| second.latency.count()).sum::<u64>();
        assert_eq!(per_second.count(), seconds);
        assert!(phase == run.phases[1].figures.latency, "the phase's histogram changed");
        assert!(total == run.total.latency, "the total's histogram changed");
    }
    #[test]
    fn several_runs_are_one_log() {
        let early = Fabricated::default().run();
        let mut late = Fabricated { seed: 8, ..Fabricated::default() }.run();
        late.started = "2026-11-20T16:01:02Z".to_owned();
        let runs = [("pair 1, base".to_owned(), late), ("b".to_owned(), early)];
        let log = text_of(|out| write_runs(&runs, out));
        let totals: Vec<_> = IntervalLogIterator::new(log.as_bytes())
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some((interval.tag()?.as_str().to_owned(), interval.start_timestamp())),
                _ => None,
            })
            .filter(|(tag, _)| tag.ends_with(":total:latency"))
            .collect();
        // Two seconds of ramp and two of warm-up come before; the other run begins a minute later.
        let wanted = [("b:total:latency", 4), ("pair_1__base:total:latency", 64)];
        assert_eq!(totals, wanted.map(|(tag, seconds)| (tag.to_owned(), Duration::from_secs(seconds))));
    }
}
