//! What a browser makes of the page: the scripts are run by Chromium, if there is one.

use std::process::{Command, Stdio};

use super::report;
use crate::output::fixture::{Fabricated, text_of};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The page's body after its scripts have run; none without a browser.
fn drawn(html: &str) -> Option<String> {
    let answers = |name: &&&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    let browser = NAMES.iter().find(answers)?;
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, html).unwrap();
    let output = Command::new(browser)
        // Without its sandbox it runs in containers too; it only gets to see this page.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,2400", "--virtual-time-budget=2000"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    let (_, body) = dom.split_once("<main id=\"page\">").unwrap();
    Some(body.split_once("</main>").unwrap().0.to_owned())
}

#[test]
fn everything_is_drawn() {
    const EVIL: &str = "<img src=x onerror=alert(1)></script><script>alert(2)</script>";
    let base = Fabricated::default();
    let mut odd = Fabricated { lost_every: Some(60), pause_s: Some(9.2), name: EVIL.to_owned(), ..base.clone() }.run();
    odd.server = None;
    odd.phases[1].rate_per_second = None;
    let mut empty = base.run();
    (empty.total, empty.phases) = (crate::outcome::Figures::default(), Vec::new());
    empty.seconds.clear();
    let runs = [("good".to_owned(), base.run()), (EVIL.to_owned(), odd), ("empty".to_owned(), empty)];

    for (number, figures) in [(3, 11), (1, 9)] {
        let Some(body) = drawn(&text_of(|out| report(&runs[..number], out))) else {
            println!("skipped: none of {NAMES:?} is here");
            return;
        };
        assert_eq!(body.matches("<figure>").count(), figures, "charts of {number} runs");
        assert!(body.matches("class=\"line\"").count() > figures, "lines of {number} runs");
        for (text, times) in [("class=\"run\"", number), ("<table>", 5), ("<details", number)] {
            assert!(body.matches(text).count() >= times, "{text} of {number} runs");
        }
        for wrong in ["NaN", "undefined", "Infinity", "<img", "<script", "[object"] {
            assert!(!body.contains(wrong), "{wrong} in the page of {number} runs");
        }
    }
}
