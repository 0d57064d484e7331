//! Who is silent is asked, who does not answer is gone; who publishes too fast is read later.
#![cfg(feature = "server")]

mod support;

use std::time::{Duration, Instant};

use support::{Event, Server};

#[test]
fn whoever_answers_stays_and_whoever_does_not_is_gone() {
    let server = Server::start(&["--set", "heartbeat.ping_interval=1s", "--set", "heartbeat.silence_max=3s"]);
    let (mut silent, mut alive) = (server.join("room"), server.join("room"));
    let pings = std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let mut pings = 0;
            loop {
                match alive.next() {
                    Event::Ping(payload) => {
                        alive.pong(&payload);
                        pings += 1;
                    }
                    Event::Text(text) if text == "enough" => return pings,
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(silent.next(), Event::Ping(Vec::new()));
        // Not a word, not even a close frame: nobody would read it.
        assert!(matches!(silent.next(), Event::End | Event::Reset));
        let metrics = server.until("one gone", |metrics| metrics.get("disconnects_total") == 1);
        assert_eq!(metrics.disconnects("silent"), 1);
        assert_eq!(server.publish("room", "enough").published(), (1, 1));
        answering.join().expect("it answers")
    });
    assert!(pings >= 2, "{pings} pings in the time in which somebody is silent for too long");
}

#[test]
fn a_fast_publisher_is_slowed_and_nothing_is_lost() {
    let server = Server::start(&["--set", "limits.publish_per_second_max=200"]);
    let (fast, mut reader, mut slow) = (server.join("room"), server.join("room"), server.join("other"));
    let burst: Vec<u8> = (0..600).flat_map(|number| support::frame(0x81, format!("{number}").as_bytes())).collect();
    let begun = Instant::now();
    fast.raw(&burst);
    // Others have a rate of their own.
    for _ in 0..100 {
        slow.text("mine");
        assert_eq!(slow.text_of(), "mine");
    }
    for number in 0..600 {
        assert_eq!(reader.text_of(), number.to_string());
    }
    // 200 at once, 400 at 200 a second. A load makes it slower, never faster.
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_millis(1_990), "600 publications in {elapsed:?}");
    assert_eq!(server.metrics().get("publications_total"), 700);
}
