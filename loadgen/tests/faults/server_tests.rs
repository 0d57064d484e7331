//! The server does what its plan says, and counts it rightly: seen by a client that is not loadgen.

use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, WebSocket, WebSocketError, handshake};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadgen::clock::Nanos;
use tokio::net::TcpStream;

use crate::plan::{DeliveryFault, Did, Door, End, Event, Happening, Kind, Plan};
use crate::server::Server;

type Client = WebSocket<TokioIo<Upgraded>>;

const MESSAGES: u64 = 6;

async fn connect(server: &Server, room: &str) -> Result<Client, WebSocketError> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let request = hyper::Request::get(format!("/ws/{room}"))
        .header("Host", "localhost")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (mut client, _) = handshake::client(&TokioExecutor::new(), request, stream).await?;
    client.set_auto_close(false);
    Ok(client)
}

async fn say(client: &mut Client, text: &str) {
    client.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await.unwrap();
}

async fn hear(client: &mut Client) -> String {
    match client.read_frame().await {
        Ok(frame) if frame.opcode == OpCode::Close => {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            format!("close {code} {}", String::from_utf8_lossy(&frame.payload[2..]))
        }
        Ok(frame) => String::from_utf8(frame.payload.to_vec()).unwrap(),
        Err(WebSocketError::IoError(error)) => format!("{:?}", error.kind()),
        Err(error) => error.to_string(),
    }
}

fn fault(kind: Kind) -> Plan {
    Plan { deliveries: vec![DeliveryFault { kind, every: 2, messages: 1..5 }], ..Plan::default() }
}

/// One publisher says six words, then one in the other room; what the two subscribers heard until then.
async fn heard(server: &Server) -> (Vec<String>, Vec<String>) {
    let mut subscriber = connect(server, "a").await.unwrap();
    let mut other = connect(server, "b").await.unwrap();
    let mut publisher = connect(server, "a").await.unwrap();
    let mut last = connect(server, "b").await.unwrap();
    for number in 0..MESSAGES {
        say(&mut publisher, &format!("{number} padding")).await;
    }
    for number in 0..MESSAGES {
        assert_eq!(hear(&mut publisher).await, format!("{number} padding"), "the publisher has no faults");
    }
    say(&mut last, "end").await;
    let words = hear_until(&mut subscriber, "5 padding").await;
    (words.iter().map(|words| words.replace(" padding", "")).collect(), hear_until(&mut other, "end").await)
}

async fn hear_until(client: &mut Client, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let words = hear(client).await;
        let is_last = words == last || words.starts_with("Conn") || words.starts_with("close");
        heard.push(words);
        if is_last {
            return heard;
        }
    }
}

#[tokio::test]
async fn faults_of_deliveries() {
    let always = Did { messages: 7, owed: 7, joined: 4, ..Did::default() };
    let delay = Kind::Delay(Duration::from_millis(1));
    for (plan, subscriber, other, did) in [
        (Plan::default(), "0 1 2 3 4 5", "end", always),
        (fault(Kind::Drop), "0 1 3 5", "end", Did { dropped: 2, ..always }),
        (fault(Kind::Duplicate), "0 1 2 2 3 4 4 5", "end", Did { duplicated: 2, ..always }),
        (fault(Kind::Reorder), "0 1 3 2 4 5", "end", Did { reordered: 1, ..always }),
        (fault(Kind::Corrupt), "0 1 2!padding 3 4!padding 5", "end", Did { corrupted: 2, ..always }),
        (fault(Kind::Misroute), "0 1 2 3 4 5", "2 padding 4 padding end", Did { misrouted: 2, ..always }),
        (fault(delay), "0 1 2 3 4 5", "end", Did { delayed: 2, ..always }),
        (
            fault(Kind::Foreign),
            "0 1 the server itself says this 2 3 the server itself says this 4 5",
            "end",
            Did { foreign: 2, ..always },
        ),
    ] {
        let server = Server::start(plan.clone());
        let (words, words_of_other) = heard(&server).await;
        assert_eq!((words.join(" ").as_str(), words_of_other.join(" ").as_str()), (subscriber, other), "{plan:?}");
        assert_eq!(server.did(), did, "{plan:?}");
    }
}

#[tokio::test]
async fn lost_connections() {
    for (end, said) in [(End::Reset, "ConnectionReset"), (End::Close(3008, "slow"), "close 3008 slow")] {
        let lose = Happening::Lose { subscribers: 1, end };
        let server = Server::start(Plan { events: vec![Event { at: 4, what: lose }], ..Plan::default() });
        let (subscriber, other) = heard(&server).await;
        assert_eq!(subscriber, ["0", "1", "2", said]);
        assert_eq!(other, ["end"]);
        let wanted = Did { messages: 7, owed: 4, joined: 4, ended: 1, missed_by_ended: 3, ..Did::default() };
        assert_eq!(server.did(), wanted);
    }
}

#[tokio::test]
async fn a_pause_holds_everything_and_loses_nothing() {
    let pause = Duration::from_millis(100);
    let events = vec![Event { at: 4, what: Happening::Pause(pause) }];
    let server = Server::start(Plan { events, ..Plan::default() });
    let began = Nanos::now();
    let (subscriber, _) = heard(&server).await;
    assert!(Nanos::now().since(began) >= pause);
    assert_eq!(subscriber, ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn handshakes() {
    let server = Server::start(Plan { door: Door::Refuse(2), ..Plan::default() });
    for _ in 0..2 {
        assert!(matches!(connect(&server, "a").await, Err(WebSocketError::InvalidStatusCode(503))));
    }
    assert!(connect(&server, "a").await.is_ok());
    assert_eq!(server.did(), Did { refused: 2, joined: 1, ..Did::default() });

    let server = Server::start(Plan { door: Door::Ignore(1), ..Plan::default() });
    let unanswered = tokio::time::timeout(Duration::from_millis(50), connect(&server, "a")).await;
    assert!(unanswered.is_err());
    assert!(connect(&server, "a").await.is_ok());
    assert_eq!(server.did(), Did { ignored: 1, joined: 1, ..Did::default() });
}

#[tokio::test]
async fn a_server_that_dies_takes_all_with_it() {
    let server = Server::start(Plan { events: vec![Event { at: 3, what: Happening::Die }], ..Plan::default() });
    let mut client = connect(&server, "a").await.unwrap();
    for word in ["0", "1"] {
        say(&mut client, word).await;
        assert_eq!(hear(&mut client).await, word);
    }
    say(&mut client, "2").await;
    let last = hear(&mut client).await;
    assert!(last.contains("UnexpectedEof") || last.contains("Unexpected EOF") || last.contains("Reset"), "{last}");
    server.received(3).await;
    let address = server.address();
    drop(server);
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}
