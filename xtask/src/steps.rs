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

const BROWSER_TESTS: &[&str] = &["tests/browser/two_pages.mjs", "tests/browser/console.mjs"];
const BROWSER_LIMIT: Duration = Duration::from_secs(180);

const EXAMPLES_TEST: &str = "tests/examples/run.sh";
/// Each example may take half a minute per step; together they take one, and the packages another the first time.
const EXAMPLES_LIMIT: Duration = Duration::from_secs(600);

const STOCK_TEST: &str = "tests/stock/run.sh";
/// The page in Chromium is offline for a minute; installing packages takes less than one.
const STOCK_LIMIT: Duration = Duration::from_secs(420);

const AUTOBAHN_TEST: &str = "tests/autobahn/run.sh";
/// Groups 1 to 10 wholly, and of the 216 cases of compression those of one kind each way: the others differ in the
/// parameters offered, and in Python, in which the suite compresses, all of them take eight minutes more. The script
/// without arguments runs all 517.
const AUTOBAHN_CASES: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.*", "13.3.*"];
/// Making its Python environment takes about half a minute, the cases about two.
const AUTOBAHN_LIMIT: Duration = Duration::from_secs(900);
/// The script's exit code (as automake's) for "cannot run here".
const EXIT_SKIPPED: i32 = 77;

/// Each step runs by itself too: what it needs built, it builds.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", summary: "the code is formatted", run: || formatted().into() },
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
    Step {
        name: "dialects",
        summary: "the load generator speaks to NATS, to nginx with nchan and to shardcast",
        run: dialects,
    },
    Step { name: "fuzz", summary: "a minute of fuzzing for every decoder", run: fuzz::step },
    Step { name: "browser", summary: "pages in Chromium see each other's messages and resume", run: browser },
    Step { name: "examples", summary: "the programs under examples/ resume after a cut", run: examples },
    Step { name: "stock", summary: "clients that others wrote, in Node, Chromium and Python", run: stock },
    Step { name: "autobahn", summary: "the WebSocket conformance cases, some with compression", run: autobahn },
];

fn formatted() -> Result<(), String> {
    succeed(&mut cargo("fmt --all --check"))?;
    succeed(&mut cargo("fmt --manifest-path fuzz/Cargo.toml --check"))
}

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
    for (program, package) in [("node", "nodejs"), ("chromium", "chromium")] {
        if let Err(why) = ensure(program, package) {
            return Outcome::Skipped { why, enable: format!("apt-get install {package}") };
        }
    }
    let check = || {
        build_release()?;
        for test in BROWSER_TESTS {
            let mut pages = Command::new("node");
            match exit_code_within(pages.arg(test).env("SHARDCAST_BIN", SERVER), BROWSER_LIMIT)? {
                0 => {}
                code => return Err(format!("{test} ended with exit code {code}")),
            }
        }
        Ok(())
    };
    check().into()
}

fn examples() -> Outcome {
    let missing = || Outcome::Skipped {
        why: "a tool or a package of theirs is missing (see above)".to_owned(),
        enable: "apt-get install npm nodejs chromium curl python3-venv".to_owned(),
    };
    script(&mut Command::new(EXAMPLES_TEST), EXAMPLES_LIMIT, missing)
}

fn stock() -> Outcome {
    let missing = || Outcome::Skipped {
        why: "a tool or a package of theirs is missing (see above)".to_owned(),
        enable: "apt-get install npm nodejs chromium python3-venv".to_owned(),
    };
    script(&mut Command::new(STOCK_TEST), STOCK_LIMIT, missing)
}

fn autobahn() -> Outcome {
    let missing = || Outcome::Skipped {
        why: "its fuzzing client needs Python 2.7 (see above)".to_owned(),
        enable: "pyenv install 2.7.18".to_owned(),
    };
    script(Command::new(AUTOBAHN_TEST).args(AUTOBAHN_CASES), AUTOBAHN_LIMIT, missing)
}

/// Runs a script against the server as it is shipped; `missing` is for [`EXIT_SKIPPED`].
fn script(test: &mut Command, limit: Duration, missing: fn() -> Outcome) -> Outcome {
    if let Err(problem) = build_release() {
        return Outcome::Failed(problem);
    }
    match exit_code_within(test, limit) {
        Ok(0) => Outcome::Passed,
        Ok(EXIT_SKIPPED) => missing(),
        Ok(code) => Outcome::Failed(format!("{} ended with exit code {code}", test.get_program().display())),
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
