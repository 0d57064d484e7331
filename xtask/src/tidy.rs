//! The part of the style that clippy cannot see, checked on every file that git tracks or would track.
//!
//! Each rule is a pure function over one file; `tests` below shows each of them fire.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// A file of code above this is more than one concept. Its tests do not count.
const FILE_LINES_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 120;
/// The kinds of files whose lines have a width: those that a formatter, or nobody, would break by itself. In Markdown a
/// table row has to be one line.
const WIDTH_EXTENSIONS: &[&str] = &["rs", "toml", "sh", "py"];

/// What programs recorded is kept as they wrote it.
const RECORDS: &str = "results/";

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager"];

/// Marks of unfinished work. (Written in pieces, so that this file passes its own check.)
const UNFINISHED_MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!")];

/// Paths of one machine, which mean nothing on another.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Where packages come from is the affair of each machine's settings (and of the lock files of cargo).
const REGISTRY_HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi", ".org"),
    concat!("proxy.", "golang.org"),
    concat!("deb.", "debian.org"),
];

/// Reading the clock: elsewhere the time is passed in, so that a simulation can set it.
const CLOCK_READS: &[&str] = &["Instant::now", "SystemTime::now"];
const CLOCK_READERS: &[&str] =
    &["src/engine/clock.rs", "src/server/", "src/client/", "loadgen/", "tests/", "benches/", "xtask/"];

/// A rule broken: where and how.
#[derive(Debug, PartialEq)]
struct Violation {
    path: String,
    line: usize,
    problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.problem)
    }
}

/// Checks the project in `root` and prints what breaks a rule.
pub(crate) fn check_tree(root: &Path) -> Result<(), String> {
    let paths = tracked_files(root)?;
    let mut violations = Vec::new();
    for path in &paths {
        let file = root.join(path);
        // A symbolic link is checked where it points to; a file that was deleted but not yet committed is gone.
        if !file.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&file).map_err(|error| format!("{path}: {error}"))?;
        check_name(path, &mut violations);
        if let Ok(text) = String::from_utf8(bytes) {
            check_text(path, &text, &mut violations);
        }
    }
    for violation in &violations {
        println!("    {violation}");
    }
    match violations.len() {
        0 if paths.is_empty() => Err("git tracks no file here".to_owned()),
        0 => Ok(()),
        count => Err(format!("{count} places break the style in {} files looked at", paths.len())),
    }
}

fn tracked_files(root: &Path) -> Result<Vec<String>, String> {
    let mut git = Command::new("git");
    // A checkout may belong to another user than the one who runs the tests.
    git.current_dir(root).args(["-c", "safe.directory=*"]);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let output = git.output().map_err(|error| format!("cannot start git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn check_name(path: &str, violations: &mut Vec<Violation>) {
    for part in path.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if EMPTY_NAMES.contains(&stem) {
            let problem = format!("\"{stem}\" says nothing about what is inside: name the concept");
            violations.push(Violation { path: path.to_owned(), line: 1, problem });
        }
    }
}

fn check_text(path: &str, text: &str, violations: &mut Vec<Violation>) {
    let file_name = path.rsplit('/').next().unwrap_or(path);
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut report = |line: usize, problem: String| {
        violations.push(Violation { path: path.to_owned(), line, problem });
    };

    if file_name != "Cargo.lock" {
        for (index, line) in text.lines().enumerate() {
            if let Some(problem) = text_problem(line) {
                report(index + 1, problem);
            }
            let width = line.chars().count();
            if WIDTH_EXTENSIONS.contains(&extension) && width > LINE_CHARS_MAX && !path.starts_with(RECORDS) {
                report(index + 1, format!("{width} characters; {LINE_CHARS_MAX} is the limit"));
            }
        }
    }
    if extension == "rs" && !is_test_file(path) {
        let (mut lines, mut last) = (0, 1);
        for (number, line) in without_tests(text) {
            (lines, last) = (lines + 1, number);
            if let Some(problem) = clock_problem(path, line) {
                report(number, problem);
            }
        }
        if lines > FILE_LINES_MAX {
            report(last, format!("{lines} lines without the tests; {FILE_LINES_MAX} is the limit: split by concept"));
        }
    }
}

/// What is wrong with this line in any kind of file.
fn text_problem(line: &str) -> Option<String> {
    let found = |marks: &[&'static str], starts: fn(char) -> bool| {
        marks.iter().copied().find(|mark| {
            line.match_indices(mark).any(|(at, _)| line[..at].chars().next_back().is_none_or(|before| !starts(before)))
        })
    };
    let continues_word = |before: char| before.is_alphanumeric() || before == '_';
    if let Some(mark) = found(UNFINISHED_MARKS, continues_word) {
        return Some(format!("\"{mark}\": finish it, or open an issue"));
    }
    // Inside a longer path or an address such a word is only a folder's name.
    if let Some(path) = found(MACHINE_PATHS, |before| before.is_alphanumeric() || "_-.}/*".contains(before)) {
        return Some(format!("\"{path}…\" is a path of one machine"));
    }
    REGISTRY_HOSTS
        .iter()
        .find(|host| line.contains(**host))
        .map(|host| format!("\"{host}\" is a registry's host: where packages come from is set on each machine"))
}

fn clock_problem(path: &str, line: &str) -> Option<String> {
    if line.trim_start().starts_with("//") || CLOCK_READERS.iter().any(|allowed| path.starts_with(allowed)) {
        return None;
    }
    let read = CLOCK_READS.iter().find(|read| line.contains(**read))?;
    Some(format!("{read} outside of {}: take the time as an argument", CLOCK_READERS.join(" ")))
}

/// Whether the whole file is tests: integration tests, benches, fuzz targets, and `tests.rs` beside its module.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "fuzz"))
}

