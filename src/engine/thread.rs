//! A shard's thread: the loop around [`Shard::turn`], with the machine's poller and clock.

use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Poll, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::clock::Clock;
use super::settings::Pinning;
use super::shard::{Ready, Shard, Turn};

/// Readiness reports taken from the kernel at once.
const EVENTS_MAX: usize = 1_024;

/// A shorter sleep ends when it should; see [`sleep`].
const EXACT_BELOW: Duration = Duration::from_millis(20);

/// The token of the shard's waker; connections have their numbers, which are smaller.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// Runs a shard until it is told to end.
pub(crate) fn run(mut shard: Shard<TcpStream>, mut poll: Poll, clock: Clock) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut sleep_max = None;
    loop {
        poll_once(&shard, &mut poll, &mut events, sleep_max)?;
        let turn = shard.turn(clock.now(), events.iter().filter_map(ready));
        if !shard.finished.is_empty() {
            shard.record_finished(clock.now());
        }
        match turn {
            Turn::Again(longest) => sleep_max = longest,
            Turn::Ended => return Ok(()),
        }
    }
}

fn poll_once(
    shard: &Shard<TcpStream>,
    poll: &mut Poll,
    events: &mut Events,
    sleep_max: Option<Duration>,
) -> io::Result<()> {
    // A shard with something to do is not asleep: nobody need wake it.
    let sleeps = sleep_max != Some(Duration::ZERO) && shard.inbox.may_sleep();
    let timeout = match sleep_max {
        _ if !sleeps => Some(Duration::ZERO),
        // Interrupted: the next turn finds that there is time left.
        Some(time) if time < EXACT_BELOW => match sleep(poll.registry(), time) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Some(Duration::ZERO),
            Err(_) => sleep_max,
        },
        _ => sleep_max,
    };
    let polled = poll.poll(events, timeout);
    shard.inbox.awake();
    match polled {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Waits until there are events, or for `time`: 0 if that is over. mio would wait for whole milliseconds, rounded up: a
/// room that gathers for 2 ms would wait up to 3, and if its publications come at least 2 ms apart, for nothing, again
/// and again.
fn sleep(registry: &Registry, time: Duration) -> Result<usize, rustix::io::Errno> {
    let time = Timespec::try_from(time).map_err(|_| rustix::io::Errno::INVAL)?;
    rustix::event::poll(&mut [PollFd::new(registry, PollFlags::IN)], Some(&time))
}

fn ready(event: &mio::event::Event) -> Option<Ready> {
    if event.token() == WAKER {
        return None;
    }
    let number = u32::try_from(event.token().0).ok()?;
    // Errors and hang-ups come as readable: the read tells which.
    let hung_up = event.is_read_closed() || event.is_error();
    Some(Ready { number, readable: event.is_readable() || hung_up, hung_up, writable: event.is_writable() })
}

/// Puts the calling thread on the core for shard `number`, round robin over those that the process may use.
pub(crate) fn pin(number: usize, pinning: Pinning) {
    if pinning == Pinning::Off {
        return;
    }
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let Some(core) = cores.get(number % cores.len().max(1)) else { return };
    let mut only = rustix::thread::CpuSet::new();
    only.set(*core);
    // Refused (a container's rule): then the kernel places the thread, which costs some cache misses and nothing else.
    rustix::thread::sched_setaffinity(None, &only).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_the_sleep_and_is_still_there() {
        let mut poll = Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), WAKER).unwrap();
        let mut events = Events::with_capacity(1);
        assert_eq!(sleep(poll.registry(), Duration::from_micros(1_500)), Ok(0));
        waker.wake().unwrap();
        assert_eq!(sleep(poll.registry(), Duration::from_secs(3_600)), Ok(1));
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [WAKER]);
    }
}
