//! A small blocking WebSocket client. It masks what it sends, and panics on every frame that RFC 6455 does not allow a
//! server to send.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Answer, HANG, Http};

/// The key and the answer of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame.
    Close(Option<u16>, String),
    /// The end of the stream.
    End,
    /// The stream was reset.
    Reset,
}

/// A handshake that is to be sent.
pub(crate) struct Joining {
    address: SocketAddr,
    path: String,
    fields: Vec<(String, String)>,
    receive_buffer_bytes: Option<usize>,
}

impl Joining {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        let fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { address, path: path.to_owned(), fields, receive_buffer_bytes: None }
    }

    /// With a field more, or with another value.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self
    }

    /// With a receive buffer of this size: a reader that stalls is noticed soon.
    pub(crate) fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// The answer, if it is not 101.
    pub(crate) fn refused(self) -> Answer {
        match self.try_join() {
            Ok(_) => panic!("the handshake was accepted"),
            Err(answer) => answer,
        }
    }

    pub(crate) fn join(self) -> Client {
        self.try_join().unwrap_or_else(|answer| panic!("the handshake was refused: {answer:?}"))
    }

    pub(crate) fn try_join(self) -> Result<Client, Answer> {
        let mut http = Http::over(self.connect().expect("the server accepts"), self.address);
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let head = http.head("GET", &self.path, &fields);
        http.send_raw(head.as_bytes()).expect("the server reads");
        let answer = http.answer("GET").expect("the server answers");
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(answer.header("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
        assert_eq!(answer.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        let extensions = answer.header("sec-websocket-extensions").map(str::to_owned);
        let offers = self.fields.iter().any(|(name, _)| name == "Sec-WebSocket-Extensions");
        assert!(offers || extensions.is_none(), "nothing was offered, and {extensions:?} answered");
        let offered = self.fields.iter().find(|(name, _)| name == "Sec-WebSocket-Protocol");
        assert_eq!(answer.header("sec-websocket-protocol"), offered.map(|(_, protocol)| protocol.as_str()));
        let writer = Writer { stream: http.stream };
        Ok(Client { writer, received: http.received, read: 0, extensions, deflated: 0 })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&self.address.into(), HANG)?;
        Ok(socket.into())
    }
}

/// The sending half.
pub(crate) struct Writer {
    stream: TcpStream,
}

impl Writer {
    pub(crate) fn text(&self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes()));
    }

    pub(crate) fn binary(&self, payload: &[u8]) {
        self.raw(&frame(0x82, payload));
    }

    pub(crate) fn ping(&self, payload: &[u8]) {
        self.raw(&frame(0x89, payload));
    }

    pub(crate) fn pong(&self, payload: &[u8]) {
        self.raw(&frame(0x8a, payload));
    }

    pub(crate) fn close(&self, code: u16) {
        self.raw(&frame(0x88, &code.to_be_bytes()));
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        (&self.stream).write_all(bytes).expect("the server reads");
    }
}

/// A frame with these first eight bits, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).expect("it is at most 125")),
        len @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).expect("it is at most 65535").to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A member of a room.
pub(crate) struct Client {
    writer: Writer,
    received: Vec<u8>,
    /// How much of `received` has been read.
    read: usize,
    /// What the server agreed to.
    pub(crate) extensions: Option<String>,
    /// Frames so far that came compressed.
    pub(crate) deflated: usize,
}

impl std::ops::Deref for Client {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl Client {
    /// The sending half, for another thread.
    pub(crate) fn writer(&self) -> Writer {
        Writer { stream: self.writer.stream.try_clone().expect("there is a file left") }
    }

