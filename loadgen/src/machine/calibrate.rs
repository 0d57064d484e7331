//! How fast the machine is right now: a few small measurements of what a broadcast server lives on.
//!
//! Each is the median of many short pieces, so that something else that runs for a moment does not show, and something
//! that runs all the time does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::Kernel;
use super::load::MachineTimes;
use crate::clock::Nanos;
use crate::outcome::Distribution;

/// How long [`calibrate`] takes.
pub const CALIBRATION_TIME: Duration = Duration::from_secs(2);

/// Measures the machine for [`CALIBRATION_TIME`]:
///
/// - `syscall_ns`: the cheapest call into the kernel;
/// - `loopback_p50_ns`: a byte to another thread over TCP and back;
/// - `memcpy_gb_per_second`: copies of 32 MiB, beyond most caches;
/// - `context_switch_ns`: a byte to another thread on the same core, through a socket;
/// - `steal`: what the hypervisor gave to others, as part of the machine's time.
///
/// What cannot be measured here is absent. Uses a core, at times two; to be called when nothing is measured.
#[must_use]
pub fn calibrate(kernel: &Kernel) -> BTreeMap<String, f64> {
    calibrate_for(kernel, CALIBRATION_TIME)
}

fn calibrate_for(kernel: &Kernel, whole: Duration) -> BTreeMap<String, f64> {
    let each = whole / 4;
    let before = MachineTimes::now(kernel, &[]);
    let mut found = BTreeMap::new();
    found.insert("syscall_ns".to_owned(), syscall_ns(each));
    found.insert("memcpy_gb_per_second".to_owned(), memcpy_gb_per_second(each));
    if let Ok(ns) = loopback_p50_ns(each) {
        found.insert("loopback_p50_ns".to_owned(), ns);
    }
    if let Ok(ns) = context_switch_ns(each) {
        found.insert("context_switch_ns".to_owned(), ns);
    }
    if let (Some(before), Some(after)) = (before, MachineTimes::now(kernel, &[])) {
        found.insert("steal".to_owned(), after.since(&before, 0.0).steal);
    }
    found
}

/// Repeats `piece` for `time`, at least once, and gives the median of how long it took, nanoseconds.
fn median_ns(time: Duration, mut piece: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    let end = Nanos::now().after(time);
    let mut times = Distribution::default();
    loop {
        let begin = Nanos::now();
        piece()?;
        let now = Nanos::now();
        times.record(now.since_ns(begin));
        if now >= end {
            return Ok(as_f64(times.percentile_ns(50.0)));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations and sizes here are far below 2^53")]
const fn as_f64(number: u64) -> f64 {
    number as f64
}

fn syscall_ns(time: Duration) -> f64 {
    const CALLS: u32 = 2_000;
    let piece = || {
        for _ in 0..CALLS {
            std::hint::black_box(rustix::process::getppid());
        }
        Ok(())
    };
    median_ns(time, piece).map_or(0.0, |ns| ns / f64::from(CALLS))
}

fn memcpy_gb_per_second(time: Duration) -> f64 {
    const BYTES: usize = 32 << 20;
    let (from, mut to) = (vec![1_u8; BYTES], vec![0_u8; BYTES]);
    let piece = || {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        Ok(())
    };
    // Bytes per nanosecond are gigabytes per second.
    median_ns(time, piece).map_or(0.0, |ns| as_f64(BYTES as u64) / ns.max(1.0))
}

/// Sends back each byte until the stream ends.
fn echo(mut stream: impl Read + Write) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

/// The median of a byte there and back, of several in a row: histograms tell times this short apart to 512 ns only.
fn round_trip_ns(mut stream: impl Read + Write, time: Duration) -> std::io::Result<f64> {
    const TRIPS: u32 = 50;
    let mut byte = [7];
    let piece = || {
        for _ in 0..TRIPS {
            stream.write_all(&byte)?;
            stream.read_exact(&mut byte)?;
        }
        Ok(())
    };
    Ok(median_ns(time, piece)? / f64::from(TRIPS))
}

fn loopback_p50_ns(time: Duration) -> std::io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echoing = std::thread::Builder::new().spawn(move || echo(far))?;
    let result = round_trip_ns(near, time);
    let _ended_with_the_stream = echoing.join();
    result
}

/// Two threads on one core pass a byte to and fro: two switches each time.
fn context_switch_ns(time: Duration) -> std::io::Result<f64> {
    let measuring = std::thread::Builder::new().spawn(move || {
        let mut one_core = CpuSet::new();
        one_core.set(sched_getcpu());
        // Threads inherit it. The thread that calibrates keeps its own.
        sched_setaffinity(None, &one_core)?;
        let (near, far) = UnixStream::pair()?;
        let echoing = std::thread::Builder::new().spawn(move || echo(far))?;
        let result = round_trip_ns(near, time);
        let _ended_with_the_stream = echoing.join();
        result
    })?;
    let round_trip_ns = measuring.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread ended")))?;
    Ok(round_trip_ns / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_measured() {
        let found = calibrate_for(&Kernel::default(), Duration::from_millis(40));
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["context_switch_ns", "loopback_p50_ns", "memcpy_gb_per_second", "steal", "syscall_ns"]);
        for (name, value) in &found {
            assert!(value.is_finite() && (*value > 0.0 || name == "steal"), "{name} {value}");
        }
    }

    #[test]
    fn an_error_ends_it() {
        let mut rounds = 0;
        let piece = || {
            rounds += 1;
            if rounds > 3 { Err(std::io::Error::other("end")) } else { Ok(()) }
        };
        assert!(median_ns(Duration::from_secs(600), piece).is_err());
        assert_eq!(rounds, 4);
    }
}
