//! A coordinator for tests: a whole run, step by step, and worker processes to have one with.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use loadgen::clock::Nanos;
use loadgen::drive::{Command, Part, Report, Sent, Task};
use loadgen::scenario::{Phase, PhaseKind, Scenario};
use loadgen::workers::{Handle, Started};

/// Whatever takes longer does not come any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_loadgen"))
}

pub(crate) type Reports = (SyncSender<(u32, Report)>, Receiver<(u32, Report)>);

pub(crate) fn reports() -> Reports {
    sync_channel(64)
}

/// 11 subscribers, 3 publishers, about 100 messages within a second.
pub(crate) fn tasks(server: SocketAddr, count: u32) -> Vec<Task> {
    let mut scenario = Scenario::default();
    scenario.target.url = format!("ws://{server}/ws/{{room}}");
    scenario.subscribers.count = 11;
    scenario.publishers.count = 3;
    scenario.publishers.rate_per_second = 100.0;
    scenario.phases = vec![Phase {
        name: "all".to_owned(),
        kind: PhaseKind::Measured,
        duration: Duration::from_secs(1),
        rate_per_second: None,
    }];
    let task = |index| Task {
        scenario: scenario.clone(),
        run_id: 77,
        index,
        count,
        began: Nanos::now(),
        pin: None,
        clock_offset_ns: 0,
    };
    (0..count).map(task).collect()
}

/// The next report that `wanted` says something of. A worker that fails ends the test.
pub(crate) fn wait<T>(reports: &Receiver<(u32, Report)>, mut wanted: impl FnMut(u32, Report) -> Option<T>) -> T {
    loop {
        match reports.recv_timeout(PATIENCE).expect("a report comes") {
            (index, Report::Failed(why)) => panic!("worker {index}: {why}"),
            (index, report) => {
                if let Some(found) = wanted(index, report) {
                    return found;
                }
            }
        }
    }
}

/// Waits until the worker fails, and says why.
pub(crate) fn failure(reports: &Receiver<(u32, Report)>) -> (u32, String) {
    loop {
        if let (index, Report::Failed(why)) = reports.recv_timeout(PATIENCE).expect("a report comes") {
            return (index, why);
        }
    }
}

pub(crate) fn ramped(reports: &Receiver<(u32, Report)>, workers: usize) -> (u64, u32) {
    let (mut left, mut sum) = (workers, (0, 0));
    wait(reports, |_, report| {
        if let Report::Ramped { connected, publishers, .. } = report {
            sum = (sum.0 + connected, sum.1 + publishers);
            left -= 1;
        }
        (left == 0).then_some(sum)
    })
}

pub(crate) fn order(handles: &[Handle], command: &Command) {
    for handle in handles {
        handle.commands.send(command.clone()).expect("the worker is there");
    }
}

/// From the ramp to the accounts. Returns the messages sent and what each worker measured.
pub(crate) fn whole_run(started: Started, reports: &Receiver<(u32, Report)>) -> (u64, Vec<Part>) {
    let Started { handles, warnings } = started;
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(ramped(reports, handles.len()), (11, 3));
    order(&handles, &Command::Start { first_due: Nanos::now().after(Duration::from_millis(100)) });
    let (mut sent, mut deliveries, mut to_finish) = (vec![0; 3], 0, handles.len());
    wait(reports, |index, report| {
        match report {
            Report::Sent { sent: counts } => {
                to_finish -= 1;
                for (publisher, count) in counts {
                    assert_eq!(publisher as usize % handles.len(), index as usize);
                    sent[publisher as usize] = count;
                }
            }
            Report::Tick(tick) => deliveries += tick.deliveries,
            _ => {}
        }
        (to_finish == 0 && deliveries == 11 * sent.iter().sum::<u64>()).then_some(())
    });
    order(&handles, &Command::Tally);
    let (mut tallies, mut to_tally) = (vec![Sent::default(); 3], handles.len());
    wait(reports, |index, report| {
        if let Report::Tally { sent: of_worker, heard } = report {
            to_tally -= 1;
            assert_eq!(heard, sent, "each worker has subscribers of all publishers");
            for (publisher, tally) in of_worker {
                assert_eq!(publisher as usize % handles.len(), index as usize);
                tallies[publisher as usize] = tally;
            }
        }
        (to_tally == 0).then_some(())
    });
    assert!(tallies.iter().all(|tally| tally.refused.is_empty() && !tally.ended), "{tallies:?}");
    assert_eq!(tallies.iter().map(|tally| tally.sequences).collect::<Vec<_>>(), sent);
    order(&handles, &Command::Close { sent: tallies });
    let mut parts = Vec::new();
    let workers = handles.len();
    // The accounts come even if nobody waits for them before the end.
    std::thread::scope(|scope| {
        scope.spawn(|| handles.into_iter().for_each(Handle::finish));
        wait(reports, |_, report| {
            if let Report::Done(part) = report {
                parts.push(*part);
            }
            (parts.len() == workers).then_some(())
        });
    });
    (sent.iter().sum(), parts)
}

/// A `loadgen worker` of the test's own. Ends with it.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut program = Program::new(program());
        program.args(["worker", "--listen", "127.0.0.1:0"]).args(flags);
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        // What it says of its runs may be written: somebody reads.
        std::thread::spawn(move || stdout.lines().count());
        let address = line.trim().strip_prefix("listening on ").expect(&line).parse().unwrap();
        Self { child, address }
    }

    /// Its exit code, when it ends.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let (tell, told) = sync_channel(1);
        let pid = self.child.id();
        drop(self.child.stdin.take());
        std::thread::spawn(move || tell.send(self.child.wait().unwrap().code()));
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("process {pid} does not end"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
