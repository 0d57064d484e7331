//! Readers that do not keep up: what each policy does to them, and that it costs nobody else anything.
#![cfg(feature = "server")]

mod support;

use std::time::Instant;

use support::{Client, Event, HANG, Metrics, Server};

/// Publications between two looks: far less than a window, so that whoever reads keeps up however slow the machine is.
const BATCH: usize = 16;
const BODY_BYTES: usize = 8_000;
/// A little window, and time enough for whoever reads late.
const SMALL_WINDOW: [&str; 6] =
    ["--set", "room.window_bytes_max=512KiB", "--set", "room.window_age_max=1h", "--set", "limits.close_time_max=60s"];

/// A room with one publisher, readers that read, and one that does not.
struct Scene {
    server: Server,
    publisher: Client,
    readers: Vec<Client>,
    stalled: Client,
    published: usize,
}

impl Scene {
    fn start(settings: &[&str], room: &str) -> Self {
        let server = Server::start(&[&SMALL_WINDOW[..], settings].concat());
        let stalled = server.joining(room).receive_buffer(4_096).join();
        let (publisher, readers) = (server.join(room), (0..3).map(|_| server.join(room)).collect());
        Self { server, publisher, readers, stalled, published: 0 }
    }

    /// Publishes some more; everybody who reads gets them.
    fn batch(&mut self) {
        let numbers = self.published..self.published + BATCH;
        self.published = numbers.end;
        for number in numbers.clone() {
            self.publisher.text(&body(number));
        }
        for reader in self.readers.iter_mut().chain([&mut self.publisher]) {
            for number in numbers.clone() {
                assert_eq!(number_of(&reader.text_of()), number, "somebody who reads missed something");
            }
        }
    }

    /// Publishes until the metrics are as expected.
    fn publish_until(&mut self, what: &str, expected: impl Fn(&Metrics) -> bool) {
        let begun = Instant::now();
        while !expected(&self.server.metrics()) {
            assert!(begun.elapsed() < HANG, "{what}: not after {} publications", self.published);
            self.batch();
        }
    }

    /// What the stalled reader gets when it reads at last, up to the newest publication.
    fn read_stalled(&mut self) -> Vec<usize> {
        let mut read = vec![number_of(&self.stalled.text_of())];
        while read[read.len() - 1] + 1 != self.published {
            read.push(number_of(&self.stalled.text_of()));
        }
        read
    }
}

fn body(number: usize) -> String {
    format!("{number} {}", "x".repeat(BODY_BYTES))
}

fn number_of(text: &str) -> usize {
    let (number, rest) = text.split_once(' ').expect("a number in front");
    assert!(rest.len() == BODY_BYTES && rest.bytes().all(|byte| byte == b'x'), "damaged: {rest:.20}");
    number.parse().expect("a number in front")
}

#[test]
fn disconnect_closes_whoever_stalls_and_nobody_else() {
    let mut scene = Scene::start(&[], "room");
    scene.publish_until("the end of the stalled", |metrics| metrics.disconnects("slow") == 1);
    let metrics = scene.server.metrics();
    assert!(metrics.dropped("slow") > 0);
    assert_eq!((metrics.dropped("skip"), metrics.dropped("latest")), (0, 0));
    scene.batch();
    // It gets whole publications, all from the first on, and then why it was closed.
    let mut next = 0;
    loop {
        match scene.stalled.next() {
            Event::Text(text) => assert_eq!(number_of(&text), next),
            Event::Close(code, reason) => {
                assert_eq!(code, Some(3008));
                assert!(reason.starts_with("slow"), "{reason}");
                break;
            }
            other => panic!("{other:?}"),
        }
        next += 1;
    }
    assert_eq!(scene.stalled.next(), Event::End);
    assert!(next > 0 && next < scene.published, "{next} of {}", scene.published);
    assert_eq!(scene.server.publish("room", &body(scene.published)).published().1, 4, "four members are left");
}

#[test]
fn skip_jumps_to_the_newest_and_counts_the_gap() {
    let mut scene = Scene::start(&["--set", "room.lag=skip"], "room");
    scene.publish_until("a gap", |metrics| metrics.dropped("skip") > 0);
    for _ in 0..20 {
        scene.batch();
    }
    let read = scene.read_stalled();
    assert!(read.is_sorted_by(|one, other| one < other), "{read:?}");
    let missed = scene.published - read.len();
    let metrics = scene.server.metrics();
    assert_eq!(metrics.dropped("skip"), missed as u64);
    assert!(missed > 0 && read[0] == 0, "{read:?}");
    assert_eq!(metrics.get("disconnects_total"), 0);
    // From now on it is a member like any other.
    scene.batch();
    for number in scene.published - BATCH..scene.published {
        assert_eq!(number_of(&scene.stalled.text_of()), number);
    }
    assert_eq!(scene.server.metrics().dropped("skip"), missed as u64);
}

#[test]
fn latest_shows_ever_newer_values_and_the_last() {
    let mut scene = Scene::start(&["--set", "room.lag=latest"], "room");
    // A member that takes everything at once gets everything only if nothing is newer: publish one by one.
    for _ in 0..400 {
        scene.publisher.text(&body(scene.published));
        scene.published += 1;
        for reader in scene.readers.iter_mut().chain([&mut scene.publisher]) {
            assert_eq!(number_of(&reader.text_of()) + 1, scene.published);
        }
    }
    let read = scene.read_stalled();
    assert!(read.is_sorted_by(|one, other| one < other), "{read:?}");
    assert_eq!(scene.stalled.before_pong(), []);
    let missed = scene.published - read.len();
    assert!(missed > 200, "a window's worth was kept for it: {read:?}");
    let metrics = scene.server.metrics();
    assert_eq!((metrics.dropped("latest"), metrics.get("disconnects_total")), (missed as u64, 0));
}

