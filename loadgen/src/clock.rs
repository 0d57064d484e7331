//! The clock of all measurements.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Added to this machine's clock it gives the coordinator's; 0 but for a worker on another machine.
static OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// Makes this process read the coordinator's clock.
pub fn set_offset_ns(offset_ns: i64) {
    OFFSET_NS.store(offset_ns, Ordering::Relaxed);
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of one machine share: a message may be due in one and arrive
/// in another. A worker on another machine adds the difference of the clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Now. About 30 ns.
    #[must_use]
    pub fn now() -> Self {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        let own = tv_sec.unsigned_abs() * 1_000_000_000 + tv_nsec.unsigned_abs();
        Self(own.saturating_add_signed(OFFSET_NS.load(Ordering::Relaxed)))
    }

    /// Sleeps until then; not at all if it is past. The kernel adds some 50 µs.
    pub fn sleep_until(self) {
        let own = self.0.saturating_add_signed(-OFFSET_NS.load(Ordering::Relaxed));
        let part = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let until = Timespec { tv_sec: part(own / 1_000_000_000), tv_nsec: part(own % 1_000_000_000) };
        // Interrupted by a signal: whoever waits looks at the clock again.
        clock_nanosleep_absolute(ClockId::Monotonic, &until).ok();
    }

    /// That much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Nanoseconds since `earlier`; none if that is later.
    #[must_use]
    pub const fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same as a duration.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.since_ns(earlier))
    }
}