/// The numbered lines of a file without its `#[cfg(test)]` modules. It relies on rustfmt: such a module begins in the
/// first column, and the next `}` in the first column ends it.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let begins_tests = line == "#[cfg(test)]"
            && lines.peek().is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
        if begins_tests {
            lines.by_ref().find(|(_, line)| *line == "}");
        } else {
            kept.push((number, line));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems found in a file of this name and content, each with its line.
    fn problems(path: &str, text: &str) -> Vec<(usize, String)> {
        let mut violations = Vec::new();
        check_name(path, &mut violations);
        check_text(path, text, &mut violations);
        violations.into_iter().map(|violation| (violation.line, violation.problem)).collect()
    }

    #[track_caller]
    fn assert_fires(path: &str, text: &str, line: usize, words: &str) {
        let found = problems(path, text);
        let fits = found.len() == 1 && found[0].0 == line && found[0].1.contains(words);
        assert!(fits, "expected line {line} to be blamed with {words:?}, found {found:?}");
    }

    #[track_caller]
    fn assert_quiet(path: &str, text: &str) {
        assert_eq!(problems(path, text), []);
    }

    #[test]
    fn this_project_is_tidy() {
        check_tree(crate::root()).expect("the places are printed above");
    }

    #[test]
    fn long_files_fire() {
        let line = "fn f() {}\n";
        assert_quiet("src/a.rs", &line.repeat(FILE_LINES_MAX));
        assert_fires("src/a.rs", &line.repeat(FILE_LINES_MAX + 1), FILE_LINES_MAX + 1, "split by concept");
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn f() {}\n".repeat(600));
        assert_quiet("src/a.rs", &format!("{line}{tests}"));
        // Code after the tests counts again.
        let hidden = format!("{tests}{}", line.repeat(FILE_LINES_MAX + 1));
        assert_fires("src/a.rs", &hidden, hidden.lines().count(), "split by concept");
        for whole_test in ["tests/rooms.rs", "src/engine/tests.rs", "benches/fanout.rs"] {
            assert_quiet(whole_test, &line.repeat(FILE_LINES_MAX + 1));
        }
    }

    #[test]
    fn empty_names_fire() {
        for path in ["src/utils.rs", "src/common/mod.rs", "tests/helpers/mod.rs", "configs/misc.toml"] {
            assert_fires(path, "", 1, "says nothing");
        }
        assert_quiet("src/commonality.rs", "");
    }

    #[test]
    fn unfinished_work_fires() {
        for mark in UNFINISHED_MARKS {
            assert_fires("src/a.rs", &format!("fn f() {{}}\n// {mark}: later\n"), 2, "finish it");
            assert_fires("README.md", &format!("{mark}\n"), 1, "finish it");
            assert_quiet("README.md", &format!("x{mark}\n"));
        }
    }

    #[test]
    fn paths_of_one_machine_fire() {
        for path in MACHINE_PATHS {
            assert_fires("configs/a.toml", &format!("log = \"{path}log\"\n"), 1, "one machine");
            assert_fires("README.md", &format!("{path}main\n"), 1, "one machine");
            assert_quiet("README.md", &format!("https://example.com{path}log target{path}\n"));
        }
    }

    #[test]
    fn registry_hosts_fire() {
        for host in REGISTRY_HOSTS {
            let line = format!("source = \"https://{host}/a\"\n");
            assert_fires("tests/browser/package-lock.json", &line, 1, "registry");
            assert_quiet("Cargo.lock", &line);
        }
    }

    #[test]
    fn clock_reads_fire() {
        for read in CLOCK_READS {
            let line = format!("    let now = {read}();\n");
            assert_fires("src/engine/shard.rs", &line, 1, "take the time");
            assert_fires("src/broker/redis.rs", &format!("use std::time;\n{line}"), 2, "take the time");
            for allowed in ["src/engine/clock.rs", "src/server/log.rs", "tests/rooms.rs", "xtask/src/main.rs"] {
                assert_quiet(allowed, &line);
            }
            assert_quiet("src/engine/shard.rs", &format!("// {read} is not read here.\n"));
            assert_quiet("src/engine/shard.rs", &format!("#[cfg(test)]\nmod tests {{\n{line}}}\n"));
        }
    }

    #[test]
    fn wide_lines_fire() {
        let fits = "é".repeat(LINE_CHARS_MAX);
        assert_quiet("src/a.rs", &fits);
        assert_fires("src/a.rs", &format!("{fits}x"), 1, "is the limit");
        assert_quiet("README.md", &format!("{fits}x"));
        assert_quiet("results/a/aa.toml", &format!("{fits}x"));
    }
}
