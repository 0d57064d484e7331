//! A small blocking HTTP/1.1 client that keeps its connection, and says what it does not understand.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::HANG;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field that stands at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands more than once");
        value
    }

    /// `offset` and `members` of a publication.
    pub(crate) fn published(&self) -> (u64, u64) {
        let (offset, members, _) = self.published_in();
        (offset, members)
    }

    /// The same, and the epoch if somebody was there or the room keeps it.
    pub(crate) fn published_in(&self) -> (u64, u64, Option<String>) {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("the answer is JSON");
        let object = json.as_object().expect("an object");
        let epoch = object.get("epoch").map(|epoch| epoch.as_str().expect("an epoch is a string").to_owned());
        assert_eq!(object.len(), 2 + usize::from(epoch.is_some()), "{}", self.body);
        let number = |key: &str| object[key].as_u64().expect("a number");
        (number("offset"), number("members"), epoch)
    }
}

pub(crate) struct Http {
    pub(crate) stream: TcpStream,
    pub(crate) received: Vec<u8>,
    host: String,
}

impl Http {
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect_timeout(&address, HANG)?, address))
    }

    pub(crate) fn over(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_read_timeout(Some(HANG)).expect("the time is not zero");
        stream.set_write_timeout(Some(HANG)).expect("the time is not zero");
        stream.set_nodelay(true).expect("the stream is connected");
        Self { stream, received: Vec::new(), host: address.to_string() }
    }

    /// Sends a request with its length, reads the answer.
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        if !body.is_empty() || method == "POST" {
            all.push(("Content-Length", &length));
        }
        let mut request = self.head(method, path, &all).into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        self.answer(method)
    }

    /// Publishes a text.
    pub(crate) fn publish(&mut self, room: &str, text: &str) -> Answer {
        self.request("POST", &format!("/rooms/{room}"), &[("Content-Type", "text/plain")], text.as_bytes())
    }

    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads the answer to a request with this method.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let head_len = loop {
            if let Some(at) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive()?;
        };
        let head = String::from_utf8(self.received.drain(..head_len).collect()).expect("a head is text");
        let (line, fields) = head.trim_end().split_once("\r\n").unwrap_or_else(|| (head.trim_end(), ""));
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("not a status line: {line}"));
        let headers: Vec<(String, String)> = fields
            .split("\r\n")
            .filter(|field| !field.is_empty())
            .map(|field| field.split_once(": ").unwrap_or_else(|| panic!("not a field: {field:?} in {head:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        assert_eq!(answer.header("transfer-encoding"), None, "every answer has a length");
        if method == "HEAD" || status < 200 || status == 204 {
            return Ok(answer);
        }
        let length = answer.header("content-length").expect("every answer has a length").parse().expect("a number");
        while self.received.len() < length {
            self.receive()?;
        }
        answer.body = String::from_utf8(self.received.drain(..length).collect()).expect("the body is text");
        Ok(answer)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(())
            }
        }
    }

    /// Whether the server has ended the connection, with nothing more to say.
    pub(crate) fn ends(&mut self) -> bool {
        self.received.is_empty() && matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}
