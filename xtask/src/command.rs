//! Starting other programs: streaming their output, waiting with a deadline, finding and installing them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a program that was told to end may take over it.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The very cargo that runs this task.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace());
    command
}

/// Runs a program to its end, its output going where ours goes.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    println!("    {}", line(command));
    let status = command.status().map_err(|error| format!("cannot start `{}`: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// Runs a program to its end and returns its exit code; one that takes longer than `limit` is ended and is an error.
pub(crate) fn exit_code_within(command: &mut Command, limit: Duration) -> Result<i32, String> {
    println!("    {}", line(command));
    let running = Running::start(command)?;
    let Some(status) = running.wait(limit) else {
        return Err(format!("`{}` had not ended after {} s", line(command), limit.as_secs()));
    };
    status?.code().ok_or_else(|| format!("`{}` was ended by a signal", line(command)))
}

/// The command as one would type it: without the folder of its program.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = [program.file_name().unwrap_or(program.as_os_str())].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A program in the background; dropping this ends it.
pub(crate) struct Running {
    process_id: u32,
    /// A thread waits for the program and sends how it ended, once.
    end: Receiver<Result<ExitStatus, String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let child = command.spawn().map_err(|error| format!("cannot start `{}`: {error}", line(command)))?;
        let process_id = child.id();
        let (sender, end) = sync_channel(1);
        std::thread::spawn(move || {
            let mut child: Child = child;
            let status = child.wait().map_err(|error| format!("waiting for process {}: {error}", child.id()));
            // The receiver may be gone: then nobody wants to know.
            drop(sender.send(status));
        });
        Ok(Self { process_id, end })
    }

    /// How the program ended, or `None` if it is still running after `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<Result<ExitStatus, String>> {
        match self.end.recv_timeout(limit) {
            Ok(status) => Some(status),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err("its end was already reported".to_owned())),
        }
    }

    /// Asks the program to end, as an operator would, and returns how it did.
    pub(crate) fn terminate(self) -> Result<ExitStatus, String> {
        self.signal("TERM");
        let late = || Err(format!("it was still running {} s after SIGTERM", STOP_WITHIN.as_secs()));
        self.wait(STOP_WITHIN).unwrap_or_else(late)
    }

    /// A failure is of no interest: the program has ended then.
    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).arg(self.process_id.to_string()).stderr(Stdio::null());
        drop(kill.status());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a program that has not been waited for may be signalled: its id may belong to another one since.
        if self.wait(Duration::ZERO).is_none() {
            self.signal("TERM");
            if self.wait(STOP_WITHIN).is_none() {
                self.signal("KILL");
            }
        }
    }
}

/// The program of this name on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Makes sure that a program is there, installing a Debian package for it where that needs no password.
/// The error is the reason why it is missing.
pub(crate) fn ensure(program: &str, package: &str) -> Result<(), String> {
    if find(program).is_some() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        return Err(format!("{program} is not installed, and there is no apt-get to install it with"));
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let has_sudo = || Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !is_root && !has_sudo() {
        return Err(format!("{program} is not installed, and installing it needs root or sudo without a password"));
    }
    for arguments in ["update".to_owned(), format!("install -y --no-install-recommends {package}")] {
        let mut apt = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            apt.args(["-n", "env"]);
        }
        succeed(apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).args(arguments.split(' ')))?;
    }
    find(program).map(drop).ok_or_else(|| format!("the package {package} has no program {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn exit_codes_are_told() {
        assert_eq!(exit_code_within(&mut shell("exit 77"), Duration::from_secs(30)), Ok(77));
        assert!(succeed(&mut shell("exit 1")).is_err());
        assert_eq!(succeed(&mut shell("exit 0")), Ok(()));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let hung = exit_code_within(Command::new("sleep").arg("1000"), Duration::from_millis(20));
        assert!(hung.is_err_and(|problem| problem.contains("had not ended")));
    }

    #[test]
    fn a_terminated_program_is_waited_for() {
        let running = Running::start(Command::new("sleep").arg("1000")).expect("sleep starts");
        let status = running.terminate().expect("sleep ends");
        assert_eq!(status.code(), None, "a program that does not handle SIGTERM dies of it");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
