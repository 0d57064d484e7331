//! A URL in which `{room}` stands for the room's name.

use std::fmt::Write as _;

use super::target::TargetError;

/// Where the room's name goes.
pub(super) const ROOM: &str = "{room}";

/// A checked URL template.
#[derive(Clone, Debug)]
pub(super) struct UrlTemplate {
    text: String,
}

impl UrlTemplate {
    /// Takes `url` if it is absolute, of one of `schemes`, and has a host.
    pub(super) fn parse(field: &'static str, url: &str, schemes: &[&str]) -> Result<Self, TargetError> {
        let (scheme, _) = url.split_once("://").unwrap_or(("", url));
        if scheme.eq_ignore_ascii_case("wss") || scheme.eq_ignore_ascii_case("https") {
            return Err(TargetError::Tls { field, url: url.to_owned() });
        }
        if !schemes.contains(&scheme) {
            let expected = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
            return Err(TargetError::Scheme { field, url: url.to_owned(), expected });
        }
        let bad = |reason: String| TargetError::Url { field, url: url.to_owned(), reason };
        if url.contains('#') {
            return Err(bad("a fragment (#…) is not sent to servers".to_owned()));
        }
        let uri: hyper::Uri = url.replace(ROOM, "room").parse().map_err(|error| bad(format!("{error}")))?;
        match uri.authority() {
            None => Err(bad("it has no host".to_owned())),
            Some(authority) if authority.as_str().contains('@') => {
                Err(bad("a user name is not sent; put credentials into target.headers".to_owned()))
            }
            Some(authority) if authority.host().is_empty() => Err(bad("it has no host".to_owned())),
            Some(authority) if authority.as_str() != authority.host() && authority.port_u16().is_none() => {
                Err(bad("a port is a number from 0 to 65535".to_owned()))
            }
            Some(_) => Ok(Self { text: url.to_owned() }),
        }
    }

    /// Whether rooms differ in it.
    pub(super) fn names_rooms(&self) -> bool {
        self.text.contains(ROOM)
    }

    /// With the room's name, percent-encoded.
    pub(super) fn of_room(&self, room: &str) -> String {
        if self.names_rooms() { self.text.replace(ROOM, &percent_encoded(room)) } else { self.text.clone() }
    }
}

/// Leaves only what no part of a URL gives a meaning to (RFC 3986: unreserved).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_name_is_encoded() {
        let url = UrlTemplate::parse("target.url", "ws://127.0.0.1:8080/ws/{room}?r={room}", &["ws"]).unwrap();
        assert_eq!(url.of_room("load-0"), "ws://127.0.0.1:8080/ws/load-0?r=load-0");
        assert_eq!(url.of_room("a b/č&?"), "ws://127.0.0.1:8080/ws/a%20b%2F%C4%8D%26%3F?r=a%20b%2F%C4%8D%26%3F");
    }

    #[test]
    fn what_is_not_a_url_is_refused() {
        for (url, problem) in [
            ("wss://example.org/", "TLS"),
            ("HTTPS://example.org/", "TLS"),
            ("127.0.0.1:8080", "must begin with ws://"),
            ("http://127.0.0.1/", "must begin with ws://"),
            ("ws:///x", "ws:///x"),
            ("ws://a b/", "a b"),
            ("ws://me:secret@host/", "target.headers"),
            ("ws://host/x#y", "fragment"),
            ("ws://host:99999/", "99999"),
            ("", "must begin with ws://"),
        ] {
            let error = UrlTemplate::parse("target.url", url, &["ws"]).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("target.url") && said.contains(problem), "{url}: {said}");
        }
    }
}
