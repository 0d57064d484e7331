//! HTTP requests and WebSocket frames as bytes. Written anew, so that a mistake of the library that loadgen uses is not
//! made on both sides.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A request's line and headers.
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one; nothing if the connection ended before it.
    pub(crate) async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(Self { method, path, headers }))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The answer that accepts it as a WebSocket handshake; nothing if it is none.
    pub(crate) fn acceptance(&self) -> Option<String> {
        let mut request = hyper::Request::get(&self.path)
            .header("Sec-WebSocket-Key", self.header("sec-websocket-key")?)
            .header("Sec-WebSocket-Version", self.header("sec-websocket-version")?)
            .body(())
            .ok()?;
        // Only for the digest of the key: the connection stays with the server.
        let (response, _) = fastwebsockets::upgrade::upgrade(&mut request).ok()?;
        let accept = response.headers().get("sec-websocket-accept")?.to_str().ok()?;
        Some(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
    }
}

/// Reads one frame; nothing at the connection's end.
pub(crate) async fn read_frame(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let Ok(first) = reader.read_u8().await else { return Ok(None) };
    let second = reader.read_u8().await?;
    let length = match second & 0x7F {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        short => u64::from(short),
    };
    assert!(first & 0x80 != 0 && second & 0x80 != 0, "a client's frame is whole and masked: {first:x} {second:x}");
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((first & 0xF, payload)))
}

/// A whole frame of a server.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A close frame of a server.
pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}
