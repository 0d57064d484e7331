use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// A `/proc` in a folder: processes with ticks and threads.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn kernel(&self) -> Kernel {
        Kernel::at(self.0.path().to_owned(), self.0.path().join("sys"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn process(&self, pid: u32, parent: u32, ticks: u64, threads: &[(u32, u64)]) {
        self.write(
            &format!("{pid}/stat"),
            &format!("{pid} (x) S {parent} 0 0 0 0 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 77 0 0"),
        );
        for (tid, ns) in threads {
            self.write(&format!("{pid}/task/{tid}/schedstat"), &format!("{ns} 5 1\n"));
        }
    }
}

#[test]
fn threads_that_end_stay_counted() {
    let fake = Fake::new();
    fake.process(10, 1, 3, &[(10, 20_000_000), (11, 12_000_000)]);
    let mut sampler = Sampler::new(fake.kernel(), &[10], Follow::ProcessOnly).unwrap();
    let first = sampler.sample().unwrap();
    assert_eq!((first.cpu_ns, first.precision), (32_000_000, Precision::Scheduler));

    std::fs::remove_dir_all(fake.0.path().join("10/task/11")).unwrap();
    fake.process(10, 1, 5, &[(10, 45_000_000)]);
    assert_eq!(sampler.sample().unwrap().cpu_ns, 57_000_000);

    // A new thread with the number of the old one.
    fake.process(10, 1, 5, &[(11, 1_000_000)]);
    assert_eq!(sampler.sample().unwrap().cpu_ns, 58_000_000);

    // A thread came and went between two samples: only the ticks know.
    fake.process(10, 1, 9, &[]);
    assert_eq!(sampler.sample().unwrap().cpu_ns, 90_000_000);
}

#[test]
fn without_schedstat_there_are_ticks() {
    let fake = Fake::new();
    fake.process(10, 1, 7, &[]);
    let sample = Sampler::new(fake.kernel(), &[10], Follow::Tree).unwrap().sample().unwrap();
    assert_eq!((sample.cpu_ns, sample.precision), (70_000_000, Precision::Ticks));
    assert!(sample.threads.is_empty());
}

#[test]
fn a_launcher_is_followed_if_wanted() {
    let fake = Fake::new();
    fake.process(10, 1, 1, &[(10, 10_000_000)]);
    fake.process(20, 10, 2, &[(20, 20_000_000)]);
    fake.process(30, 20, 4, &[(30, 40_000_000)]);
    fake.process(40, 1, 8, &[(40, 80_000_000)]);
    let cpu_ns = |follow| Sampler::new(fake.kernel(), &[10], follow).unwrap().sample().unwrap().cpu_ns;
    assert_eq!(cpu_ns(Follow::ProcessOnly), 10_000_000);
    assert_eq!(cpu_ns(Follow::Tree), 70_000_000, "children by their parent");

    fake.write("10/task/10/children", "20 ");
    fake.write("20/task/20/children", "30 ");
    fake.write("30/task/30/children", "");
    assert_eq!(cpu_ns(Follow::Tree), 70_000_000, "children by the kernel's list");

    let mut sampler = Sampler::new(fake.kernel(), &[10], Follow::Tree).unwrap();
    sampler.sample().unwrap();
    std::fs::remove_dir_all(fake.0.path().join("30")).unwrap();
    assert_eq!(sampler.sample().unwrap().cpu_ns, 70_000_000, "a child that ended stays counted");
    std::fs::remove_dir_all(fake.0.path().join("10")).unwrap();
    assert_eq!(sampler.sample(), Err(ProcessError::Gone { pid: 10 }));
}

#[test]
fn another_process_of_the_same_number_is_another() {
    let fake = Fake::new();
    fake.process(10, 1, 1, &[]);
    let mut sampler = Sampler::new(fake.kernel(), &[10], Follow::Tree).unwrap();
    fake.write("10/stat", "10 (y) S 1 0 0 0 0 0 0 0 0 0 1 0 0 0 20 0 1 0 78 0 0");
    assert_eq!(sampler.sample(), Err(ProcessError::Gone { pid: 10 }));
    fake.write("10/stat", "10 (x) Z 1 0 0 0 0 0 0 0 0 0 1 0 0 0 20 0 1 0 77 0 0");
    assert_eq!(sampler.sample(), Err(ProcessError::Gone { pid: 10 }), "a zombie");
}

#[test]
fn memory_is_proportional_or_says_that_it_is_not() {
    let fake = Fake::new();
    fake.process(10, 1, 1, &[]);
    fake.process(20, 10, 1, &[]);
    fake.write(
        "10/smaps_rollup",
        "55edd411a000-7ffd79976000 ---p 00000000 00:00 0 [rollup]\nRss: 1772 kB\nPss: 252 kB\n",
    );
    fake.write("20/smaps_rollup", "Rss: 10 kB\nPss: 8 kB\nPss_Anon: 1 kB\n");
    let sampler = Sampler::new(fake.kernel(), &[10], Follow::Tree).unwrap();
    assert_eq!(sampler.memory(), Ok(Memory { bytes: 260 * 1_024, kind: MemoryKind::Pss }));

    std::fs::remove_file(fake.0.path().join("20/smaps_rollup")).unwrap();
    fake.write("20/statm", "500 3 1 1 0 1 0\n");
    let page_bytes = rustix::param::page_size() as u64;
    let wanted = Memory { bytes: 252 * 1_024 + 3 * page_bytes, kind: MemoryKind::Rss };
    assert_eq!(sampler.memory(), Ok(wanted));

    std::fs::remove_file(fake.0.path().join("10/smaps_rollup")).unwrap();
    assert_eq!(sampler.memory(), Err(ProcessError::Forbidden { pid: 10, file: "statm" }));
}

#[test]
fn busiest_thread_is_of_the_span() {
    let sample = |at, cpu_ns, threads: &[(u32, u64)]| Sample {
        at: Nanos(at),
        cpu_ns,
        precision: Precision::Scheduler,
        threads: threads.iter().map(|(tid, ns)| ((1, *tid), *ns)).collect(),
    };
    let before = sample(0, 900_000_000, &[(1, 900_000_000)]);
    let after = sample(2_000_000_000, 2_500_000_000, &[(1, 1_000_000_000), (2, 1_500_000_000)]);
    let used = after.since(&before);
    assert_eq!(used, Used { seconds: 2.0, cpu_seconds: 1.6, busiest_thread: 0.75 });
    assert!((used.cores() - 0.8).abs() < 1e-9);
    assert!(after.since(&after).cores().abs() < f64::EPSILON, "no time has passed");
}

/// Ends the process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn own_cpu_and_memory_and_files() {
    let mut sampler = Sampler::new(Kernel::default(), &[std::process::id()], Follow::ProcessOnly).unwrap();
    let before = sampler.sample().unwrap();
    let until = Nanos::now().after(std::time::Duration::from_millis(30));
    while Nanos::now() < until {
        std::hint::spin_loop();
    }
    let after = sampler.sample().unwrap();
    let used = after.since(&before);
    assert_eq!(after.precision, Precision::Scheduler);
    assert!(used.cpu_seconds > 0.0 && used.cpu_seconds <= used.seconds * 1_024.0, "{used:?}");
    assert!(sampler.memory().unwrap().bytes > 100_000);
    assert!(sampler.open_files().unwrap() >= 3);
}

#[test]
fn a_shell_and_what_it_started_are_one_tree() {
    let mut command = Command::new("sh");
    command.args(["-c", "cat; exit 3"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = Ended(command.spawn().unwrap());
    let mut input = shell.0.stdin.take().unwrap();
    let mut output = BufReader::new(shell.0.stdout.take().unwrap());
    input.write_all(b"here\n").unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n", "so cat runs");

    let mut sampler = Sampler::new(Kernel::default(), &[shell.0.id()], Follow::Tree).unwrap();
    assert_eq!(sampler.pids().unwrap().len(), 2);
    assert!(sampler.sample().unwrap().threads.len() >= 2);
    drop(input);
    output.read_line(&mut line).unwrap();
    assert_eq!(shell.0.wait().unwrap().code(), Some(3));
    assert_eq!(sampler.sample(), Err(ProcessError::Gone { pid: shell.0.id() }));
}
