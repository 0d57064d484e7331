//! The CI examples as a pull request runs them: two revisions of this repository, built from git, with the real server,
//! few pairs and short runs. `gate.sh` by itself, and by the steps of the GitHub Actions workflow.

mod workflow;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use workflow::{Step, filled, has_version, steps, trigger};

const WORKFLOW: &str = include_str!("../../../configs/loadgen/ci/github-actions.yml");

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
        self.path().join("loadgen-gate")
    }

    fn revision(&self, name: &str) -> String {
        let output = Command::new("git").args(["rev-parse", name]).current_dir(self.path()).output();
        let revision = String::from_utf8(output.expect("git is there").stdout).expect("hexadecimal digits");
        revision.trim().to_owned()
    }

    /// Runs the script.
    fn gate(&self, arguments: &[&str]) -> Output {
        self.small("configs/loadgen/ci/gate.sh", "").args(arguments).output().expect("the script is there")
    }

    /// Runs the workflow's scripts, as GitHub's runner does: one after the other, each by `bash -e`, until one fails.
    fn workflow(&self, build_more: &str) -> Output {
        let base = self.revision("HEAD~1");
        let context = [("github.event.pull_request.base.sha", base.as_str())];
        let mut last = None;
        for step in steps(WORKFLOW) {
            let Step::Run { script, variables } = step else { continue };
            let file = self.path().join("target/step.sh");
            std::fs::create_dir_all(self.path().join("target")).expect("the clone is ours");
            std::fs::write(&file, filled(&script, &context)).expect("the clone is ours");
            let mut shell = self.small("bash", build_more);
            shell.arg("-e").arg(&file);
            for (name, value) in variables.iter().filter(|(name, _)| name != "K") {
                shell.env(name, filled(value, &context));
            }
            let output = shell.output().expect("bash is there");
            let ok = output.status.success();
            last = Some(output);
            if !ok {
                break;
            }
        }
        last.expect("the workflow runs something")
    }

    /// `program`, with settings that make the gate small. Both revisions are built into one folder, so that they share
    /// what they depend on, and each keeps its own server.
    fn small(&self, program: &str, build_more: &str) -> Command {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate-script");
        let target = target.display();
        let build = format!(
            "CARGO_TARGET_DIR='{target}' cargo build --quiet --package shardcast && mkdir -p target && \
             cp '{target}/debug/shardcast' target/server{build_more}"
        );
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("LOADGEN", env!("CARGO_BIN_EXE_loadgen"))
            .env("BUILD", build)
            .env("SERVER", "{dir}/target/server serve --listen 127.0.0.1:{port}")
            .env("K", "2")
            .env("FLAGS", "--warm-up 200ms --duration 1s --subscribers 20 --rate 20");
        command
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
#[ignore = "builds the server at two revisions; run by cargo xtask test"]
fn the_gate_of_a_pull_request() {
    let clone = Clone::new();

    let usage = clone.gate(&[]);
    assert_eq!(usage.status.code(), Some(2), "{}", said(&usage));
    assert!(said(&usage).contains("usage: configs/loadgen/ci/gate.sh BASE_REV"), "{}", said(&usage));
    let unknown = clone.gate(&["no-such-revision"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    let broken = clone.workflow(" && echo it is broken && exit 3");
    assert_eq!(broken.status.code(), Some(1), "{}", said(&broken));
    assert!(said(&broken).contains("it is broken"), "{}", said(&broken));
    assert!(said(&broken).contains("::error title=Performance::loadgen ended with 1"), "{}", said(&broken));

    let output = clone.workflow("");
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
        Some("invalid") => {
            assert_eq!(output.status.code(), Some(12), "{text}");
            assert!(text.contains("::error title=Performance::The runs were invalid"), "{text}");
        }
        other => panic!("{other:?}: {text}"),
    }
    assert!(clone.out().join("report.html").is_file(), "{text}");
}

#[test]
fn the_workflow_uses_what_it_needs() {
    assert_eq!(trigger(WORKFLOW).as_deref(), Some("pull_request"));
    let steps = steps(WORKFLOW);
    let mut actions = Vec::new();
    for step in &steps {
        if let Step::Uses { action, with, always } = step {
            assert!(has_version(action), "{action}");
            let input = |name: &str| with.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
            let name = action.split('@').next().expect("the name");
            match name {
                // The base revision has to be there to be built.
                "actions/checkout" => assert_eq!(input("fetch-depth"), Some("0")),
                "actions/cache" => assert!(input("path").is_some() && input("key").is_some(), "{with:?}"),
                "actions/upload-artifact" => assert_eq!((input("path"), *always), (Some("loadgen-gate"), true)),
                other => panic!("what does {other} do?"),
            }
            actions.push(name);
        }
    }
    assert_eq!(actions, ["actions/checkout", "actions/cache", "actions/upload-artifact"]);
    let runs: Vec<usize> = (0..steps.len()).filter(|at| matches!(steps[*at], Step::Run { .. })).collect();
    assert_eq!(runs, [2], "one script, behind the checkout and before the upload");
    let Step::Run { variables, .. } = &steps[2] else { panic!("{:?}", steps[2]) };
    let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["BASE", "K", "OUT"]);
}

#[test]
fn versions_of_actions_have_a_form() {
    for (action, wanted) in [
        ("actions/checkout@v4", true),
        ("actions/checkout@v4.1.2", true),
        ("actions/checkout", false),
        ("actions/checkout@main", false),
        ("actions/checkout@v", false),
        ("checkout@v4", false),
        ("/checkout@v4", false),
    ] {
        assert_eq!(has_version(action), wanted, "{action}");
    }
}
