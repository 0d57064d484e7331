//! Where a room is: a room's name and `--server`, or the room's own URL.

use std::fmt;
use std::io;
use std::time::Duration;

use hyper::Uri;
use shardcast::engine::room::{RoomName, RoomNameError};
use tokio::net::TcpStream;

/// How long the kernel may take to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// A room on a server. The room may stand under two paths; a URL of another shape names only one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Host as a resolver takes it: no brackets around IPv6.
    host: String,
    port: u16,
    /// The `Host` header.
    pub(super) authority: String,
    /// Path and query of the room's WebSocket.
    socket_path: Option<String>,
    /// Path and query to publish at.
    publish_path: Option<String>,
}

/// Why there is no such room to go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TargetError {
    /// Not a URL, or none of a server's.
    #[error("{url:?} is not the URL of a server or room: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `https` or `wss`.
    #[error("TLS is not supported yet: {url:?} (give http:// or ws://)")]
    Tls {
        /// What was given.
        url: String,
    },
    /// A name that no room can have.
    #[error("{room:?} is neither a room name nor a URL: {error}")]
    Room {
        /// What was given.
        room: String,
        /// Why not.
        #[source]
        error: RoomNameError,
    },
    /// The URL does not tell this path.
    #[error("cannot tell {wanted} from {url:?}: give {example}")]
    Path {
        /// What was given.
        url: String,
        /// What is missing.
        wanted: &'static str,
        /// What would do.
        example: &'static str,
    },
}

impl Target {
    /// `room` is a name, looked for on `server` (a URL, perhaps with a path in front of everything), or itself a URL:
    /// `…/ws/ROOM` and `…/rooms/ROOM` name both paths, any other path only itself.
    ///
    /// # Errors
    /// It is neither, or needs TLS.
    pub(super) fn new(room: &str, server: &str) -> Result<Self, TargetError> {
        if room.contains("://") {
            return Self::from_url(room);
        }
        let name = RoomName::new(room).map_err(|error| TargetError::Room { room: room.to_owned(), error })?;
        let (uri, mut target) = Self::from_server(server)?;
        let prefix = uri.path().trim_end_matches('/');
        // Of a room name's alphabet only `#` cannot stand in a path.
        let segment = name.as_str().replace('#', "%23");
        target.socket_path = Some(format!("{prefix}/ws/{segment}"));
        target.publish_path = Some(format!("{prefix}/rooms/{segment}"));
        Ok(target)
    }

    fn from_url(url: &str) -> Result<Self, TargetError> {
        let (uri, mut target) = Self::from_server(url)?;
        let path = uri.path();
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (front, room) = path.rsplit_once('/').unwrap_or(("", path));
        let prefix = front.strip_suffix("/ws").or_else(|| front.strip_suffix("/rooms"));
        if let Some(prefix) = prefix.filter(|_| !room.is_empty()) {
            target.socket_path = Some(format!("{prefix}/ws/{room}{query}"));
            target.publish_path = Some(format!("{prefix}/rooms/{room}{query}"));
        } else if path == "/" {
            let reason = "it has no path that names a room".to_owned();
            return Err(TargetError::Url { url: url.to_owned(), reason });
        } else {
            target.socket_path = Some(format!("{path}{query}"));
            target.publish_path = (uri.scheme_str() == Some("http")).then(|| format!("{path}{query}"));
        }
        Ok(target)
    }

    fn from_server(url: &str) -> Result<(Uri, Self), TargetError> {
        let wrong = |reason: &str| TargetError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(TargetError::Tls { url: url.to_owned() }),
            _ => return Err(wrong("it starts with neither http:// nor ws://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user name in a URL is not supported"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let port = authority.port_u16().unwrap_or(80);
        let authority = if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
        let target = Self { host: bare, port, authority, socket_path: None, publish_path: None };
        Ok((uri, target))
    }

    /// Path and query of the room's WebSocket.
    ///
    /// # Errors
    /// Not named by the URL.
    pub(super) fn socket_path(&self) -> Result<&str, TargetError> {
        self.socket_path.as_deref().ok_or_else(|| TargetError::Path {
            url: self.to_string(),
            wanted: "the WebSocket's path",
            example: "ws://HOST/ws/ROOM",
        })
    }

    /// Path and query to publish at.
    ///
    /// # Errors
    /// Not named by the URL.
    pub(super) fn publish_path(&self) -> Result<&str, TargetError> {
        self.publish_path.as_deref().ok_or_else(|| TargetError::Path {
            url: self.to_string(),
            wanted: "where to publish",
            example: "http://HOST/rooms/ROOM",
        })
    }

    /// A TCP connection to the server, of whatever address of it answers first, without Nagle's delay.
    ///
    /// # Errors
    /// No address of it answers in time.
    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(CONNECT_TIME_MAX, connect)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s"))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.socket_path.as_deref().or(self.publish_path.as_deref()).unwrap_or_default();
        // A query may carry a token.
        write!(f, "ws://{}{}", self.authority, path.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "http://127.0.0.1:8080";

    #[test]
    fn names_and_urls() {
        for (room, server, authority, socket, publish) in [
            ("chat", SERVER, "127.0.0.1:8080", "/ws/chat", Some("/rooms/chat")),
            ("a#b:c", "ws://h/", "h", "/ws/a%23b:c", Some("/rooms/a%23b:c")),
            ("chat", "http://h:80/base/", "h", "/base/ws/chat", Some("/base/rooms/chat")),
            ("ws://h:1/ws/chat?t=1", SERVER, "h:1", "/ws/chat?t=1", Some("/rooms/chat?t=1")),
            ("http://[::1]:9/p/rooms/chat", SERVER, "[::1]:9", "/p/ws/chat", Some("/p/rooms/chat")),
            ("ws://h/chat/lobby/", SERVER, "h", "/chat/lobby/", None),
            ("http://h/hook", SERVER, "h", "/hook", Some("/hook")),
        ] {
            let target = Target::new(room, server).unwrap();
            assert_eq!(target.authority, authority, "{room}");
            assert_eq!(target.socket_path(), Ok(socket), "{room}");
            assert_eq!(target.publish_path().ok(), publish, "{room}");
        }
        assert_eq!(Target::new("ws://[::1]/ws/a", SERVER).unwrap().host, "::1");
    }

    #[test]
    fn refusals() {
        for (room, server, part) in [
            ("a b", SERVER, "neither a room name"),
            ("", SERVER, "empty"),
            ("wss://h/ws/a", SERVER, "TLS is not supported yet"),
            ("a", "https://h", "TLS is not supported yet"),
            ("a", "127.0.0.1:8080", "http://"),
            ("a", "ftp://h", "http://"),
            ("ws://h", SERVER, "no path"),
            ("ws://u:p@h/ws/a", SERVER, "user name"),
        ] {
            let error = Target::new(room, server).unwrap_err().to_string();
            assert!(error.contains(part), "{room} {server}: {error}");
        }
    }
}
