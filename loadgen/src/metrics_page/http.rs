//! One `GET` over HTTP/1.1, as little of it as a metrics page needs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use hyper::Uri;
use thiserror::Error;

use super::{Page, ParseError};
use crate::clock::Nanos;

/// A longer page is no metrics page.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Why there is no page.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none.
    #[error("{url:?} is no address of a metrics page: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server cannot be reached, or did not answer in time.
    #[error("metrics page {url}: {source} (within {timeout:?})")]
    Io {
        /// Its address.
        url: String,
        /// How long it was waited for.
        timeout: Duration,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// It answered with something else.
    #[error("metrics page {url}: the server answers {answer:?}, 200 was expected")]
    Status {
        /// Its address.
        url: String,
        /// The first line.
        answer: String,
    },
    /// The answer is no HTTP.
    #[error("metrics page {url}: {problem}")]
    Answer {
        /// Its address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The page is not in Prometheus' text format.
    #[error("metrics page {url}: {source}")]
    Parse {
        /// Its address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
}

/// Fetches and reads the page at `url` (`http://host:port/metrics`). Blocks, for `timeout` at most (a name that is
/// looked up may take longer).
///
/// # Errors
/// See [`FetchError`].
pub fn fetch(url: &str, timeout: Duration) -> Result<Page, FetchError> {
    let (host, path) = split_url(url).map_err(|problem| FetchError::Url { url: url.to_owned(), problem })?;
    let answer =
        exchange(&host, &path, timeout).map_err(|source| FetchError::Io { url: url.to_owned(), timeout, source })?;
    let body = body_of(url, &answer)?;
    Page::parse(&String::from_utf8_lossy(&body)).map_err(|source| FetchError::Parse { url: url.to_owned(), source })
}

/// Host with port, and path with query.
fn split_url(url: &str) -> Result<(String, String), String> {
    let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| error.to_string())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some(other) => return Err(format!("{other} is not supported, only http is")),
        None => return Err("it does not begin with http://".to_owned()),
    }
    let authority = uri.authority().ok_or_else(|| "it has no host".to_owned())?;
    let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    Ok((host, path.to_owned()))
}

fn connect(host: &str, timeout: Duration) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = host.to_socket_addrs()?.collect();
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The whole answer: until the server closes, or has sent as many bytes as it announced.
fn exchange(host: &str, path: &str, timeout: Duration) -> std::io::Result<Vec<u8>> {
    let end = Nanos::now().after(timeout);
    let mut stream = connect(host, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    let accept = "text/plain;version=0.0.4";
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let left = end.since(Nanos::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let length = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..length]);
        if length == 0 || is_complete(&answer) {
            return Ok(answer);
        }
        if answer.len() > PAGE_BYTES_MAX {
            let problem = format!("longer than {PAGE_BYTES_MAX} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, problem));
        }
    }
}

/// Head (without its last line's end) and what follows it.
fn split_head(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    Some(lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.trim())
}

fn announced_bytes(head: &str) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn is_chunked(head: &str) -> bool {
    header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

fn is_complete(answer: &[u8]) -> bool {
    let Some((head, body)) = split_head(answer) else { return false };
    if is_chunked(&head) {
        return body.ends_with(b"0\r\n\r\n") && unchunk(body).is_some();
    }
    announced_bytes(&head).is_some_and(|bytes| body.len() >= bytes)
}

fn body_of(url: &str, answer: &[u8]) -> Result<Vec<u8>, FetchError> {
    let wrong = |problem: &str| FetchError::Answer { url: url.to_owned(), problem: problem.to_owned() };
    let (head, body) = split_head(answer).ok_or_else(|| wrong("the answer is no HTTP, or ended early"))?;
    let first = head.split("\r\n").next().unwrap_or_default();
    if first.split_whitespace().nth(1) != Some("200") {
        return Err(FetchError::Status { url: url.to_owned(), answer: first.to_owned() });
    }
    if is_chunked(&head) {
        return unchunk(body).ok_or_else(|| wrong("the answer ended early"));
    }
    match announced_bytes(&head) {
        Some(bytes) => body.get(..bytes).map(<[u8]>::to_vec).ok_or_else(|| wrong("the answer ended early")),
        None => Ok(body.to_vec()),
    }
}

/// The content of chunks; none if the last one is missing.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line_end = body.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&body[..line_end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(content);
        }
        let rest = &body[line_end + 2..];
        content.extend_from_slice(rest.get(..length)?);
        body = rest.get(length.checked_add(2)?..)?;
    }
}
