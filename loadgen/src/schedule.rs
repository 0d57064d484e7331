//! When messages are due, and whose they are: all of it decided by scenario and seed before the run.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;

use crate::scenario::{Arrival, Phase, PhaseKind, Publishers, Scenario};
use crate::seed::{Purpose, rng};

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From the beginning of the first phase, nanoseconds.
    pub offset_ns: u64,
    /// The publisher's number: they take turns.
    pub publisher: u32,
    /// Number of the message among the publisher's: from 0, without gaps.
    pub sequence: u64,
    /// Number of the phase.
    pub phase: u32,
}

/// A phase with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub kind: PhaseKind,
    /// From the beginning of the first phase, nanoseconds.
    pub start_ns: u64,
    /// Where the next one begins.
    pub end_ns: u64,
    /// Messages per second; in a closed loop without a meaning.
    pub rate_per_second: f64,
}

/// The phases of a scenario, one after the other. Without any: 2 s of warm-up, 10 s measured.
#[must_use]
pub fn spans(scenario: &Scenario) -> Vec<Span> {
    let unnamed = |kind, seconds| Phase {
        name: String::new(),
        kind,
        duration: Duration::from_secs(seconds),
        rate_per_second: None,
    };
    let usual = [unnamed(PhaseKind::WarmUp, 2), unnamed(PhaseKind::Measured, 10)];
    let phases = if scenario.phases.is_empty() { &usual[..] } else { &scenario.phases };
    let mut start_ns = 0_u64;
    let mut spans: Vec<Span> = Vec::with_capacity(phases.len());
    for phase in phases {
        let number = 1 + spans.iter().filter(|span| span.kind == phase.kind).count();
        let name = match phase.kind {
            _ if !phase.name.is_empty() => phase.name.clone(),
            PhaseKind::WarmUp => format!("warm-up {number}"),
            PhaseKind::Measured => format!("measured {number}"),
            PhaseKind::CoolDown => format!("cool-down {number}"),
        };
        let end_ns = start_ns.saturating_add(u64::try_from(phase.duration.as_nanos()).unwrap_or(u64::MAX));
        let rate_per_second = phase.rate_per_second.unwrap_or(scenario.publishers.rate_per_second);
        spans.push(Span { name, kind: phase.kind, start_ns, end_ns, rate_per_second });
        start_ns = end_ns;
    }
    spans
}

/// Due times in order, an iterator. Each phase starts anew at its beginning; times are computed from it, not added up,
/// so that they do not drift. A clone runs again from where the original is.
#[derive(Clone, Debug)]
pub struct Schedule {
    spans: Vec<(u64, u64, f64)>,
    arrival: Arrival,
    burst_messages: u64,
    publishers: u32,
    seed: u64,
    /// The current phase, and messages in it so far.
    phase: usize,
    in_phase: u64,
    /// Messages so far.
    count: u64,
    /// Poisson: where the process is in the current phase, in mean distances.
    position: f64,
    rng: ChaCha8Rng,
}

impl Schedule {
    /// Of an open loop over `spans`. A rate that is 0 or no number publishes nothing, as do no publishers.
    #[must_use]
    pub fn new(publishers: &Publishers, spans: &[Span], seed: u64) -> Self {
        Self {
            spans: spans.iter().map(|span| (span.start_ns, span.end_ns, span.rate_per_second)).collect(),
            arrival: publishers.arrival,
            burst_messages: u64::from(publishers.burst_messages.max(1)),
            publishers: publishers.count,
            seed,
            phase: 0,
            in_phase: 0,
            count: 0,
            position: 0.0,
            rng: rng(seed, Purpose::Arrivals, 0),
        }
    }