    /// The next frame, or the end.
    pub(crate) fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.take_frame() {
                return event;
            }
            self.received.drain(..self.read);
            self.read = 0;
            let mut bytes = [0; 32 << 10];
            match self.writer.stream.read(&mut bytes) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "the stream ended in the middle of a frame");
                    return Event::End;
                }
                Ok(len) => self.received.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Event::Reset,
                Err(error) => panic!("nothing more came: {error}"),
            }
        }
    }

    /// The next frame, which is a text.
    pub(crate) fn text_of(&mut self) -> String {
        match self.next() {
            Event::Text(text) => text,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// So many texts.
    pub(crate) fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.text_of()).collect()
    }

    /// Whether anything has arrived that was not read, the end included.
    pub(crate) fn has_more(&self) -> bool {
        if self.read < self.received.len() {
            return true;
        }
        let stream = &self.writer.stream;
        stream.set_nonblocking(true).expect("the stream is open");
        let arrived = stream.peek(&mut [0; 1]);
        stream.set_nonblocking(false).expect("the stream is open");
        !matches!(arrived, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Asks for a pong and returns what came before it: everything that the server had sent until then.
    pub(crate) fn before_pong(&mut self) -> Vec<Event> {
        self.ping(b"so far");
        let mut before = Vec::new();
        loop {
            match self.next() {
                Event::Pong(payload) if payload == b"so far" => return before,
                Event::End => panic!("the connection ended after {before:?}"),
                event => before.push(event),
            }
        }
    }

    /// The closing handshake.
    pub(crate) fn leave(mut self) {
        self.close(1000);
        loop {
            match self.next() {
                Event::Close(code, _) => {
                    assert_eq!(code, Some(1000));
                    assert_eq!(self.next(), Event::End);
                    return;
                }
                Event::End | Event::Reset => panic!("no answer to the close frame"),
                _ => {}
            }
        }
    }

    /// Resets the connection: as if the cable had been pulled and the peer found out. Leaves no `TIME_WAIT` behind.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.writer.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("the stream is open");
    }

    fn take_frame(&mut self) -> Option<Event> {
        let bytes = &self.received[self.read..];
        let [first, second, rest @ ..] = bytes else { return None };
        let deflated = first & 0x70 == 0x40 && self.extensions.is_some();
        assert!(deflated || first & 0x70 == 0, "reserved bits: {first:#x}");
        assert_eq!(second & 0x80, 0, "a server's frame is not masked");
        assert_eq!(first & 0x80, 0x80, "the server has no reason to fragment");
        let (len, head_len) = match second & 0x7f {
            126 => {
                let len = u16::from_be_bytes(*rest.first_chunk()?);
                assert!(len > 125, "not the shortest length");
                (usize::from(len), 4)
            }
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                assert!(len > 65_535, "not the shortest length");
                (usize::try_from(len).expect("it fits into memory"), 10)
            }
            len => (usize::from(len), 2),
        };
        let mut payload = bytes.get(head_len..head_len + len)?.to_vec();
        self.read += head_len + len;
        let opcode = first & 0x0f;
        if deflated {
            assert!(opcode < 8, "a compressed control frame");
            self.deflated += 1;
            payload = inflated(&payload);
        }
        assert!(opcode < 8 || len <= 125, "a control frame of {len} bytes");
        Some(match opcode {
            1 => Event::Text(String::from_utf8(payload).expect("a text is UTF-8")),
            2 => Event::Binary(payload),
            8 => close_event(&payload),
            9 => Event::Ping(payload),
            10 => Event::Pong(payload),
            other => panic!("opcode {other}"),
        })
    }
}

/// A message's payload, compressed for itself alone.
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 1_000);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(payload, &mut out, flate2::FlushCompress::Sync).expect("it takes any bytes");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "there was room for all of it");
    out.truncate(out.len() - 4);
    out
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::with_capacity(1 << 20);
    let mut decompress = flate2::Decompress::new(false);
    decompress.decompress_vec(&bytes, &mut out, flate2::FlushDecompress::Sync).expect("it is DEFLATE");
    assert_eq!(decompress.total_in(), bytes.len() as u64, "all of it is the message");
    out
}

fn close_event(payload: &[u8]) -> Event {
    match payload {
        [] => Event::Close(None, String::new()),
        [high, low, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).expect("a reason is UTF-8");
            Event::Close(Some(u16::from_be_bytes([*high, *low])), reason)
        }
        _ => panic!("a close frame with one byte"),
    }
}
