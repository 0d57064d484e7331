//! Opening a connection: TCP, then the handshake or the request of an event stream, then until the server has made it a
//! member. Every failure has a kind that reports count.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use super::wire::Wire;
use crate::adapter::{self, Transport};
use crate::clock::Nanos;
use crate::scenario::{Acks, Subscribers};

/// Why a connection is not there, in a word or two.
pub(super) type Failure = String;

/// Ports that one local address has, at least.
const PORTS_PER_ADDRESS: u32 = 25_000;

/// How connections of one worker are opened.
pub(super) struct Route {
    transport: Transport,
    /// Addresses of hosts, as they were found first.
    resolved: Mutex<HashMap<String, SocketAddr>>,
    sources: Vec<IpAddr>,
    acks: Acks,
    worker: u32,
}

/// What an opened connection carries.
pub(super) enum Carrier {
    /// WebSocket messages.
    Messages(Wire),
    /// The body of an answer.
    Body(Incoming),
}

/// An open connection; it is no member yet.
pub(super) struct Opened {
    pub(super) carrier: Carrier,
    /// TCP connect, nanoseconds.
    pub(super) connect_ns: u64,
    /// When the connection was established.
    pub(super) established: Nanos,
}

impl Route {
    pub(super) fn new(transport: Transport, subscribers: &Subscribers, worker: u32) -> Self {
        let Subscribers { source_addresses, acks, .. } = subscribers;
        Self { transport, resolved: Mutex::default(), sources: source_addresses.clone(), acks: *acks, worker }
    }

    /// Opens the connection that `request` asks for. `number` decides the local address.
    pub(super) async fn open(
        &self,
        request: &adapter::Request,
        number: u32,
        receive_buffer_bytes: Option<u32>,
    ) -> Result<Opened, Failure> {
        let uri: Uri = request.url.parse().map_err(|error| format!("url: {error}"))?;
        let address = self.resolve(&uri).await?;
        let began = Nanos::now();
        let stream = self.connect(address, number, receive_buffer_bytes).await.map_err(|error| kind_of(&error))?;
        let established = Nanos::now();
        let carrier = match self.transport {
            Transport::WebSocket => Carrier::Messages(upgrade(stream, &uri, request, self.acks).await?),
            Transport::EventStream => Carrier::Body(get(stream, &uri, request).await?),
        };
        Ok(Opened { carrier, connect_ns: established.since_ns(began), established })
    }

    /// A bare connection to the host of `uri`.
    pub(super) async fn connect_to(&self, uri: &Uri, number: u32) -> Result<TcpStream, Failure> {
        let address = self.resolve(uri).await?;
        self.connect(address, number, None).await.map_err(|error| kind_of(&error))
    }

    async fn resolve(&self, uri: &Uri) -> Result<SocketAddr, Failure> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let key = format!("{host} {}", port_of(uri));
        if let Some(address) = self.resolved.lock().expect("nobody panics while holding it").get(&key) {
            return Ok(*address);
        }
        let mut found =
            tokio::net::lookup_host((host, port_of(uri))).await.map_err(|_| format!("no such host {host}"))?;
        let address = found.next().ok_or_else(|| format!("no address of {host}"))?;
        self.resolved.lock().expect("nobody panics while holding it").insert(key, address);
        Ok(address)
    }

    async fn connect(&self, address: SocketAddr, number: u32, receive: Option<u32>) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = self.source(address, number) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The local address of connection `number`: those that were given in turn, or 127.0.0.x for loopback targets, as
    /// one address does not have the ports for all workers.
    fn source(&self, to: SocketAddr, number: u32) -> Option<IpAddr> {
        if !self.sources.is_empty() {
            return Some(self.sources[number as usize % self.sources.len()]);
        }
        let block = self.worker + number / PORTS_PER_ADDRESS;
        let last = u8::try_from(block % 250).unwrap_or(0) + 1;
        (to.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && last > 1).then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
    }
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(80)
}

/// What a failed socket operation is counted as.
pub(super) fn kind_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed without a word".to_owned(),
        io::ErrorKind::TimedOut => "timeout".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no local port left".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => "no file left".to_owned(),
        _ => error.to_string(),
    }
}

/// The request, in origin form.
fn request_of(uri: &Uri, request: &adapter::Request) -> hyper::http::request::Builder {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut builder = Request::builder().method(Method::GET).uri(path);
    let has = |name: &HeaderName| request.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name.as_str()));
    if !has(&HOST) {
        builder = builder.header(HOST, uri.authority().map_or("", |authority| authority.as_str()));
    }
    request.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value))
}

/// The client's side of RFC 6455 §4.1, with hyper. The key is not compared with the answer's: that guards against
/// caches that do not know WebSocket, and costs a hash per connection.
async fn upgrade(stream: TcpStream, uri: &Uri, request: &adapter::Request, acks: Acks) -> Result<Wire, Failure> {
    let mut builder = request_of(uri, request)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, fastwebsockets::handshake::generate_key());
    if let Some(protocol) = &request.subprotocol {
        builder = builder.header(hyper::header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let response = answer_to(stream, builder).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("http {}", response.status().as_u16()));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| kind_of_http(&error))?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| "not upgraded".to_owned())?;
    Ok(Wire::new(parts.io.into_inner(), parts.read_buf, acks))
}

/// Asks for an event stream.
async fn get(stream: TcpStream, uri: &Uri, request: &adapter::Request) -> Result<Incoming, Failure> {
    let response = answer_to(stream, request_of(uri, request)).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("http {}", response.status().as_u16()));
    }
    let content_type = response.headers().get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|it| it.starts_with("text/event-stream")) {
        return Err(format!("content type {}", content_type.unwrap_or("missing")));
    }
    Ok(response.into_body())
}

async fn answer_to(stream: TcpStream, builder: hyper::http::request::Builder) -> Result<Response<Incoming>, Failure> {
    let request = builder.body(Empty::<Bytes>::new()).map_err(|error| format!("request: {error}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| kind_of_http(&error))?;
    // Its error comes to the request as well.
    tokio::spawn(async move { connection.with_upgrades().await.ok() });
    sender.send_request(request).await.map_err(|error| kind_of_http(&error))
}

/// What a failed exchange is counted as.
pub(super) fn kind_of_http(error: &hyper::Error) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return kind_of(error);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() || error.is_canceled() {
        return "closed without a word".to_owned();
    }
    if error.is_parse() { "not an HTTP answer".to_owned() } else { error.to_string() }
}

/// Within `time`, or the failure "timeout".
pub(super) async fn within<T>(time: Duration, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(time, what).await.unwrap_or_else(|_| Err("timeout".to_owned()))
}