    /// When the next message is due, nanoseconds from the phase's beginning; none if that is behind its end.
    fn next_in_phase(&mut self, length_ns: u64, rate_per_second: f64) -> Option<u64> {
        let at_ns = |messages: f64| messages * 1e9 / rate_per_second;
        let index = self.in_phase as f64;
        let due_ns = match self.arrival {
            Arrival::Constant => at_ns(index),
            Arrival::Poisson => {
                let distance: f64 = self.rng.sample(Exp1);
                self.position += distance;
                at_ns(self.position)
            }
            // As many messages as at a constant rate: the last burst may be smaller.
            Arrival::Bursts if at_ns(index) < length_ns as f64 => {
                at_ns((self.in_phase - self.in_phase % self.burst_messages) as f64)
            }
            Arrival::Bursts => return None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, saturates")]
        let due_ns = due_ns as u64;
        (due_ns < length_ns).then_some(due_ns)
    }

    fn begin_phase(&mut self, phase: usize) {
        self.phase = phase;
        self.in_phase = 0;
        self.position = 0.0;
        self.rng = rng(self.seed, Purpose::Arrivals, u32::try_from(phase).unwrap_or(u32::MAX));
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        if self.publishers == 0 {
            return None;
        }
        loop {
            let (start_ns, end_ns, rate_per_second) = *self.spans.get(self.phase)?;
            let within =
                if rate_per_second > 0.0 { self.next_in_phase(end_ns - start_ns, rate_per_second) } else { None };
            let Some(within_ns) = within else {
                self.begin_phase(self.phase + 1);
                continue;
            };
            let publishers = u64::from(self.publishers);
            let due = Due {
                offset_ns: start_ns + within_ns,
                publisher: u32::try_from(self.count % publishers).expect("less than their count"),
                sequence: self.count / publishers,
                phase: u32::try_from(self.phase).expect("phases are few"),
            };
            self.in_phase += 1;
            self.count += 1;
            return Some(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(arrival: Arrival, publishers: u32, phases: &[(u64, f64)]) -> Scenario {
        let mut scenario = Scenario::default();
        scenario.publishers = Publishers { count: publishers, arrival, burst_messages: 10, ..scenario.publishers };
        scenario.phases = phases
            .iter()
            .map(|(duration_ms, rate)| Phase {
                name: String::new(),
                kind: PhaseKind::Measured,
                duration: Duration::from_millis(*duration_ms),
                rate_per_second: Some(*rate),
            })
            .collect();
        scenario
    }

    fn schedule(scenario: &Scenario, seed: u64) -> Vec<Due> {
        Schedule::new(&scenario.publishers, &spans(scenario), seed).collect()
    }

    fn offsets_ms(dues: &[Due]) -> Vec<u64> {
        dues.iter().map(|due| due.offset_ns / 1_000_000).collect()
    }

    #[test]
    fn a_constant_rate_does_not_drift() {
        let dues = schedule(&scenario(Arrival::Constant, 1, &[(3_600_000, 3.0)]), 1);
        assert_eq!(dues.len(), 10_800);
        for (second, due) in dues.iter().step_by(3).enumerate() {
            assert_eq!(due.offset_ns, second as u64 * 1_000_000_000);
        }
        assert_eq!(dues[1].offset_ns, 333_333_333);
    }

    #[test]
    fn publishers_take_turns_without_gaps() {
        let dues = schedule(&scenario(Arrival::Constant, 3, &[(1_000, 4.0), (1_000, 3.0)]), 1);
        let actual: Vec<_> = dues.iter().map(|due| (due.publisher, due.sequence, due.phase)).collect();
        assert_eq!(actual, [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 1), (2, 1, 1), (0, 2, 1)]);
    }

    #[test]
    fn phases_begin_anew_at_their_boundaries() {
        let phases = [(250, 10.0), (500, 0.0), (250, 8.0), (100, 30.0)];
        let dues = schedule(&scenario(Arrival::Constant, 1, &phases), 1);
        assert_eq!(offsets_ms(&dues), [0, 100, 200, 750, 875, 1_000, 1_033, 1_066]);
        assert_eq!(dues.iter().map(|due| due.phase).collect::<Vec<_>>(), [0, 0, 0, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn bursts_keep_the_rate() {
        let dues = schedule(&scenario(Arrival::Bursts, 1, &[(2_500, 10.0)]), 1);
        let wanted: Vec<u64> = (0..25).map(|message| message / 10 * 1_000).collect();
        assert_eq!(offsets_ms(&dues), wanted);
    }

    #[test]
    fn a_poisson_process_has_its_mean_and_deviation() {
        let dues = schedule(&scenario(Arrival::Poisson, 1, &[(100_000, 1_000.0)]), 7);
        assert!(dues.len().abs_diff(100_000) < 1_500, "{} messages; the deviation is 316", dues.len());
        let gaps: Vec<f64> = dues.windows(2).map(|two| (two[1].offset_ns - two[0].offset_ns) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.02 && (deviation - 1.0).abs() < 0.03, "{mean} ± {deviation} ms");
    }

    #[test]
    fn a_seed_replays_and_phases_are_independent() {
        let short = scenario(Arrival::Poisson, 2, &[(1_000, 100.0), (1_000, 500.0)]);
        let long = scenario(Arrival::Poisson, 2, &[(3_000, 100.0), (1_000, 500.0)]);
        assert_eq!(schedule(&short, 1), schedule(&short, 1));
        assert_ne!(schedule(&short, 1), schedule(&short, 2));
        let second = |scenario| {
            let start_ns = spans(scenario)[1].start_ns;
            let dues = schedule(scenario, 1).into_iter().filter(|due| due.phase == 1);
            dues.map(|due| due.offset_ns - start_ns).collect::<Vec<_>>()
        };
        assert_eq!(second(&short), second(&long));
    }

    #[test]
    fn every_message_is_within_its_phase_and_in_order() {
        let phases = [(333, 77.7), (1, 1_000.0), (0, 50.0), (2_000, 0.3), (700, 1_234.5)];
        for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Bursts] {
            let scenario = scenario(arrival, 4, &phases);
            let (spans, dues) = (spans(&scenario), schedule(&scenario, 3));
            assert!(dues.is_sorted_by_key(|due| due.offset_ns), "{arrival:?}");
            for due in &dues {
                let span = &spans[due.phase as usize];
                assert!((span.start_ns..span.end_ns).contains(&due.offset_ns), "{arrival:?}, {due:?}");
            }
        }
    }

    #[test]
    fn no_rate_and_no_publishers_publish_nothing() {
        for (publishers, rate) in [(0, 10.0), (1, 0.0), (1, -1.0), (1, f64::NAN)] {
            for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Bursts] {
                assert_eq!(schedule(&scenario(arrival, publishers, &[(1_000, rate)]), 1), []);
            }
        }
    }

    #[test]
    fn phases_have_names_and_defaults() {
        let usual = spans(&Scenario::default());
        let seen: Vec<_> = usual.iter().map(|span| (&*span.name, span.end_ns / 1_000_000_000)).collect();
        assert_eq!(seen, [("warm-up 1", 2), ("measured 1", 12)]);
        assert_eq!(usual[1].rate_per_second, 10.0);
    }
}
