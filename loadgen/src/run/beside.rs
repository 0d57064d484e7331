//! Two runs at once, of two servers that share a core: they begin together and publish in turn.
//!
//! ```text
//! one     ─ memory ─┬─ ramp ─┬─ settle, memory ─┬─ ●   ●   ●   ●   ●   ●      ● a message is due
//! another ─ memory ─┴─ ramp ─┴─ settle, memory ─┴───●   ●   ●   ●   ●   ●
//!                   └────────┴──────────────────┴ they meet: nobody goes on before both are there
//! ```
//!
//! Whatever the machine does meanwhile, it does to both. Each message goes out half-way between two of the other run,
//! so that neither run always finds the server's core taken by the other.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::clock::Nanos;
use crate::scenario::{Arrival, PhaseKind, Scenario};
use crate::schedule::spans;

/// Which of the two a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It publishes first.
    First,
    /// It publishes half an interval later.
    Second,
}

/// A run's place beside the other one. Clones are the same place.
#[derive(Clone, Debug)]
pub struct Beside {
    table: Arc<Table>,
    turn: Turn,
    /// The other run's server, which is not to be taken for a stranger that disturbs this one.
    other_server_pid: u32,
}

/// Where the two meet.
#[derive(Debug, Default)]
struct Table {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether one is here and waits.
    one_waits: bool,
    /// Meetings so far, and when the last one was.
    meetings: u64,
    met: Nanos,
    /// One has gone: nobody waits for it any more.
    one_left: bool,
}

impl Beside {
    /// Places for two runs, the first one first, by their servers' processes.
    #[must_use]
    pub fn two(server_pids: [u32; 2]) -> [Self; 2] {
        let table = Arc::new(Table::default());
        let [first, second] = server_pids;
        let place = |turn, other_server_pid| Self { table: Arc::clone(&table), turn, other_server_pid };
        [place(Turn::First, second), place(Turn::Second, first)]
    }

    /// Which of the two it is.
    #[must_use]
    pub const fn turn(&self) -> Turn {
        self.turn
    }

    /// The process of the other run's server.
    pub(super) const fn other_server_pid(&self) -> u32 {
        self.other_server_pid
    }

    /// Waits until both are here, and says when that was: the same for both. Does not wait for one that has left.
    ///
    /// # Panics
    /// Never: nobody panics while holding the table.
    pub fn meet(&self) -> Nanos {
        let mut state = self.table.state.lock().expect("nobody panics while holding it");
        if state.one_left {
            return Nanos::now();
        }
        if state.one_waits {
            (state.one_waits, state.met) = (false, Nanos::now());
            state.meetings += 1;
            self.table.changed.notify_all();
            return state.met;
        }
        state.one_waits = true;
        let meeting = state.meetings;
        while state.meetings == meeting && !state.one_left {
            state = self.table.changed.wait(state).expect("nobody panics while holding it");
        }
        if state.meetings == meeting { Nanos::now() } else { state.met }
    }

    /// This run is over: the other one need not wait for it.
    ///
    /// # Panics
    /// Never: nobody panics while holding the table.
    pub fn leave(&self) {
        self.table.state.lock().expect("nobody panics while holding it").one_left = true;
        self.table.changed.notify_all();
    }

    /// How long after the first one's messages this run's are due.
    pub(super) fn apart(&self, scenario: &Scenario) -> Duration {
        match self.turn {
            Turn::First => Duration::ZERO,
            Turn::Second => half_interval(scenario),
        }
    }
}

/// Half the time from a message to the next, of bursts from a burst to the next, in the fastest measured phase.
fn half_interval(scenario: &Scenario) -> Duration {
    let spans = spans(scenario);
    let measured = spans.iter().filter(|span| span.kind == PhaseKind::Measured);
    let rate = measured.map(|span| span.rate_per_second).fold(0.0, f64::max);
    let messages = match scenario.publishers.arrival {
        Arrival::Bursts => f64::from(scenario.publishers.burst_messages.max(1)),
        Arrival::Constant | Arrival::Poisson => 1.0,
    };
    Duration::try_from_secs_f64(messages / rate / 2.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Phase, Publishers};

    #[test]
    fn both_go_on_at_the_same_time() {
        let [first, second] = Beside::two([1, 2]);
        assert_eq!((first.other_server_pid(), second.other_server_pid()), (2, 1));
        let other = std::thread::spawn(move || [second.meet(), second.meet(), second.meet()]);
        let met = [first.meet(), first.meet(), first.meet()];
        assert_eq!(met, other.join().unwrap());
        assert!(met.is_sorted());
    }

    #[test]
    fn nobody_waits_for_one_that_has_left() {
        let [first, second] = Beside::two([1, 2]);
        let waiting = std::thread::spawn(move || first.meet());
        second.leave();
        waiting.join().unwrap();
        // Both orders are the same: it may have left before or while the other one waited.
        second.meet();
    }

    #[test]
    fn the_second_publishes_half_way_between_two_of_the_first() {
        let measured = |rate| Phase { rate_per_second: rate, kind: PhaseKind::Measured, ..phase() };
        for (arrival, burst, rates, wanted_us) in [
            (Arrival::Constant, 1, &[None][..], 2_500),
            (Arrival::Poisson, 9, &[None], 2_500),
            (Arrival::Bursts, 50, &[None], 125_000),
            (Arrival::Constant, 1, &[Some(100.0), Some(1_000.0)], 500),
            (Arrival::Constant, 1, &[Some(0.0)], 0),
        ] {
            let publishers =
                Publishers { rate_per_second: 200.0, arrival, burst_messages: burst, ..Publishers::default() };
            let phases = rates.iter().map(|rate| measured(*rate)).collect();
            let scenario = Scenario { publishers, phases, ..Scenario::default() };
            let [first, second] = Beside::two([1, 2]);
            assert_eq!(first.apart(&scenario), Duration::ZERO);
            assert_eq!(second.apart(&scenario), Duration::from_micros(wanted_us), "{arrival:?} {rates:?}");
        }
    }

    fn phase() -> Phase {
        let duration = Duration::from_secs(1);
        Phase { name: String::new(), kind: PhaseKind::WarmUp, duration, rate_per_second: None }
    }
}
