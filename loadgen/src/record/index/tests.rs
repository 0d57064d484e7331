use super::super::tests::{context, run};
use super::super::{ExtraFile, record};
use super::row::{median, with_thousands};
use super::*;

fn readme(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("README.md")).unwrap()
}

#[test]
fn rows_are_what_the_folders_hold() {
    let results = tempfile::tempdir().unwrap();
    let runs = [run("smoke", 1_000_000, &[]), run("smoke", 3_000_000, &[]), run("smoke", 800_000_000, &["late"])];
    let verdict = ExtraFile { name: "verdict.json", bytes: br#"{"outcome": "ok"}"# };
    record(results.path(), &runs, &context("aaa"), &[verdict]).unwrap();
    record(results.path(), &[run("burst", 1, &["lost"])], &context("bbb"), &[]).unwrap();
    for (folder, text) in [("by-hand", "intro\n# A | title \n"), ("other", "no heading")] {
        std::fs::create_dir(results.path().join(folder)).unwrap();
        std::fs::write(results.path().join(folder).join("README.md"), text).unwrap();
    }
    // Neither is a result.
    std::fs::create_dir_all(results.path().join("x86_64-2c-0011223344/smoke/.recording-1-2")).unwrap();
    std::fs::create_dir(results.path().join("empty")).unwrap();

    assert_eq!(update(results.path()).unwrap(), Changed::Written);
    let text = readme(results.path());
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let path = "x86_64-2c-0011223344";
    let burst = format!("| burst | [bbb]({path}/burst/bbb) | 2026-11-20 16:00 | 0 of 1 | – | – | – | – | – |  |");
    let smoke = format!("| smoke | [aaa]({path}/smoke/aaa) | 2026-11-20 16:00 | 2 of 3 | 1,234,567 | 2.0");
    assert_eq!(rows[2], burst);
    assert!(rows[3].starts_with(&smoke), "{}", rows[3]);
    assert!(rows[3].ends_with("| 0 | 4.350 | ok |"), "{}", rows[3]);
    assert_eq!(rows[6], "| [by-hand](by-hand/README.md) | A \\| title |");
    assert_eq!(rows[7], "| [other](other/README.md) | README.md |");
    assert_eq!(rows.len(), 8, "{text}");
}

#[test]
fn twice_is_once_and_what_people_wrote_stays() {
    let results = tempfile::tempdir().unwrap();
    std::fs::write(results.path().join("README.md"), "# Ours\n\nOur words.").unwrap();
    assert!(matches!(check(results.path()), Err(IndexError::Outdated { .. })));
    assert_eq!(update(results.path()).unwrap(), Changed::Written);
    let first = readme(results.path());
    assert!(first.starts_with(&format!("# Ours\n\nOur words.\n\n{BEGIN}\n\nNothing is recorded yet.\n")), "{first}");
    assert_eq!(update(results.path()).unwrap(), Changed::No);
    check(results.path()).unwrap();

    std::fs::write(results.path().join("README.md"), format!("{first}\nBelow.\n")).unwrap();
    record(results.path(), &[run("smoke", 1_000, &[])], &context("abc"), &[]).unwrap();
    assert!(matches!(check(results.path()), Err(IndexError::Outdated { .. })));
    assert_eq!(update(results.path()).unwrap(), Changed::Written);
    let second = readme(results.path());
    assert!(second.contains("[abc]") && second.starts_with("# Ours") && second.ends_with("\nBelow.\n"), "{second}");
    assert!(!second.contains("Nothing is recorded"));
    assert_eq!(update(results.path()).unwrap(), Changed::No);
    assert_eq!(readme(results.path()), second);
}

#[test]
fn a_new_readme_explains_itself() {
    let results = tempfile::tempdir().unwrap();
    update(results.path()).unwrap();
    assert!(readme(results.path()).starts_with("# Results\n"));
    check(results.path()).unwrap();
}

#[test]
fn broken_markers_and_records_are_refused() {
    for text in [BEGIN, END, &format!("{END}\n{BEGIN}\n"), &format!("{BEGIN}{BEGIN}{END}")] {
        assert_eq!(insert(text, ""), None, "{text}");
    }
    let results = tempfile::tempdir().unwrap();
    let folder = record(results.path(), &[run("smoke", 1, &[])], &context("abc"), &[]).unwrap();
    std::fs::write(folder.join("run-1.json"), "{").unwrap();
    let message = update(results.path()).unwrap_err().to_string();
    assert!(message.contains("run-1.json: EOF"), "{message}");
    std::fs::write(folder.join("manifest.toml"), "=").unwrap();
    assert!(update(results.path()).unwrap_err().to_string().contains("manifest.toml"));
    assert!(!results.path().join("README.md").exists());
    assert!(matches!(update(&results.path().join("none")), Err(IndexError::Read { .. })));
}

#[test]
fn numbers_for_people() {
    for (value, digits, wanted) in [
        (0.0, 0, "0"),
        (999.4, 0, "999"),
        (999.5, 0, "1,000"),
        (1_234_567.8, 1, "1,234,567.8"),
        (-123.0, 0, "-123"),
        (0.0123, 3, "0.012"),
    ] {
        assert_eq!(with_thousands(value, digits), wanted);
    }
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
}
