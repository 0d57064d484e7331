//! Adapter `nats` against nats-server.

use std::sync::Arc;

use loadgen::adapter::{Dialect, Kind, Outgoing, Role};
use loadgen::scenario::{AdapterKind, Format, Target};

use crate::connection::{Connection, Seen};
use crate::nats_server::NatsServer;

fn dialect(server: &NatsServer) -> Arc<Dialect> {
    let target = Target { url: format!("ws://{}/", server.address), adapter: AdapterKind::Nats, ..Target::default() };
    Arc::new(Dialect::new(&target).unwrap())
}

fn published(payloads: &[&[u8]]) -> Vec<Seen> {
    payloads.iter().map(|payload| Seen::Publication(payload.to_vec())).collect()
}

#[tokio::test]
async fn what_one_publishes_the_others_get() {
    let Some(server) = NatsServer::start("") else { return };
    let dialect = dialect(&server);
    let mut subscribers = Vec::new();
    for room in ["load-0", "load-0", "load-1"] {
        let mut subscriber = Connection::open(&dialect, server.connect().await, room, Role::Subscriber).await;
        assert!(!subscriber.is_joined());
        assert_eq!(subscriber.see(1).await, [Seen::Joined]);
        assert!(subscriber.is_joined());
        subscribers.push(subscriber);
    }
    let mut publisher = Connection::open(&dialect, server.connect().await, "load-0", Role::Publisher).await;
    assert_eq!(publisher.see(1).await, [Seen::Joined]);

    // Longer than the server's frames, so that it comes in pieces.
    let long: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let payloads: [&[u8]; 4] = [b"hello", b"", b"\r\nMSG load-0 1 3\r\nabc\r\n", &long];
    for payload in payloads {
        publisher.publish(Format::Binary, payload).await;
    }
    for subscriber in &mut subscribers[..2] {
        assert!(subscriber.see(4).await == published(&payloads), "not what was published");
    }
    let mut other = Connection::open(&dialect, server.connect().await, "load-1", Role::Publisher).await;
    other.publish(Format::Text, b"elsewhere").await;
    assert_eq!(subscribers[2].see(1).await, published(&[b"elsewhere"]), "rooms are apart");
}

#[tokio::test]
async fn headers_are_no_part_of_the_payload() {
    let Some(server) = NatsServer::start("") else { return };
    let dialect = dialect(&server);
    let mut subscriber = Connection::open(&dialect, server.connect().await, "load-0", Role::Subscriber).await;
    assert_eq!(subscriber.see(1).await, [Seen::Joined]);
    let mut publisher = Connection::open(&dialect, server.connect().await, "load-0", Role::Publisher).await;
    let bytes = b"HPUB load-0 18 23\r\nNATS/1.0\r\nA: b\r\n\r\nhello\r\n".to_vec();
    publisher.send(Outgoing { kind: Kind::Binary, bytes }).await;
    assert_eq!(subscriber.see(1).await, published(&[b"hello"]));
}

#[tokio::test]
async fn pings_are_answered() {
    let Some(server) = NatsServer::start("ping_interval: \"300ms\"\nping_max: 1") else { return };
    let dialect = dialect(&server);
    let mut subscriber = Connection::open(&dialect, server.connect().await, "load-0", Role::Subscriber).await;
    assert_eq!(subscriber.see(1).await, [Seen::Joined]);
    let pong = || Seen::Answered(b"PONG\r\n".to_vec());
    // An unanswered one would end the connection before the third.
    assert_eq!(subscriber.see(4).await, [pong(), pong(), pong(), pong()]);
}

#[tokio::test]
async fn a_refusal_has_the_servers_words() {
    let Some(server) = NatsServer::start("authorization { token: \"secret\" }") else { return };
    let dialect = dialect(&server);
    let mut refused = Connection::open(&dialect, server.connect().await, "load-0", Role::Subscriber).await;
    assert_eq!(refused.see(1).await, [Seen::Refused("Authorization Violation".to_owned())]);
    assert!(!refused.is_joined());
}

#[tokio::test]
async fn a_publication_that_is_too_long_is_refused() {
    let Some(server) = NatsServer::start("max_payload: 1000") else { return };
    let dialect = dialect(&server);
    let mut publisher = Connection::open(&dialect, server.connect().await, "load-0", Role::Publisher).await;
    assert_eq!(publisher.see(1).await, [Seen::Joined]);
    publisher.publish(Format::Binary, &[0; 1001]).await;
    assert_eq!(publisher.see(1).await, [Seen::Refused("Maximum Payload Violation".to_owned())]);
}
