//! What a coordinator and a worker say to each other: lines of JSON over TCP, each of bounded length.
//!
//! ```text
//! coordinator → worker   Hello, Ping …, Task, then Command or Beat
//! worker → coordinator   Hello (or why not), Pong …, then Report or Beat
//! ```
//!
//! Both sides say something every second, so that silence is a sign: of a machine that is gone, or of one that is far
//! too busy to measure anything.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::drive::{Command, Report, Task};

/// Raised when the messages below change.
pub(super) const PROTOCOL: u32 = 2;
/// Who has nothing to say says so that often.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Whoever does not take what is said for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The first line of both sides. Every version has to understand it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) loadgen_worker_protocol: u32,
    /// loadgen's version.
    pub(super) loadgen: String,
    /// The running kernel's identity: who shares it shares the clock. None if it cannot be known.
    pub(super) machine: Option<String>,
    /// Why the worker does not take part.
    pub(super) refusal: Option<String>,
}

impl Hello {
    /// This process's.
    pub(super) fn own() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            loadgen_worker_protocol: PROTOCOL,
            loadgen: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine.map(|id| id.trim().to_owned()),
            refusal: None,
        }
    }

    /// What keeps the two from working together: figures of unlike versions must not be added up.
    pub(super) fn mismatch(coordinator: &Self, worker: &Self) -> Option<String> {
        let version = |hello: &Self| format!("{} (worker protocol {})", hello.loadgen, hello.loadgen_worker_protocol);
        let (coordinator, worker) = (version(coordinator), version(worker));
        let unlike = coordinator != worker;
        unlike.then(|| format!("the worker is loadgen {worker}, the coordinator {coordinator}; install one version"))
    }

    /// Whether both read the same clock.
    pub(super) fn shares_clock(&self, other: &Self) -> bool {
        self.machine.is_some() && self.machine == other.machine
    }
}

/// From the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// What does your clock say?
    Ping,
    /// Begin.
    Task(Box<Task>),
    /// For the worker that drives.
    Command(Command),
    /// Still here.
    Beat,
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToCoordinator {
    /// Its own clock.
    Pong(Nanos),
    /// From the worker that drives.
    Report(Report),
    /// Still here.
    Beat,
}

/// What is waited for, at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of the line.
    pub(super) bytes: usize,
    /// Time without any byte of it.
    pub(super) silence: Duration,
    /// Reads that it may come in: with `silence` it bounds the time that all of it takes.
    pub(super) reads: u32,
}

impl Bounds {
    /// The first line: anybody may have sent it.
    pub(super) const HELLO: Self = Self { bytes: 4 * 1_024, silence: Duration::from_secs(2), reads: 4 };
    /// Until a worker has its task; its coordinator is busy with the other workers.
    pub(super) const SET_UP: Self = Self { bytes: 16 << 20, silence: Duration::from_secs(60), reads: u32::MAX };
    /// During a run: the longest are the accounts, up to 160 bytes for each of the million messages that a worker
    /// remembers.
    pub(super) const RUN: Self = Self { bytes: 256 << 20, silence: Duration::from_secs(5), reads: u32::MAX };
}

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LineError {
    /// The other side has closed.
    #[error("the connection ended")]
    Ended,
    /// The other side may be gone.
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// A line that is too long.
    #[error("a line of more than {limit} bytes")]
    Long {
        /// The most that it may have.
        limit: usize,
    },
    /// No message of this protocol.
    #[error("it does not speak as a loadgen of this version does: {0}")]
    Foreign(#[from] serde_json::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// Reads messages.
pub(super) struct Lines {
    reader: BufReader<TcpStream>,
}

impl Lines {
    /// # Errors
    /// The system has no further handle for the connection.
    pub(super) fn new(stream: &TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { reader: BufReader::with_capacity(64 * 1_024, stream.try_clone()?) })
    }

    /// Waits for the next message.
    pub(super) fn next<T: DeserializeOwned>(&mut self, bounds: Bounds) -> Result<T, LineError> {
        self.reader.get_ref().set_read_timeout(Some(bounds.silence))?;
        let mut line = Vec::new();
        for _ in 0..bounds.reads {
            let bytes = match self.reader.fill_buf() {
                Ok([]) => return Err(LineError::Ended),
                Ok(bytes) => bytes,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        return Err(LineError::Silent(bounds.silence));
                    }
                    _ => return Err(error.into()),
                },
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.reader.consume(used);
            if line.len() > bounds.bytes {
                return Err(LineError::Long { limit: bounds.bytes });
            }
            if end.is_some() {
                return Ok(serde_json::from_slice(&line)?);
            }
        }
        Err(LineError::Silent(bounds.silence))
    }
}

