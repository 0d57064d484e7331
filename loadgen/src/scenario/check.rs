//! What makes a scenario impossible to run: all of it at once.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use super::{Arrival, Format, PhaseKind, Scenario, Spread};
use crate::adapter::{Dialect, TargetError};
use crate::thresholds;

/// A reason why a scenario cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct Problem {
    /// The field to change.
    pub field: String,
    /// What it is and what it may be.
    pub text: String,
}

/// Names of seconds that belong to no phase.
const RESERVED_PHASE_NAMES: &[&str] = &["ramp", "tail"];
/// Messages per second that no scenario means.
const RATE_MAX: f64 = 1e8;
/// A longer run is a mistake: a year.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Collects problems.
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.push(Problem { field: field.to_owned(), text: text.into() });
    }

    /// Takes over a sentence that begins with the field's name.
    fn target(&mut self, problem: &TargetError) {
        let text = problem.to_string();
        let (field, rest) = text.split_once(' ').unwrap_or(("target", &text));
        self.add(field, rest.trim_start_matches("= "));
    }

    fn at_least_one(&mut self, field: &str, actual: u32) {
        if actual == 0 {
            self.add(field, "0, must be at least 1");
        }
    }

    fn positive(&mut self, field: &str, actual: f64) {
        if !(actual.is_finite() && actual > 0.0) {
            self.add(field, format!("{actual}, must be above 0"));
        }
    }

    fn rate(&mut self, field: &str, actual: f64) {
        if !(0.0..=RATE_MAX).contains(&actual) {
            self.add(field, format!("{actual}, must be from 0 to {RATE_MAX}"));
        }
    }

    fn share(&mut self, field: &str, actual: f64) {
        if !(actual > 0.0 && actual <= 1.0) {
            self.add(field, format!("{actual}, must be above 0 and at most 1"));
        }
    }

    fn lasting(&mut self, field: &str, actual: Duration) {
        if actual.is_zero() || actual > DURATION_MAX {
            self.add(field, format!("{actual:?}, must be above zero and at most a year"));
        }
    }
}

/// The size of the smallest payload of a format that holds a stamp, bytes.
pub type PayloadBytesMin = fn(Format) -> u32;

/// All problems of a scenario whose phases are filled in. `is_local` tells whether this machine has an address.
#[must_use]
pub fn check(
    scenario: &Scenario,
    payload_bytes_min: PayloadBytesMin,
    is_local: &dyn Fn(IpAddr) -> bool,
) -> Vec<Problem> {
    let mut findings = Findings(Vec::new());
    run(scenario, &mut findings);
    target(scenario, &mut findings);
    rooms(scenario, &mut findings);
    subscribers(scenario, is_local, &mut findings);
    mix(scenario, &mut findings);
    publishers(scenario, &mut findings);
    payload(scenario, payload_bytes_min, &mut findings);
    phases(scenario, &mut findings);
    limits(scenario, &mut findings);
    findings.0
}

/// Whether this machine has the address: a socket can be bound to it.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// A window and a rate exclude each other.
pub(super) fn window_and_rate(field: &str) -> Problem {
    let text = "there is publishers.window too: a closed loop has no rate, take one of them out";
    Problem { field: field.to_owned(), text: text.to_owned() }
}

fn run(scenario: &Scenario, findings: &mut Findings) {
    let name = &scenario.name;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        findings.add("name", format!("{name:?}, must be the name of a folder"));
    }
    if i64::try_from(scenario.seed).is_err() {
        findings.add("seed", format!("{}, must be at most {}", scenario.seed, i64::MAX));
    }
    for (metric, bound) in &scenario.thresholds {
        if let Err(error) = thresholds::parse(metric, bound) {
            findings.add("thresholds", error.to_string());
        }
    }
}

/// What the protocol says to the target, and to rooms and payloads that it has to carry.
fn target(scenario: &Scenario, findings: &mut Findings) {
    let Scenario { target, rooms, payload, .. } = scenario;
    for problem in Dialect::problems(target) {
        findings.target(&problem);
    }
    let Ok(dialect) = Dialect::new(target) else { return };
    if rooms.count > 1 && !dialect.names_rooms() {
        findings.add("target.url", format!("no {{room}} in \"{}\", and rooms.count is {}", target.url, rooms.count));
    }
    if let Err(problem) = dialect.check_format(payload.format) {
        findings.target(&problem);
    }
    // The last room's name is the longest.
    let name = rooms.name.replace("{n}", &rooms.count.saturating_sub(1).to_string());
    if let Err(problem) = dialect.check_room(&name) {
        findings.target(&problem);
    }
}

fn rooms(scenario: &Scenario, findings: &mut Findings) {
    let rooms = &scenario.rooms;
    findings.at_least_one("rooms.count", rooms.count);
    if rooms.count > 1 && !rooms.name.contains("{n}") {
        findings.add("rooms.name", format!("no {{n}} in \"{}\", and rooms.count is {}", rooms.name, rooms.count));
    }
    if rooms.spread == Spread::Zipf {
        findings.positive("rooms.zipf_exponent", rooms.zipf_exponent);
    }
}

fn subscribers(scenario: &Scenario, is_local: &dyn Fn(IpAddr) -> bool, findings: &mut Findings) {
    let subscribers = &scenario.subscribers;
    findings.at_least_one("subscribers.count", subscribers.count);
    findings.at_least_one("subscribers.connecting_max", subscribers.connecting_max);
    findings.lasting("subscribers.handshake_timeout", subscribers.handshake_timeout);
    findings.share("subscribers.connected_min", subscribers.connected_min);
    if let Some(rate) = subscribers.connects_per_second {
        findings.positive("subscribers.connects_per_second", rate);
    }
    for &address in &subscribers.source_addresses {
        if !is_local(address) {
            findings.add("subscribers.source_addresses", format!("{address} is no address of this machine"));
        }
    }
}

