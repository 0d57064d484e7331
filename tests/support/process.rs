//! The binary as a process: fed, read, signalled, and killed on drop, by its own id.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::{HANG, eventually};

pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Mutex<Receiver<String>>,
    errors: Arc<Mutex<String>>,
    error_reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the binary with these arguments and no environment.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
        command.args(arguments).env_clear().envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary has been built and starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("stdout is a pipe"));
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let errors = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&errors);
        let error_reader = std::thread::spawn(move || collect(stderr, &collected));
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // The test may have seen enough.
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)).ok();
        });
        Self { child, stdin, lines: Mutex::new(lines), errors, error_reader: Some(error_reader) }
    }

    /// The next line of standard output; `None` at its end.
    pub(crate) fn next_line(&self) -> Option<String> {
        let next = self.lines.lock().expect("whoever reads does not panic").recv_timeout(HANG);
        match next {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line of output; standard error: {}", self.errors()),
        }
    }

    /// The next line of standard output.
    pub(crate) fn line(&self) -> String {
        self.next_line().unwrap_or_else(|| panic!("the output ended; standard error: {}", self.errors()))
    }

    /// Every line of standard output until its end.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next_line()).collect()
    }

    /// What went to standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().expect("the reader does not panic").clone()
    }

    /// All that goes to standard error.
    pub(crate) fn errors_to_end(&mut self) -> String {
        if let Some(reader) = self.error_reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.errors()
    }

    /// Writes to standard input.
    pub(crate) fn feed(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input has not been ended");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the process reads its input");
    }

    /// Ends standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process has not been waited for");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for the end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status: ExitStatus = eventually("the end of a process", || child.try_wait().expect("it is our child"));
        status.code()
    }

    /// Memory that is resident, KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Files that there is room for before the kernel has to make its table of them larger.
    pub(crate) fn room_for_files(&self) -> u64 {
        self.status("FDSize:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Files that are open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "part of the report of a test that failed")]
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("standard error of process {}: {}", self.child.id(), self.errors());
        }
    }
}

fn collect(mut stderr: impl Read, into: &Mutex<String>) {
    let mut bytes = [0; 4_096];
    while let Ok(len @ 1..) = stderr.read(&mut bytes) {
        into.lock().expect("nobody panics while holding it").push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
}