/// Says it. What is long flows as it is written, so that the other side hears something all the time.
pub(super) fn say<T: Serialize>(stream: &TcpStream, message: &T) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(16 * 1_024, stream);
    serde_json::to_writer(&mut writer, message)?;
    writer.write_all(b"\n")?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};

    use super::*;
    use crate::drive::Part;
    use crate::fan_out::Partial;
    use crate::scenario::Scenario;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    #[test]
    fn lines_are_bounded_in_length_and_time() {
        let bounds = Bounds { bytes: 10, silence: Duration::from_millis(50), reads: 4 };
        for (sent, wanted) in [
            (&b""[..], "the connection ended"),
            (b"\"abc\"", "the connection ended"),
            (b"01234567890", "a line of more than 10 bytes"),
            (b"01234567890\n", "a line of more than 10 bytes"),
            (b"GET /\r\n", "it does not speak as a loadgen of this version does"),
            (b"\xff\xfe\n", "it does not speak as a loadgen of this version does"),
        ] {
            let (mut one, other) = pair();
            one.write_all(sent).unwrap();
            one.shutdown(Shutdown::Write).unwrap();
            let said = Lines::new(&other).unwrap().next::<String>(bounds).unwrap_err().to_string();
            assert!(said.starts_with(wanted), "{sent:?}: {said}");
        }
        let (mut one, other) = pair();
        let mut lines = Lines::new(&other).unwrap();
        one.write_all(b"\"a\"\n\"b\"\n\"c").unwrap();
        assert_eq!(lines.next::<String>(bounds).unwrap(), "a");
        assert_eq!(lines.next::<String>(bounds).unwrap(), "b");
        assert!(matches!(lines.next::<String>(bounds), Err(LineError::Silent(_))));
    }

    #[test]
    fn a_task_arrives_as_it_was_sent() {
        let mut scenario = Scenario::default();
        scenario.limits.run_time_max = Some(Duration::from_millis(90_500));
        scenario.target.headers.insert("authorization".to_owned(), "Bearer \"x\"\n".to_owned());
        let began = Nanos(u64::MAX - 1);
        let task =
            Task { scenario, run_id: u64::MAX, index: 1, count: 2, began, pin: Some(3), clock_offset_ns: i64::MIN };
        let (one, other) = pair();
        say(&one, &ToWorker::Task(Box::new(task.clone()))).unwrap();
        let Ok(ToWorker::Task(arrived)) = Lines::new(&other).unwrap().next(Bounds::SET_UP) else { panic!("no task") };
        assert_eq!(arrived.scenario, task.scenario);
        assert_eq!((arrived.run_id, arrived.index, arrived.count), (task.run_id, 1, 2));
        assert_eq!((arrived.began, arrived.pin, arrived.clock_offset_ns), (began, Some(3), i64::MIN));
    }

    #[test]
    fn the_longest_accounts_fit() {
        let far = Nanos(u64::MAX);
        let partial =
            Partial { publisher: u32::MAX, count: u32::MAX, sequence: u64::MAX, due: far, first: far, last: far };
        // As many as a worker remembers at most, which need not be built to be counted.
        let bytes = serde_json::to_string(&partial).unwrap().len() + 1;
        assert!(bytes << 20 < Bounds::RUN.bytes * 3 / 4, "{bytes} bytes each");
        let part = Part { partials: vec![partial; 20_000], ..Part::default() };
        let (one, other) = pair();
        let sender = std::thread::spawn(move || say(&one, &ToCoordinator::Report(Report::Done(Box::new(part)))));
        let Ok(ToCoordinator::Report(Report::Done(arrived))) = Lines::new(&other).unwrap().next(Bounds::RUN) else {
            panic!("no accounts")
        };
        sender.join().unwrap().unwrap();
        assert_eq!(arrived.partials, vec![partial; 20_000]);
    }

    #[test]
    fn only_equal_versions_work_together() {
        let own = Hello::own();
        assert_eq!(Hello::mismatch(&own, &own), None);
        let newer = Hello { loadgen: "99.1.2".to_owned(), ..own.clone() };
        let said = Hello::mismatch(&own, &newer).unwrap();
        assert!(said.starts_with("the worker is loadgen 99.1.2 (worker protocol 2), the coordinator "), "{said}");
        let other = Hello { loadgen_worker_protocol: PROTOCOL + 1, ..own.clone() };
        assert!(Hello::mismatch(&other, &own).is_some());
    }

    #[test]
    fn who_does_not_know_its_machine_shares_no_clock() {
        let own = Hello { machine: Some("a".to_owned()), ..Hello::own() };
        for (machine, wanted) in [(Some("a"), true), (Some("b"), false), (None, false)] {
            let other = Hello { machine: machine.map(str::to_owned), ..own.clone() };
            assert_eq!(own.shares_clock(&other), wanted, "{machine:?}");
        }
        let unknown = Hello { machine: None, ..own };
        assert!(!unknown.shares_clock(&unknown));
    }
}