#[test]
fn pings_are_answered_in_front_of_what_lags_and_only_the_latest() {
    let server = Server::start(&["--set", "room.window_bytes_max=4MiB", "--set", "room.window_age_max=1h"]);
    let mut stalled = server.joining("room").receive_buffer(4_096).join();
    let (mut http, count) = (server.http(), 400);
    for number in 0..count {
        assert_eq!(http.publish("room", &body(number)).status, 200);
    }
    server.until("a stalled member", |metrics| metrics.get("blocked_members") == 1);
    for number in 0..5 {
        stalled.ping(format!("ping {number}").as_bytes());
    }
    server.until("five pings", |metrics| metrics.get("bytes_received_total") == 5 * (2 + 4 + 6));
    let (mut next, mut pongs) = (0, Vec::new());
    while next < count {
        match stalled.next() {
            Event::Text(text) => {
                assert_eq!(number_of(&text), next);
                next += 1;
            }
            Event::Pong(payload) => pongs.push((next, payload)),
            other => panic!("{other:?}"),
        }
    }
    // What the kernel had taken before is in front of it; of the window nothing is.
    assert_eq!(pongs.len(), 1, "{pongs:?}");
    let (in_front, payload) = &pongs[0];
    assert_eq!(payload, b"ping 4");
    assert!(*in_front < count / 2, "{in_front} publications in front of the answer");
    assert_eq!(server.metrics().dropped("pong"), 4);
}

#[test]
fn gathering_delivers_everything_with_few_sends_and_the_first_at_once() {
    let server = Server::start(&["--set", "room.coalesce=1s", "--shards", "1"]);
    let begun = Instant::now();
    let mut rooms: Vec<Client> = (0..HANG.as_secs()).map(|room| server.join(&format!("room-{room}"))).collect();
    for client in &mut rooms {
        client.text("the first");
        assert_eq!(client.text_of(), "the first");
    }
    // Were each gathered for a second, they would take a second each.
    assert!(begun.elapsed() < HANG, "the first of a room waits to be gathered");
    let client = &mut rooms[0];
    let burst: Vec<u8> = (0..500).flat_map(|number| support::frame(0x81, format!("{number}").as_bytes())).collect();
    client.raw(&burst);
    for number in 0..500 {
        assert_eq!(client.text_of(), number.to_string());
    }
    let metrics = server.metrics();
    let (sends, deliveries) = (metrics.get("sends_total"), metrics.get("deliveries_total"));
    assert_eq!(deliveries, HANG.as_secs() + 500);
    assert!(sends < HANG.as_secs() + 50, "{sends} sends");

    let server = Server::start(&["--set", "room.coalesce=2ms", "--shards", "3"]);
    let mut members: Vec<Client> = (0..6).map(|_| server.join("room")).collect();
    let mut http = server.http();
    for number in 0..300 {
        if number % 2 == 0 {
            members[0].text(&number.to_string());
        } else {
            assert_eq!(http.publish("room", &number.to_string()).status, 200);
        }
    }
    for member in &mut members {
        let (even, odd): (Vec<String>, Vec<String>) =
            member.texts(300).into_iter().partition(|text| text.parse::<u32>().is_ok_and(|number| number % 2 == 0));
        assert_eq!(even, (0..300).step_by(2).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(odd, (1..300).step_by(2).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(member.before_pong(), []);
    }
}

#[test]
fn rooms_have_the_settings_of_the_first_pattern_that_matches() {
    let path = format!("{}/lag-rooms-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let text = "[room]\nlag = \"disconnect\"\n\
        [[rooms]]\npattern = \"prices.silent.*\"\npublish = \"refused\"\n\
        [[rooms]]\npattern = \"prices.*\"\nlag = \"latest\"\necho = \"off\"\n\
        [[rooms]]\npattern = \"*.log\"\nlag = \"skip\"\n";
    std::fs::write(&path, text).expect("the folder for tests can be written to");
    let settings = ["--config", &path];

    let mut scene = Scene::start(&settings, "server.log");
    scene.publish_until("a gap", |metrics| metrics.dropped("skip") > 0);
    scene.publish_until("another gap", |metrics| metrics.dropped("skip") > 100);
    assert_eq!(scene.server.metrics().get("disconnects_total"), 0);
    scene.read_stalled();

    let server = &scene.server;
    let (mut trader, mut other) = (server.join("prices.btc"), server.join("prices.btc"));
    trader.text("1");
    assert_eq!(other.text_of(), "1");
    assert_eq!(trader.before_pong(), []);
    let mut silent = server.join("prices.silent.btc");
    silent.text("1");
    assert!(matches!(silent.next(), Event::Close(Some(1008), _)));
    let mut plain = server.join("price.btc");
    plain.text("1");
    assert_eq!(plain.text_of(), "1");

    let mut scene = Scene::start(&settings, "anything");
    scene.publish_until("the end of the stalled", |metrics| metrics.disconnects("slow") == 1);
    std::fs::remove_file(&path).expect("it is ours");
}
