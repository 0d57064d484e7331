//! The engine in somebody else's server: the example's own code, with WebSocket clients of another library.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test is to end it; the helpers are no test functions")]

#[path = "../examples/embed/server.rs"]
mod server;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::handshake::{client, generate_key};
use fastwebsockets::{Frame, OpCode, Payload, WebSocket};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shardcast::{Counter, Drain, Drained, Engine, MessageKind, RoomName, Settings};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes a noticeable part of it.
const PATIENCE: Duration = Duration::from_secs(30);

const DRAIN: Drain = Drain { spread: Duration::ZERO, code: 1001 };

/// The example, running.
struct Embedding {
    engine: Engine,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Drained>,
}

impl Embedding {
    async fn start(shards: usize) -> Self {
        let settings = Settings { shards: NonZeroUsize::new(shards), ..Settings::default() };
        let engine = Engine::start(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let embedded = engine.clone();
        let running = tokio::spawn(async move {
            let stop = async { stopped.await.unwrap() };
            server::run(listener, &embedded, |_, _| {}, stop, DRAIN).await.unwrap()
        });
        Self { engine, address, stop, running }
    }

    async fn end(self) -> Drained {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.running).await.unwrap().unwrap()
    }
}

struct Client(WebSocket<TokioIo<Upgraded>>);

impl Client {
    async fn connect(address: SocketAddr, room: &str) -> Self {
        let request = Request::get(format!("/live/{room}"))
            .header(HOST, address.to_string())
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade")
            .header("Sec-WebSocket-Key", generate_key())
            .header("Sec-WebSocket-Version", "13")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        Self(client(&TokioExecutor::new(), request, stream).await.unwrap().0)
    }

    async fn send(&mut self, text: &'static str) {
        self.0.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await.unwrap();
    }

    /// The next frame: what it is, and what is in it.
    async fn next(&mut self) -> (OpCode, Vec<u8>) {
        let frame = timeout(PATIENCE, self.0.read_frame()).await.unwrap().unwrap();
        (frame.opcode, frame.payload.to_vec())
    }

    async fn expect_text(&mut self, text: &str) {
        assert_eq!(self.next().await, (OpCode::Text, text.into()));
    }

    /// The close frame; fastwebsockets answers it, and the stream ends with the client.
    async fn expect_close(mut self, code: u16) {
        let (opcode, body) = self.next().await;
        assert_eq!((opcode, &body[..2]), (OpCode::Close, &code.to_be_bytes()[..]));
    }
}

async fn total(engine: &Engine, counter: Counter) -> u64 {
    let snapshots = engine.snapshots().await;
    snapshots.iter().map(|snapshot| snapshot.as_ref().unwrap().counts.get(counter)).sum()
}

#[tokio::test]
async fn adopted_connections_publish_and_get_publications_until_the_drain() {
    let embedding = Embedding::start(2).await;
    let engine = embedding.engine.clone();
    let room = RoomName::new("chat").unwrap();

    let mut ann = Client::connect(embedding.address, "chat").await;
    // Its own message comes back to it: from then on it certainly is a member.
    ann.send("I am Ann").await;
    ann.expect_text("I am Ann").await;
    let mut bob = Client::connect(embedding.address, "chat").await;
    bob.send("I am Bob").await;
    for member in [&mut ann, &mut bob] {
        member.expect_text("I am Bob").await;
    }
    let published = engine.publish(&room, MessageKind::Binary, Bytes::from_static(&[0, 255])).await.unwrap();
    assert_eq!((published.offset, published.members), (3, 2));
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.next().await, (OpCode::Binary, vec![0, 255]));
    }

    assert_eq!(engine.members(&room), 2);
    let totals = engine.totals();
    assert_eq!((totals.connections, totals.rooms, totals.shards), (2, 1, 2));
    for snapshot in engine.snapshots().await {
        assert_eq!(snapshot.unwrap().connections, 1, "the two shards share the load");
    }
    assert_eq!(total(&engine, Counter::Publications).await, 3);
    assert_eq!(total(&engine, Counter::Deliveries).await, 1 + 2 + 2);

    let drained = tokio::spawn(embedding.end());
    for member in [ann, bob] {
        member.expect_close(DRAIN.code).await;
    }
    assert_eq!(drained.await.unwrap(), Drained { closed: 2, aborted: 0 });
    assert_eq!((engine.members(&room), engine.totals().connections, engine.totals().rooms), (0, 0, 0));
}

#[tokio::test]
async fn the_server_ticks() {
    let embedding = Embedding::start(1).await;
    let mut listener = Client::connect(embedding.address, server::CLOCK).await;
    let (opcode, tick) = listener.next().await;
    let tick = String::from_utf8(tick).unwrap();
    assert!(opcode == OpCode::Text && tick.starts_with("tick "), "{opcode:?} {tick}");
    let ended = tokio::spawn(embedding.end());
    listener.expect_close(DRAIN.code).await;
    assert_eq!(ended.await.unwrap(), Drained { closed: 1, aborted: 0 });
}

/// What hyper has read behind the handshake is not lost.
#[tokio::test]
async fn a_message_in_the_handshakes_packet_is_published() {
    let embedding = Embedding::start(1).await;
    let mut stream = TcpStream::connect(embedding.address).await.unwrap();
    let mut request = b"GET /live/early HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    request.extend([0x81, 0x80 | 5, 0, 0, 0, 0]);
    request.extend(b"early");
    stream.write_all(&request).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\x81\x05early") {
        let read = timeout(PATIENCE, stream.read_buf(&mut received)).await.unwrap().unwrap();
        assert_ne!(read, 0, "ended after {}", received.escape_ascii());
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "), "{}", received.escape_ascii());
    drop(stream);
    embedding.end().await;
}

#[tokio::test]
async fn what_is_not_for_the_engine_gets_its_answer() {
    let embedding = Embedding::start(1).await;
    for (path, status) in [("/", 200), ("/nowhere", 404), ("/live/", 400), ("/live/a/b", 400), ("/live/chat", 426)] {
        let mut stream = TcpStream::connect(embedding.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    assert_eq!(embedding.end().await, Drained::default());
}

/// What a prepared listener accepts has its options, of which congestion control depends on the listener's address.
#[tokio::test]
async fn a_listener_on_loopback_models_no_path() {
    let engine = Engine::start(Settings { shards: NonZeroUsize::new(1), ..Settings::default() }).unwrap();
    let of_machine = SockRef::from(&TcpListener::bind("127.0.0.1:0").await.unwrap()).tcp_congestion().unwrap();

    for (address, expected) in
        [("127.0.0.1:0", &b"reno"[..]), ("127.0.0.2:0", b"reno"), ("0.0.0.0:0", named(&of_machine))]
    {
        let listener = TcpListener::bind(address).await.unwrap();
        engine.prepare_listener(&listener).unwrap();
        let client = TcpStream::connect((listener.local_addr().unwrap().ip(), listener.local_addr().unwrap().port()));
        let (accepted, _client) = tokio::join!(listener.accept(), client);
        let (accepted, _) = accepted.unwrap();
        let accepted = SockRef::from(&accepted);
        assert_eq!(named(&accepted.tcp_congestion().unwrap()), expected, "{address}");
        assert!(accepted.tcp_nodelay().unwrap(), "{address}");
    }
    engine.shutdown(DRAIN).await;
}

/// The kernel's answer is padded with zeros.
fn named(congestion: &[u8]) -> &[u8] {
    congestion.split(|byte| *byte == 0).next().unwrap()
}
