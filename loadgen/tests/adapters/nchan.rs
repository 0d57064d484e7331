//! Adapters `sse` and `raw`, and publishing over HTTP, against nginx with nchan.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use loadgen::adapter::{Dialect, Event, HttpPublish, Kind, Position, Role, Session, Transport};
use loadgen::scenario::{AdapterKind, Format, PublishVia, Target};

use crate::connection::{Connection, Seen, within};
use crate::nchan_server::NchanServer;

fn dialect(adapter: AdapterKind) -> Arc<Dialect> {
    let scheme = if adapter == AdapterKind::Sse { "http" } else { "ws" };
    let target = Target {
        url: format!("{scheme}://localhost/sub/{{room}}"),
        adapter,
        publish: PublishVia::Http,
        publish_url: Some("http://localhost/pub/{room}".to_owned()),
        ..Target::default()
    };
    Arc::new(Dialect::new(&target).unwrap())
}

/// One request over a connection of its own; the answer's body is still to come.
async fn answer(
    server: &NchanServer,
    method: &str,
    (url, headers): (&str, &[(String, String)]),
    body: Vec<u8>,
) -> hyper::Response<Incoming> {
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(url).header("Host", "localhost");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    within("an answer", sender.send_request(request)).await.unwrap()
}

async fn publish(server: &NchanServer, publish: &HttpPublish, payload: &[u8]) {
    let mut body = Vec::new();
    publish.body(payload, &mut body);
    let url = publish.url(&body).into_owned();
    let answer = answer(server, HttpPublish::METHOD, (&url, publish.headers()), body).await;
    let status = answer.status().as_u16();
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(publish.refusal(status, &said), None);
}

/// An open event stream.
struct Stream {
    session: Session,
    body: Incoming,
}

impl Stream {
    async fn open(server: &NchanServer, dialect: &Arc<Dialect>, room: &str, position: Option<Position>) -> Self {
        assert_eq!(dialect.transport(), Transport::EventStream);
        let session = Session::new(dialect, room, Role::Returning, position);
        let request = session.request();
        let answer = answer(server, "GET", (&request.url, &request.headers), Vec::new()).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert!(session.is_joined());
        Self { session, body: answer.into_body() }
    }

    async fn see(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let frame = within("a part of the body", self.body.frame()).await.unwrap().unwrap();
            let Ok(data) = frame.into_data() else { continue };
            self.session
                .receive(Kind::Text, &data, &mut |event| match event {
                    Event::Publication(payload) => seen.push(String::from_utf8(payload.to_vec()).unwrap()),
                    other => panic!("{other:?}"),
                })
                .unwrap();
        }
        seen
    }
}

#[tokio::test]
async fn an_event_stream_goes_on_where_it_was() {
    let Some(server) = NchanServer::start() else { return };
    let dialect = dialect(AdapterKind::Sse);
    let publisher = dialect.http_publish("load 0", Format::Text).unwrap();
    let elsewhere = dialect.http_publish("load-1", Format::Text).unwrap();
    let long = "x".repeat(300_000);

    let mut stream = Stream::open(&server, &dialect, "load 0", None).await;
    publish(&server, &elsewhere, b"not for this room").await;
    for payload in ["one", "two\nlines", &long] {
        publish(&server, &publisher, payload.as_bytes()).await;
    }
    assert!(stream.see(3).await == ["one", "two\nlines", &long], "not what was published");
    let position = stream.session.position();
    assert!(matches!(position, Some(Position::EventId(_))), "{position:?}");
    drop(stream);

    publish(&server, &publisher, b"missed").await;
    publish(&server, &publisher, b"missed too").await;
    let mut stream = Stream::open(&server, &dialect, "load 0", position).await;
    assert_eq!(stream.see(2).await, ["missed", "missed too"]);
    publish(&server, &publisher, b"live").await;
    assert_eq!(stream.see(1).await, ["live"]);
}

#[tokio::test]
async fn a_raw_room_gets_what_is_posted() {
    let Some(server) = NchanServer::start() else { return };
    let dialect = dialect(AdapterKind::Raw);
    let mut subscriber = Connection::open(&dialect, server.connect().await, "load-0", Role::Subscriber).await;
    assert!(subscriber.is_joined());
    for (format, payload) in [(Format::Text, &b"text"[..]), (Format::Json, b"{}"), (Format::Binary, b"\x00\xff")] {
        publish(&server, &dialect.http_publish("load-0", format).unwrap(), payload).await;
        assert_eq!(subscriber.see(1).await, [Seen::Publication(payload.to_vec())]);
    }
}

#[tokio::test]
async fn a_refused_post_says_why() {
    let Some(server) = NchanServer::start() else { return };
    let target = Target {
        publish: PublishVia::Http,
        publish_url: Some("http://localhost/nowhere/{room}".to_owned()),
        ..Target::default()
    };
    let publish = Dialect::new(&target).unwrap().http_publish("load-0", Format::Text).unwrap();
    let answer = answer(&server, HttpPublish::METHOD, (&publish.url(b"x"), publish.headers()), b"x".to_vec()).await;
    let refusal = publish.refusal(answer.status().as_u16(), b"nothing here\n");
    assert_eq!(refusal.as_deref(), Some("status 404: nothing here"));
}