fn mix(scenario: &Scenario, findings: &mut Findings) {
    let mix = &scenario.mix;
    let kinds =
        [("slow", mix.slow), ("stalled", mix.stalled), ("churning", mix.churning), ("reconnecting", mix.reconnecting)];
    let sum: u64 = kinds.iter().map(|&(_, count)| u64::from(count)).sum();
    if sum > u64::from(scenario.subscribers.count) {
        let parts = kinds.map(|(name, count)| format!("{name} {count}")).join(" + ");
        findings.add("mix", format!("{parts} = {sum}, more than subscribers.count = {}", scenario.subscribers.count));
    }
    if mix.slow > 0 && mix.slow_bytes_per_second == 0 {
        findings.add("mix.slow_bytes_per_second", "0, must be at least 1: those that do not read are mix.stalled");
    }
    if i64::try_from(mix.slow_bytes_per_second).is_err() {
        findings.add("mix.slow_bytes_per_second", format!("must be at most {}", i64::MAX));
    }
    if mix.receive_buffer_bytes == Some(0) {
        findings.add("mix.receive_buffer_bytes", "0, must be at least 1");
    }
    if mix.churning > 0 {
        findings.lasting("mix.churn_stay", mix.churn_stay);
    }
    if mix.reconnecting > 0 {
        findings.lasting("mix.reconnect_every", mix.reconnect_every);
    }
}

fn publishers(scenario: &Scenario, findings: &mut Findings) {
    let publishers = &scenario.publishers;
    findings.at_least_one("publishers.count", publishers.count);
    findings.rate("publishers.rate_per_second", publishers.rate_per_second);
    if publishers.arrival == Arrival::Bursts {
        findings.at_least_one("publishers.burst_messages", publishers.burst_messages);
    }
    if let Some(window) = publishers.window {
        findings.at_least_one("publishers.window", window);
        if scenario.phases.iter().any(|phase| phase.rate_per_second.is_some()) {
            findings.0.push(window_and_rate("phase.rate_per_second"));
        }
    } else {
        let silent = |rate: Option<f64>| rate.unwrap_or(publishers.rate_per_second) == 0.0;
        let mut measured = scenario.phases.iter().filter(|phase| phase.kind == PhaseKind::Measured).peekable();
        if measured.peek().is_some() && measured.all(|phase| silent(phase.rate_per_second)) {
            findings.add("publishers.rate_per_second", "0 in every measured phase: nothing would be measured");
        }
    }
}

fn payload(scenario: &Scenario, payload_bytes_min: PayloadBytesMin, findings: &mut Findings) {
    let payload = &scenario.payload;
    let min = payload_bytes_min(payload.format);
    if payload.bytes < min {
        findings.add("payload.bytes", format!("{}, must be at least {min}: the stamp's size", payload.bytes));
    }
    if let Some(max) = payload.bytes_max.filter(|&max| max < payload.bytes) {
        findings.add("payload.bytes_max", format!("{max}, must be at least payload.bytes = {}", payload.bytes));
    }
    if let Some(file) = payload.file.as_ref().filter(|file| !file.is_file()) {
        findings.add("payload.file", format!("no file {}", file.display()));
    }
}

fn phases(scenario: &Scenario, findings: &mut Findings) {
    if !scenario.phases.iter().any(|phase| phase.kind == PhaseKind::Measured) {
        findings.add("phase", "none has kind = \"measured\": nothing would be measured");
    }
    for (index, phase) in scenario.phases.iter().enumerate() {
        let name = &phase.name;
        if phase.duration.is_zero() || phase.duration > DURATION_MAX {
            let text = format!("{:?} for \"{name}\", must be above zero and at most a year", phase.duration);
            findings.add("phase.duration", text);
        }
        if let Some(rate) = phase.rate_per_second {
            findings.rate("phase.rate_per_second", rate);
        }
        if RESERVED_PHASE_NAMES.contains(&name.as_str()) {
            findings.add("phase.name", format!("\"{name}\" is what the time before and after all phases is called"));
        }
        if scenario.phases[..index].iter().any(|before| before.name == *name) {
            findings.add("phase.name", format!("\"{name}\" stands twice"));
        }
    }
}

fn limits(scenario: &Scenario, findings: &mut Findings) {
    let limits = &scenario.limits;
    findings.lasting("limits.arrival_timeout", limits.arrival_timeout);
    findings.lasting("limits.lateness_p999_max", limits.lateness_p999_max);
    if !(limits.generator_cpu_max > 0.0 && limits.generator_cpu_max <= 1.0) {
        let text = format!("{}, must be above 0 and at most 1 (a part of one core)", limits.generator_cpu_max);
        findings.add("limits.generator_cpu_max", text);
    }
    if i64::try_from(limits.lost_max).is_err() {
        findings.add("limits.lost_max", format!("must be at most {}", i64::MAX));
    }
    let phases: Duration =
        scenario.phases.iter().map(|phase| phase.duration).fold(Duration::ZERO, Duration::saturating_add);
    if let Some(max) = limits.run_time_max.filter(|&max| max < phases) {
        findings.add("limits.run_time_max", format!("{max:?}, and the phases alone take {phases:?}"));
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
