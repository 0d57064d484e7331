//! A WebSocket client that can do everything wrong: bytes, frames, and whatever comes back.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::server::HANG;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const FIN: u8 = 0x80;

/// Connects from one of sixteen loopback addresses in turn: one has too few ports for a hundred thousand connections.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = 1 + u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 16).expect("less than 16");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).expect("a port is free");
    socket.connect(&to.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(HANG)).expect("a timeout can be set");
    stream.set_write_timeout(Some(HANG)).expect("a timeout can be set");
    stream.set_nodelay(true).expect("a connected socket");
    stream
}

/// Makes the drop of the stream a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok();
    drop(stream);
}

/// The request of a proper handshake.
pub(crate) fn handshake(room: &str) -> String {
    format!(
        "GET /ws/{room} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Sends a request and takes whatever comes until the server ends the connection.
pub(crate) fn exchange(to: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = connect(to);
    // The server may answer, and end, before it has read all.
    stream.write_all(request.as_ref()).ok();
    rest(&mut stream)
}

/// Whatever comes until the end, or a reset. Panics if neither comes.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(error) if is_hang(&error) => panic!("hangs after {:?}", String::from_utf8_lossy(&bytes)),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_hang(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The status of an HTTP answer; 0: it is none.
pub(crate) fn status(answer: &str) -> u16 {
    let rest = answer.strip_prefix("HTTP/1.1 ").or_else(|| answer.strip_prefix("HTTP/1.0 "));
    rest.and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// A masked frame in its shortest encoding. The mask is 0x01020304.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, MASKED, payload.len() as u64);
    frame.extend(masked(payload));
    frame
}

/// The mask bit.
pub(crate) const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [1, 2, 3, 4];

pub(crate) fn masked(payload: &[u8]) -> impl Iterator<Item = u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask)
}

/// A header that declares `len` in its shortest encoding.
pub(crate) fn header(first: u8, mask: u8, len: u64) -> Vec<u8> {
    let code = match len {
        0..126 => u8::try_from(len).expect("less than 126"),
        126..0x1_0000 => 126,
        _ => 127,
    };
    header_in(first, mask, code, len)
}

/// A header with the 7-bit length `code`, and `len` behind it if that code has something behind it.
pub(crate) fn header_in(first: u8, mask: u8, code: u8, len: u64) -> Vec<u8> {
    let mut header = vec![first, mask | code];
    match code {
        126 => header.extend_from_slice(&len.to_be_bytes()[6..]),
        127 => header.extend_from_slice(&len.to_be_bytes()),
        _ => {}
    }
    if mask != 0 {
        header.extend_from_slice(&MASK);
    }
    header
}

/// What came from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// First byte, and payload.
    Frame(u8, Vec<u8>),
    /// Its close code.
    Close(u16),
    /// The end or a reset, without a close frame.
    End,
}

/// A member of a room.
pub(crate) struct Member {
    pub(crate) stream: TcpStream,
}

impl Member {
    /// Panics if the server does not take it in.
    pub(crate) fn join(to: SocketAddr, room: &str) -> Self {
        Self::join_with(to, handshake(room).as_bytes())
    }

    /// The same with a request of its own; what follows the head are frames.
    pub(crate) fn join_with(to: SocketAddr, request: &[u8]) -> Self {
        let mut stream = connect(to);
        stream.write_all(request).expect("the server reads");
        let answer = head(&mut stream);
        assert_eq!(status(&answer), 101, "{answer}");
        Self { stream }
    }

    /// Sends bytes; the server may have ended the connection.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(&frame(FIN | TEXT, text.as_bytes()));
    }

    /// The next frame, pings of the server left out. Panics if nothing comes.
    pub(crate) fn next(&mut self) -> Event {
        loop {
            match self.read_frame() {
                Ok((first, _)) if first == FIN | PING => {}
                Ok((first, payload)) if first == FIN | CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Event::Close(code);
                }
                Ok((first, payload)) => return Event::Frame(first, payload),
                Err(error) if is_hang(&error) => panic!("the server hangs"),
                Err(_) => return Event::End,
            }
        }
    }

    /// The next message as text.
    pub(crate) fn hear(&mut self) -> String {
        match self.next() {
            Event::Frame(_, payload) => String::from_utf8_lossy(&payload).into_owned(),
            event => panic!("a message was to come, not {event:?}"),
        }
    }

    /// The close code, whatever comes before it. The connection must end behind it.
    pub(crate) fn closed(&mut self) -> u16 {
        let code = loop {
            match self.next() {
                Event::Close(code) => break code,
                Event::End => return 0,
                Event::Frame(..) => {}
            }
        };
        assert_eq!(self.next(), Event::End, "nothing follows a close frame");
        code
    }

    fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        self.stream.read_exact(&mut start)?;
        assert_eq!(start[1] & MASKED, 0, "a server's frames are not masked");
        let len = match start[1] {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len)?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.stream.read_exact(&mut len)?;
                u64::from_be_bytes(len)
            }
            len => u64::from(len),
        };
        assert!(len <= 64 << 20, "a frame of {len} bytes");
        let mut payload = vec![0; usize::try_from(len).expect("64 MiB fit")];
        self.stream.read_exact(&mut payload)?;
        Ok((start[0], payload))
    }
}

/// Reads up to the end of an answer's head, or of the stream.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => break,
            Err(error) if is_hang(&error) => panic!("hangs after {:?}", String::from_utf8_lossy(&head)),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
