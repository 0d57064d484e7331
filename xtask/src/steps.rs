//! The steps of `cargo xtask test`, quick ones first.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::{cargo, ensure, exit_code_within, succeed};
use crate::report::Outcome;
use crate::{fuzz, smoke, tidy};

/// One thing to check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) run: fn() -> Outcome,
}

/// The server as it is shipped.
pub(crate) const SERVER: &str = "target/release/shardcast";

/// The load generator as the tests build it.
const LOADGEN: &str = "target/quick/loadgen";

const BROWSER_TEST: &str = "tests/browser/two_pages.mjs";
const BROWSER_LIMIT: Duration = Duration::from_secs(180);

const AUTOBAHN_TEST: &str = "tests/autobahn/run.sh";
/// Making its Python environment takes about half a minute, the cases about 20 seconds; a server that leaves cases
/// without an answer is given up by the script itself after 5 minutes.
const AUTOBAHN_LIMIT: Duration = Duration::from_secs(600);
/// The script's exit code (as automake's) for "cannot run here".
const EXIT_SKIPPED: i32 = 77;

/// Each step runs by itself too: what it needs built, it builds.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", summary: "the code is formatted", run: || succeed(&mut cargo("fmt --all --check")).into() },
    Step {
        name: "style",
        summary: "what clippy cannot see: sizes, names, clocks, paths",
        run: || tidy::check_tree(Path::new(".")).into(),
    },
    Step {
        name: "clippy",
        summary: "no lint fires",
        run: || succeed(&mut cargo("clippy --workspace --all-targets --all-features -- -D warnings")).into(),
    },
    Step {
        name: "test",
        summary: "unit and integration tests, benches in smoke mode",
        run: || succeed(&mut cargo("test --workspace --all-targets --all-features")).into(),
    },
    Step {
        name: "gate",
        summary: "gate.sh on two revisions of this repository, few pairs",
        run: || succeed(&mut cargo("test --package loadgen --test gate_script -- --ignored")).into(),
    },
    Step {
        name: "doctest",
        summary: "the examples in the documentation",
        run: || succeed(&mut cargo("test --workspace --doc")).into(),
    },
    Step {
        name: "lib",
        summary: "the engine compiles without the server's dependencies",
        run: || succeed(&mut cargo("build --package shardcast --no-default-features --lib")).into(),
    },
    Step {
        name: "doc",
        summary: "the documentation builds without a warning",
        run: || succeed(cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-Dwarnings")).into(),
    },
    Step { name: "release", summary: "the binary as it is shipped", run: || build_release().into() },
    Step {
        name: "smoke",
        summary: "the shipped binary starts, publishes, and ends cleanly",
        run: || build_release().and_then(|()| smoke::check(Path::new(SERVER))).into(),
    },
    Step {
        name: "load",
        summary: "the load generator finds nothing wrong with the shipped binary",
        run: || load().into(),
    },
    Step { name: "dialects", summary: "the load generator speaks to NATS and to nginx with nchan", run: dialects },
    Step { name: "fuzz", summary: "a minute of fuzzing for every decoder", run: fuzz::step },
    Step { name: "browser", summary: "two pages in Chromium see each other's messages", run: browser },
    Step { name: "autobahn", summary: "the WebSocket conformance cases 1 to 10", run: autobahn },
];

fn build_release() -> Result<(), String> {
    succeed(&mut cargo("build --release --package shardcast --bin shardcast"))
}

/// The scenario allows for a busy machine: it is about being right, not about being fast. Built without the long
/// optimisations of the shipped profile: the load generator is the instrument here, not what is tested.
fn load() -> Result<(), String> {
    build_release()?;
    succeed(&mut cargo("build --profile quick --package loadgen --bin loadgen"))?;
    smoke::check_under_load(Path::new(SERVER), Path::new(LOADGEN), "configs/loadgen/smoke.toml")
}

fn dialects() -> Outcome {
    for (program, package) in [("nats-server", "nats-server"), ("nginx", "nginx-light libnginx-mod-nchan")] {
        if let Err(why) = ensure(program, package) {
            return Outcome::Skipped { why, enable: format!("apt-get install {package}") };
        }
    }
    succeed(&mut cargo("test --package loadgen --test adapters")).into()
}

fn browser() -> Outcome {
    if !Path::new(BROWSER_TEST).is_file() {
        return Outcome::Failed(format!("{BROWSER_TEST} is missing"));
    }
    for (program, package) in [("node", "nodejs"), ("chromium", "chromium")] {
        if let Err(why) = ensure(program, package) {
            return Outcome::Skipped { why, enable: format!("apt-get install {package}") };
        }
    }
    let check = || {
        build_release()?;
        let mut pages = Command::new("node");
        match exit_code_within(pages.arg(BROWSER_TEST).env("SHARDCAST_BIN", SERVER), BROWSER_LIMIT)? {
            0 => Ok(()),
            code => Err(format!("{BROWSER_TEST} ended with exit code {code}")),
        }
    };
    check().into()
}

fn autobahn() -> Outcome {
    if let Err(problem) = build_release() {
        return Outcome::Failed(problem);
    }
    match exit_code_within(&mut Command::new(AUTOBAHN_TEST), AUTOBAHN_LIMIT) {
        Ok(0) => Outcome::Passed,
        Ok(EXIT_SKIPPED) => Outcome::Skipped {
            why: "its fuzzing client needs Python 2.7 (see above)".to_owned(),
            enable: "pyenv install 2.7.18".to_owned(),
        },
        Ok(code) => Outcome::Failed(format!("{AUTOBAHN_TEST} ended with exit code {code}")),
        Err(problem) => Outcome::Failed(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_are_distinct_words() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(step.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", step.name);
            assert!(STEPS[..index].iter().all(|other| other.name != step.name), "twice: {}", step.name);
        }
    }
}
