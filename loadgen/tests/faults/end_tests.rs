//! Runs that cannot go as asked: what is said, what is kept, the exit code.

use std::net::TcpListener;
use std::path::Path;

use loadgen::outcome::Run;

use crate::plan::{Event, Happening, Plan};
use crate::program::{arguments, ended, run, run_and, run_with_short_files};
use crate::server::Server;

const A_SECOND: &[&str] = &["--subscribers", "10", "--rate", "200", "--phase", "measured:1s"];

#[tokio::test]
async fn a_server_that_dies() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let server = Server::start(Plan { events: vec![Event { at: 100, what: Happening::Die }], ..Plan::default() });
    let ended = run(&server, &[A_SECOND, &["--out", out]].concat()).await;
    let run = ended.run();
    assert_eq!(server.did().owed, 990);
    assert_eq!(run.audit.received, 990, "{:?}", run.audit);
    assert_eq!(run.connections.lost.values().sum::<u64>(), 10, "{:?}", run.connections);
    assert_eq!(ended.exit, 12);
    let problems = run.validity.problems.join("\n");
    assert!(problems.contains("10 members lost their connection although they kept reading"), "{problems}");
    assert!(problems.contains("publishing failed: publisher: "), "{problems}");
    assert!(problems.contains(" ended during the run"), "{problems}");
    let kept: Run = serde_json::from_slice(&std::fs::read(folder.path().join("run.json")).unwrap()).unwrap();
    assert_eq!((kept.total.deliveries, kept.audit), (990, run.audit));
}

/// A port of this machine that nobody listens on.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}/ws/{{room}}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let url = closed_port();
    let ended = ended(&arguments(&url, &["--subscribers", "1000", "--phase", "measured:1s"])).await;
    let words = format!("{}{}", ended.said, ended.run().validity.problems.join("\n"));
    assert_eq!(ended.exit, 12, "{words}");
    assert!(words.contains(url.trim_end_matches("/ws/{room}")), "{words}");
    let run = ended.run();
    assert_eq!(run.connections.failed.get("refused"), Some(&1_000), "{:?}", run.connections);
    assert_eq!((run.connections.established, run.total.published), (0, 0));
}

#[tokio::test]
async fn a_malformed_scenario() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        ("[rooms\ncount = 1", &["scenario.toml", "1"][..]),
        ("[rooms]\ncuont = 1\n[target]\nulr = \"x\"", &["rooms.cuont", "rooms.count", "target.ulr", "target.url"]),
        (
            "[rooms]\ncount = 0\n[payload]\nbytes = 3\n[publishers]\nrate_per_second = -1.0\n[thresholds]\nx = \"< 1\"",
            &["rooms.count", "payload.bytes", "publishers.rate_per_second", "no metric \"x\""],
        ),
    ] {
        let file = folder.path().join("scenario.toml");
        std::fs::write(&file, text).unwrap();
        let ended = ended(&["run".to_owned(), file.to_str().unwrap().to_owned()]).await;
        assert_eq!((ended.exit, ended.printed.as_str()), (2, ""), "{}", ended.said);
        for words in wanted {
            assert!(ended.said.contains(words), "{words}: {}", ended.said);
        }
    }
}

#[tokio::test]
async fn results_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // A file where a folder should be: nobody can write there, root included.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let nowhere = file.join("results");
    // A disk that is full, to who writes this file.
    let full = folder.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::os::unix::fs::symlink("/dev/full", full.join("run.json")).unwrap();
    for (out, reason) in [(&nowhere, "Not a directory"), (&full, "No space left")] {
        let server = Server::start(Plan::default());
        let ended = run(&server, &[A_SECOND, &["--out", out.to_str().unwrap()]].concat()).await;
        assert_eq!(ended.run().audit.received, 2_000);
        assert_eq!(ended.exit, 1, "{}", ended.said);
        assert!(ended.said.contains(reason) && ended.said.contains(out.to_str().unwrap()), "{}", ended.said);
    }
}

/// Files that end in the middle, as on a disk that is full: what does not fit whole is not there at all, what fits is,
/// and all of it has been printed before.
#[tokio::test]
async fn a_disk_that_fills_up() {
    let folder = tempfile::tempdir().unwrap();
    let (out, results) = (folder.path().join("out"), folder.path().join("results"));
    let server = Server::start(Plan::default());
    // A run is some 20 KiB of JSON; a row per second of CSV is less than a kilobyte.
    let record = format!("--record={}", results.display());
    let further = [A_SECOND, &["--out", out.to_str().unwrap(), &record]].concat();
    let ended = run_with_short_files(8, &server, &further).await;
    assert_eq!(ended.run().audit.received, 2_000);
    assert_eq!(ended.exit, 1, "{}", ended.said);
    let first = out.join("run.json");
    assert!(ended.said.contains(first.to_str().unwrap()) && ended.said.contains("File too large"), "{}", ended.said);
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(names(&out).iter().all(|name| !["run.json", "report.html"].contains(&name.as_str())), "{:?}", names(&out));
    let rows = std::fs::read_to_string(out.join("run.csv")).unwrap();
    assert!(rows.starts_with("at_s,") && rows.ends_with('\n'), "{rows}");
    // A record is whole or not there: nothing but folders.
    let class = names(&results).remove(0);
    let of_scenario = results.join(class).join("run");
    assert_eq!(names(&of_scenario), [""; 0]);
}

#[tokio::test]
async fn an_interrupted_run_drains_and_reports() {
    let server = Server::start(Plan::default());
    let minute = &["--subscribers", "10", "--rate", "200", "--phase", "measured:1m"];
    let ended = run_and(&server, minute, async |process| {
        server.received(100).await;
        let process = rustix::process::Pid::from_raw(process).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    })
    .await;
    let (run, did) = (ended.run(), server.did());
    assert_eq!((ended.exit, run.interrupted), (130, true), "{}", ended.said);
    assert!((100..12_000).contains(&did.messages), "{did:?}");
    assert_eq!((run.audit.expected, run.audit.received), (did.owed, did.owed));
    assert_eq!((run.total.published, run.total.lost), (did.messages, 0));
}
