//! From which source, built how and called how: what a record says of its own making.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What the runs themselves do not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordContext {
    /// The command that was given.
    pub command: String,
    /// What each run was, in the order in which they ran (`base`, `candidate`); empty if all are alike.
    pub order: Vec<String>,
    /// The source, if it is under git.
    pub git: Option<GitState>,
    /// How it was built.
    pub build: Build,
}

/// A state of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit, 12 digits.
    pub rev: String,
    /// Whether files that git tracks differed from it.
    pub dirty: bool,
}

/// How the source was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// `release`, or `debug` if loadgen has debug assertions.
    pub profile: String,
    /// `rustc -V` of the compiler that is installed now; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rustc: String,
    /// `RUSTFLAGS` when loadgen was built; empty if there were none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rustflags: String,
    /// SHA-256 of `Cargo.lock`; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cargo_lock_sha256: String,
}

impl RecordContext {
    /// Asks git and rustc about the source in `folder` (or above); what they cannot say stays empty. `arguments` are
    /// the command's, the program first. Takes some 50 ms.
    #[must_use]
    pub fn gather(folder: &Path, arguments: &[String], order: Vec<String>) -> Self {
        let root = output(folder, "git", &["rev-parse", "--show-toplevel"]);
        let lock_folder = root.as_deref().map_or(folder, Path::new);
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        Self {
            command: command_line(arguments, root.as_deref()),
            order,
            git: git_state(folder),
            build: Build {
                profile: profile.to_owned(),
                rustc: output(folder, "rustc", &["-V"]).unwrap_or_default(),
                rustflags: option_env!("RUSTFLAGS").unwrap_or_default().to_owned(),
                cargo_lock_sha256: std::fs::read(lock_folder.join("Cargo.lock"))
                    .map(|text| sha256(&text))
                    .unwrap_or_default(),
            },
        }
    }

    /// The record's folder: the revision, `-dirty` behind it if so; without git the date of `started` (RFC 3339).
    #[must_use]
    pub fn folder_name(&self, started: &str) -> String {
        match &self.git {
            Some(GitState { rev, dirty: false }) => rev.clone(),
            Some(GitState { rev, dirty: true }) => format!("{rev}-dirty"),
            None => started.get(..10).filter(|date| !date.is_empty()).unwrap_or("undated").to_owned(),
        }
    }
}

/// The state of the source in `folder`; none if git is missing or knows nothing of it.
#[must_use]
pub fn git_state(folder: &Path) -> Option<GitState> {
    let rev = output(folder, "git", &["rev-parse", "--short=12", "HEAD"])?;
    // What git does not track (results just recorded, say) is not part of what was built.
    let changes = output(folder, "git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(GitState { rev, dirty: !changes.is_empty() })
}

/// What a command prints; none if it cannot be run or fails.
fn output(folder: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The command as somebody else would give it: the program without its folder, paths from the source's root, and
/// arguments quoted for a shell where needed.
fn command_line(arguments: &[String], root: Option<&str>) -> String {
    let program = arguments.first().map_or("loadgen", |program| program.rsplit('/').next().unwrap_or(program));
    let rest = arguments.iter().skip(1).map(|argument| {
        let argument = match root.filter(|root| !root.is_empty()) {
            Some(root) => argument.replace(&format!("{root}/"), ""),
            None => argument.clone(),
        };
        quoted(&argument)
    });
    std::iter::once(program.to_owned()).chain(rest).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_another_would_give_them() {
        let table: [(&[&str], &str); 4] = [
            (&["/a/target/release/loadgen", "run", "/a/b.toml"], "loadgen run b.toml"),
            (&["loadgen", "run", "--url", "ws://x/{room}"], "loadgen run --url 'ws://x/{room}'"),
            (&["loadgen", "", "it's"], r"loadgen '' 'it'\''s'"),
            (&[], "loadgen"),
        ];
        for (arguments, wanted) in table {
            let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(command_line(&arguments, Some("/a")), wanted);
        }
    }

    #[test]
    fn folders_are_named_by_revision_or_date() {
        let named = |git| RecordContext { git, ..RecordContext::default() }.folder_name("2026-11-20T16:00:01Z");
        let rev = "0123456789ab".to_owned();
        assert_eq!(named(Some(GitState { rev: rev.clone(), dirty: false })), "0123456789ab");
        assert_eq!(named(Some(GitState { rev, dirty: true })), "0123456789ab-dirty");
        assert_eq!(named(None), "2026-11-20");
        assert_eq!(RecordContext::default().folder_name(""), "undated");
    }

    #[test]
    fn git_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
            assert!(output(folder.path(), "git", &[&identity[..], arguments].concat()).is_some(), "{arguments:?}");
        };
        assert_eq!(git_state(folder.path()), None);
        git(&["init", "-q"]);
        std::fs::write(folder.path().join("Cargo.lock"), "abc").unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "x"]);
        let clean = RecordContext::gather(folder.path(), &[], Vec::new());
        assert_eq!(clean.build.cargo_lock_sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let state = clean.git.unwrap();
        assert!(state.rev.len() == 12 && !state.dirty, "{state:?}");

        std::fs::write(folder.path().join("new"), "not tracked").unwrap();
        assert!(!git_state(folder.path()).unwrap().dirty);
        std::fs::write(folder.path().join("Cargo.lock"), "abcd").unwrap();
        assert!(git_state(folder.path()).unwrap().dirty);
    }
}
