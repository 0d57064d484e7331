//! A revision that is compared: a git worktree in a temporary folder, built, and removed at the end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why there is no built revision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorktreeError {
    /// No git, no folder.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Git does not know it.
    #[error("the revision {0:?} is no commit here")]
    NoRevision(String),
    /// No repository, a build that fails.
    #[error("`{command}` in {directory} failed ({status}):\n{output}")]
    Failed {
        /// The command.
        command: String,
        /// Where.
        directory: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
}

/// A checked-out revision. Removed when dropped.
#[derive(Debug)]
pub struct Worktree {
    repository: PathBuf,
    directory: PathBuf,
}

impl Worktree {
    /// Checks out a revision of the repository around `from` into `directory`, which must not exist yet.
    ///
    /// # Errors
    /// If git does not know the revision, or cannot write there.
    pub fn add(from: &Path, revision: &str, directory: PathBuf) -> Result<Self, WorktreeError> {
        let repository = repository_root(from)?;
        let commit = git(&repository, &["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
            .ok()
            .filter(|_| !revision.starts_with('-'))
            .ok_or_else(|| WorktreeError::NoRevision(revision.to_owned()))?;
        let place = directory.display().to_string();
        git(&repository, &["worktree", "add", "--detach", "--quiet", &place, commit.trim()])?;
        Ok(Self { repository, directory })
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        let place = self.directory.display().to_string();
        // At worst an entry stays that `git worktree prune` removes.
        let _removed = git(&self.repository, &["worktree", "remove", "--force", &place]);
    }
}

/// The root of the repository around a folder.
///
/// # Errors
/// If there is none.
pub fn repository_root(from: &Path) -> Result<PathBuf, WorktreeError> {
    git(from, &["rev-parse", "--show-toplevel"]).map(|text| PathBuf::from(text.trim_end_matches('\n')))
}

/// Runs a build in a folder and says so.
///
/// # Errors
/// If it fails.
pub fn build(command: &str, directory: &Path, out: &mut dyn Write) -> Result<(), WorktreeError> {
    // That it cannot be told does not make the build fail.
    let _told = writeln!(out, "building in {}: {command}", directory.display());
    run(Command::new("sh").arg("-c").arg(command), command, directory).map(|_| ())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, WorktreeError> {
    let mut command = Command::new("git");
    // The repository may belong to another user than the one who compares.
    command.args(["-c", "safe.directory=*"]).args(arguments);
    run(&mut command, &format!("git {}", arguments.join(" ")), directory)
}

fn run(command: &mut Command, shown: &str, directory: &Path) -> Result<String, WorktreeError> {
    let start = |source| WorktreeError::Start { command: shown.to_owned(), source };
    let output = command.current_dir(directory).stdin(Stdio::null()).output().map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    Err(WorktreeError::Failed {
        command: shown.to_owned(),
        directory: directory.display().to_string(),
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(20)..].join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        git(at, &["init", "--quiet"]).unwrap();
        for text in ["one", "two"] {
            std::fs::write(at.join("file"), text).unwrap();
            git(at, &["add", "file"]).unwrap();
            let name = ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", text];
            git(at, &name).unwrap();
        }
        folder
    }

    #[test]
    fn an_older_revision_beside_the_present_one() {
        let folder = repository();
        let place = tempfile::tempdir().unwrap();
        let worktree = Worktree::add(folder.path(), "HEAD~1", place.path().join("base")).unwrap();
        let directory = worktree.directory().to_owned();
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("file"), "one");
        build("tr a-z A-Z < file > built", &directory, &mut std::io::sink()).unwrap();
        assert_eq!(read("built"), "ONE");
        drop(worktree);
        assert!(!directory.exists());
        assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "two");
        let worktrees = git(folder.path(), &["worktree", "list"]).unwrap();
        assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
    }

    #[test]
    fn what_fails_says_why() {
        let folder = repository();
        let place = tempfile::tempdir().unwrap();
        for revision in ["nonsense", "--orphan", ""] {
            let error = Worktree::add(folder.path(), revision, place.path().join("base")).unwrap_err();
            assert!(matches!(error, WorktreeError::NoRevision(_)), "{error}");
        }
        let error = build("echo it is broken; exit 3", folder.path(), &mut std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("it is broken") && error.to_string().contains('3'), "{error}");
    }
}
