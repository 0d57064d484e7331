use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::*;

/// Part of a page of shardcast with two shards.
const SHARDCAST: &str = include_str!("samples/shardcast.txt");
/// Part of a page of another server, with what the format allows.
const OTHER: &str = include_str!("samples/other.txt");

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn series_of_the_format() {
    let page = Page::parse(OTHER).unwrap();
    let labels = |index: usize| page.series()[index].labels.clone();
    assert_eq!(page.cpu_seconds(), Some(12.5));
    assert_eq!(page.resident_bytes(), Some(24_576_000.0));
    assert_eq!(labels(2)["path"], "C:\\DIR\n\"quoted\", with } and =");
    assert!((page.series()[3].value - 1_027.0).abs() < f64::EPSILON, "the time is no value");
    assert!(page.value("something_strange").unwrap().is_infinite());
    assert!(page.value("not_there").is_none());
    assert!(page.value("nothing_yet").unwrap().is_nan());
}

#[test]
fn no_page() {
    for (text, line) in [
        ("<!doctype html>", 1),
        ("a 1\nb", 2),
        ("a 1\n\nb{c=\"d} 5\n", 3),
        ("a{b=\"c\" d=\"e\"} 5", 1),
        ("a{b!=\"c\"} 5", 1),
        ("9a 5", 1),
        ("a five", 1),
    ] {
        assert_eq!(Page::parse(text).unwrap_err().line, line, "{text}");
    }
}

#[test]
fn counters_add_up_shards() {
    let page = Page::parse(SHARDCAST).unwrap();
    let wanted: BTreeMap<String, f64> = [
        ("shardcast_deliveries_total", 300.0),
        ("shardcast_dropped_total{reason=\"pong\"}", 5.0),
        ("shardcast_dropped_total{reason=\"skip\"}", 30.0),
        ("shardcast_dropped_total{reason=\"slow\"}", 7.0),
        ("shardcast_fan_out_seconds_count", 9.0),
        ("shardcast_fan_out_seconds_sum", 0.75),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert_eq!(page.counters(), wanted);
    assert_eq!(page.kernel_tcp_bytes(), Some(765_952.0));
}

#[test]
fn drops_are_announced_per_delivery() {
    let before = Page::parse(SHARDCAST).unwrap();
    let more = SHARDCAST
        .replace("shard=\"1\",reason=\"skip\"} 20", "shard=\"1\",reason=\"skip\"} 26")
        .replace("reason=\"pong\"} 5", "reason=\"pong\"} 500")
        .replace("deliveries_total{shard=\"0\"} 100", "deliveries_total{shard=\"0\"} 150");
    let after = Page::parse(&more).unwrap();
    assert_eq!(after.announced_drops_since(&before, &announced_drops()), Some(6));
    assert_eq!(after.announced_drops_since(&before, &selectors(&["no_such_total"])), None);
    let both = selectors(&["shardcast_dropped_total{reason=\"pong\"}", "shardcast_dropped_total{reason=\"skip\"}"]);
    assert_eq!(after.announced_drops_since(&before, &both), Some(501));

    let rises = after.rises_since(&before);
    assert_eq!(rises.len(), 3, "{rises:?}");
    assert!((rises["shardcast_deliveries_total"] - 50.0).abs() < 1e-9);
    assert!(!after.restarted_since(&before));

    let restarted =
        Page::parse("# TYPE shardcast_dropped_total counter\nshardcast_dropped_total{reason=\"skip\"} 2").unwrap();
    assert!(restarted.restarted_since(&before));
    assert_eq!(restarted.announced_drops_since(&before, &announced_drops()), Some(2));
}

#[test]
fn selectors_that_are_none() {
    for text in ["", "a b", "a{", "a{b}", "a{b=c}", "a{b=~\"c\"}", "{b=\"c\"}", "a{b=\"c\"}x"] {
        assert_eq!(text.parse::<Selector>().unwrap_err().text, text);
    }
}

/// Answers one request with `answer` and closes.
fn serve(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics?x=1", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 1_024];
        while !request.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..length]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, serving)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn pages_by_length_chunks_and_close() {
    let table: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 5\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n3\r\n 5\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\na 5\n",
        b"HTTP/1.0 200 OK\r\n\r\na 5",
    ];
    for answer in table {
        let (url, serving) = serve(answer);
        let page = fetch(&url, PATIENCE).unwrap();
        assert_eq!(page.value("a"), Some(5.0), "{}", String::from_utf8_lossy(answer));
        assert!(serving.join().unwrap().starts_with("GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
    }
}

#[test]
fn what_is_no_page_says_why() {
    let table: [(&[u8], &str); 6] = [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "\"HTTP/1.1 404 Not Found\", 200 was expected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 5\n", "ended early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\na 5\n", "ended early"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "line 1 is no Prometheus text"),
        (b"SSH-2.0-x\r\n", "no HTTP"),
        (b"", "no HTTP"),
    ];
    for (answer, wanted) in table {
        let (url, serving) = serve(answer);
        let message = fetch(&url, PATIENCE).unwrap_err().to_string();
        serving.join().unwrap();
        assert!(message.contains(wanted) && message.contains(&url), "{message}");
    }
    for (url, wanted) in [
        ("https://127.0.0.1/metrics", "https is not supported"),
        ("127.0.0.1:1/metrics", "is no address"),
        ("/metrics", "does not begin with http://"),
        ("", "is no address"),
    ] {
        let message = fetch(url, PATIENCE).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(fetch(&format!("http://{closed}/"), PATIENCE).unwrap_err().to_string().contains("refused"));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let error = fetch(&url, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, FetchError::Io { .. }), "{error}");
}
