//! Health and metrics, as a load balancer and Prometheus see them.
#![cfg(feature = "server")]

mod support;

use support::{Event, Server};

#[test]
fn health_says_what_works() {
    let server = Server::start(&["--shards", "4"]);
    for (path, body) in [("/health/live", "live\n"), ("/health/ready", "ready\n")] {
        let answer = server.request("GET", path, &[], b"");
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let answer = server.request("HEAD", path, &[], b"");
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    }
}

#[test]
fn metrics_are_strict_prometheus_text_with_everything_promised() {
    let server = Server::start(&["--shards", "3"]);
    let answer = server.request("GET", "/metrics", &[], b"");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = server.metrics();
    for (name, kind) in [
        ("build_info", "gauge"),
        ("connections", "gauge"),
        ("rooms", "gauge"),
        ("publications_total", "counter"),
        ("deliveries_total", "counter"),
        ("bytes_sent_total", "counter"),
        ("bytes_received_total", "counter"),
        ("dropped_total", "counter"),
        ("disconnects_total", "counter"),
        ("refused_total", "counter"),
        ("lag_bytes_max", "gauge"),
        ("inbox_depth", "gauge"),
        ("fan_out_seconds", "histogram"),
        ("publish_to_last_send_seconds", "histogram"),
        ("kernel_tcp_memory_bytes", "gauge"),
    ] {
        let declared = metrics.kinds.get(&format!("shardcast_{name}")).map(String::as_str);
        assert_eq!(declared, Some(kind), "{name}");
    }
    let shards = ["0", "1", "2"].map(str::to_owned).into();
    for name in ["publications_total", "inbox_depth", "fan_out_seconds_count", "publish_to_last_send_seconds_bucket"] {
        assert_eq!(metrics.label_values(name, "shard"), shards, "{name}");
    }
    for (name, reasons) in [
        ("dropped_total", &["latest", "pong", "replies", "skip", "slow"][..]),
        (
            "disconnects_total",
            &[
                "client",
                "drain",
                "drain_cut",
                "listen_only",
                "lost",
                "not_recoverable",
                "poller",
                "protocol",
                "server",
                "silent",
                "slow",
                "too_long",
                "unfinished",
            ],
        ),
        ("refused_total", &["address", "connections", "handshake", "origin", "out_of_files", "rooms", "timeout"]),
    ] {
        assert_eq!(metrics.label_values(name, "reason").into_iter().collect::<Vec<_>>(), reasons, "{name}");
    }
    assert_eq!(metrics.sum("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1);
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start(&["--shards", "3"]);
    let mut members: Vec<_> = (0..6).map(|_| server.join("room")).collect();
    for number in 0..100 {
        members[number % 6].text("hello");
        assert_eq!(server.publish("room", "outside").status, 200);
    }
    for member in &mut members {
        member.texts(200);
    }
    server.joining("").refused();
    let metrics = server.until("all deliveries", |metrics| metrics.get("deliveries_total") == 1_200);
    for (name, expected) in [
        ("connections_opened_total", 6),
        ("shard_connections", 6),
        ("connections", 7),
        ("rooms", 1),
        ("shard_homes", 1),
        ("shard_rooms", 3),
        ("shard_up", 3),
        ("publications_total", 200),
        ("messages_received_total", 100),
        ("bytes_received_total", 100 * (2 + 4 + 5)),
        ("bytes_sent_total", 600 * (2 + 5) + 600 * (2 + 7)),
        ("blocked_members", 0),
        ("lag_bytes_max", 0),
        ("dropped_total", 0),
        ("disconnects_total", 0),
        ("publish_to_last_send_seconds_count", 600),
    ] {
        assert_eq!(metrics.get(name), expected, "{name}");
    }
    assert_eq!(metrics.sum("refused_total", &[("reason", "handshake")]), 1);
    // A protocol error ends one connection, and is counted as what it is.
    members[0].raw(&[0x81, 0x01, b'x']);
    assert!(matches!(members[0].next(), Event::Close(Some(1002), _)));
    // So is a message that is too long: 65,537 bytes are declared.
    members[1].raw(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert!(matches!(members[1].next(), Event::Close(Some(1009), _)));
    members.remove(2).leave();
    members.remove(2).reset();
    let metrics = server.until("four to go", |metrics| metrics.get("disconnects_total") == 4);
    for reason in ["protocol", "too_long", "client", "lost"] {
        assert_eq!(metrics.disconnects(reason), 1, "{reason}");
    }
}
