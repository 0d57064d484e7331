//! `configs/loadgen/ci/gate.sh` as a pull request runs it: two revisions of this repository, built from git, with the
//! real server, few pairs and short runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A clone of this repository at `HEAD`, with the CI examples as they are here, and a commit behind it.
struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("a folder of the repository");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clone = Self { folder };
        clone.git(&["clone", "--quiet", "--no-hardlinks", root.to_str().expect("a path in UTF-8"), "."]);
        for file in ["ci/gate.sh", "smoke.toml"] {
            let file = Path::new("configs/loadgen").join(file);
            std::fs::copy(root.join(&file), clone.path().join(&file)).expect("both are there");
        }
        std::fs::write(clone.path().join("CHANGE"), "a change that makes nothing slower\n").expect("the clone is ours");
        clone.git(&["add", "--all"]);
        clone.git(&["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "a change"]);
        clone
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git").args(arguments).current_dir(self.path()).status().expect("git is there");
        assert!(status.success(), "git {arguments:?}");
    }

    fn out(&self) -> PathBuf {
        self.path().join("target/gate")
    }

    /// Runs the script. Both revisions are built into one folder, so that they share what they depend on, and each
    /// keeps its own server.
    fn gate(&self, arguments: &[&str], build_more: &str) -> Output {
        let port =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate-script");
        let target = target.display();
        let build = format!(
            "CARGO_TARGET_DIR='{target}' cargo build --quiet --package shardcast && mkdir -p target && \
             cp '{target}/debug/shardcast' target/server{build_more}"
        );
        Command::new("sh")
            .arg("configs/loadgen/ci/gate.sh")
            .args(arguments)
            .current_dir(self.path())
            .env("LOADGEN", env!("CARGO_BIN_EXE_loadgen"))
            .env("BUILD", build)
            .env("SERVER", format!("{{dir}}/target/server serve --listen 127.0.0.1:{port}"))
            .env("PORT", port.to_string())
            .env("K", "2")
            .env("OUT", self.out())
            .env("FLAGS", "--warm-up 200ms --duration 1s --subscribers 20 --rate 20")
            .output()
            .expect("sh is there")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
#[ignore = "builds the server at two revisions; run by cargo xtask test"]
fn the_gate_of_a_pull_request() {
    let clone = Clone::new();

    let usage = clone.gate(&[], "");
    assert_eq!(usage.status.code(), Some(2), "{}", said(&usage));
    assert!(said(&usage).contains("usage: configs/loadgen/ci/gate.sh BASE_REV"), "{}", said(&usage));
    let unknown = clone.gate(&["no-such-revision"], "");
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    let broken = clone.gate(&["HEAD~1"], " && echo it is broken && exit 3");
    assert_eq!(broken.status.code(), Some(1), "{}", said(&broken));
    assert!(said(&broken).contains("it is broken"), "{}", said(&broken));

    let output = clone.gate(&["HEAD~1"], "");
    let text = said(&output);
    assert_eq!(text.matches("building in").count(), 2, "{text}");
    let verdict = std::fs::read(clone.out().join("verdict.json")).unwrap_or_else(|error| panic!("{error}: {text}"));
    let verdict: Value = serde_json::from_slice(&verdict).unwrap();
    // Two pairs cannot tell anything, and on a busy machine not even they come about.
    match verdict["outcome"].as_str() {
        Some("ok" | "inconclusive") => {
            assert_eq!(output.status.code(), Some(0), "{text}");
            for side in ["base", "candidate"] {
                let run = std::fs::read(clone.out().join(side).join("pair-001.json")).unwrap();
                let run: Value = serde_json::from_slice(&run).unwrap();
                assert_eq!(run["audit"]["expected"], run["audit"]["received"], "{side}");
                assert!(run["server"]["cpu_seconds"].as_f64() > Some(0.0), "{side}: {}", run["server"]);
            }
        }
        Some("invalid") => assert_eq!(output.status.code(), Some(12), "{text}"),
        other => panic!("{other:?}: {text}"),
    }
    assert!(clone.out().join("report.html").is_file(), "{text}");
}
