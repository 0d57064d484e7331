//! Time, read in one place; everything else is given it.

use std::time::{Duration, Instant, SystemTime};

/// Nanoseconds since the engine started. Monotonic; 584 years fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Nanos(pub(crate) u64);

impl Nanos {
    /// The time `delay` later, or the end of time.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(nanos(delay)))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds: the unit of the heartbeat wheel. 136 years fit.
    pub(crate) fn seconds(self) -> u32 {
        u32::try_from(self.0 / 1_000_000_000).unwrap_or(u32::MAX)
    }
}

/// `duration` in nanoseconds, at most the end of time.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The calendar, as far as it is known: the time of the engine's start, so that nobody has to read a second clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unix {
    start_ms: u64,
}

impl Unix {
    /// The time now is the engine's time 0.
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Milliseconds since 1970.
    pub(crate) const fn milliseconds_at(self, time: Nanos) -> u64 {
        self.start_ms + time.0 / 1_000_000
    }
}

/// The one reader of the machine's clock in the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Costs a vDSO call, about 25 ns.
    pub(crate) fn now(&self) -> Nanos {
        Nanos(nanos(self.start.elapsed()))
    }
}
