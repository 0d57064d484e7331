//! Which web pages may connect: the `Origin` header that a browser sends against the operator's list.

/// Pages that may open connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllowedOrigins {
    /// Every page.
    Any,
    /// Pages of these origins, and those that the server's own host name serves.
    Listed(Vec<WebOrigin>),
}

/// Scheme, host and port of a page (RFC 6454), in lower case and with the port left out where it is the scheme's
/// default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebOrigin(String);

impl WebOrigin {
    /// Reads `scheme://host` or `scheme://host:port`. `None`: anything else, a path or a trailing slash included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let scheme_bytes_fit = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme_bytes_fit {
            return None;
        }
        let (host, port) = split_port(authority)?;
        let default_port = match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        Some(Self(match port.filter(|port| Some(*port) != default_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }

    /// The origin as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }
}

impl AllowedOrigins {
    /// Whether a request may connect that came with these `Origin` and `Host` headers. No `Origin`: not a browser,
    /// allowed.
    pub(crate) fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let (Self::Listed(listed), Some(origin)) = (self, origin) else {
            return true;
        };
        let Some(origin) = WebOrigin::parse(origin) else {
            return false;
        };
        listed.contains(&origin) || host.is_some_and(|host| same_host(&origin, host))
    }
}

/// Whether `host`, a `Host` header, names the page's own server. The scheme is the page's: a proxy may end TLS before
/// us.
fn same_host(origin: &WebOrigin, host: &str) -> bool {
    let scheme = origin.as_str().split("://").next().unwrap_or_default();
    WebOrigin::parse(&format!("{scheme}://{host}")).is_some_and(|own| {
        let both = [own.authority(), origin.authority()].map(this_machine);
        own.authority() == origin.authority() || (both[0].is_some() && both[0] == both[1])
    })
}

/// The port of a host that is this very machine by any of its names: a page of `localhost` may well name `127.0.0.1`.
fn this_machine(authority: &str) -> Option<Option<u16>> {
    let (host, port) = split_port(authority)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    (host == "localhost" || address.is_ok_and(|address| address.is_loopback())).then_some(port)
}

/// Splits `host[:port]`; the host may be an IPv6 address in brackets. `None`: not of that form.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    let host_fits = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)),
    };
    match port.strip_prefix(':') {
        _ if !host_fits => None,
        None => port.is_empty().then_some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowedOrigins, WebOrigin};

    #[test]
    fn origins_are_normalised_or_refused() {
        for (text, expected) in [
            ("https://example.com", Some("https://example.com")),
            ("HTTPS://Example.com:443", Some("https://example.com")),
            ("http://example.com:443", Some("http://example.com:443")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("https://example.com/", None),
            ("https://user@example.com", None),
            ("https://*.example.com", None),
            ("https://", None),
            ("example.com", None),
            ("https://example.com:", None),
            ("https://example.com:+80", None),
            ("https://example.com:99999", None),
            ("http://[zz]", None),
            ("null", None),
        ] {
            assert_eq!(WebOrigin::parse(text).as_ref().map(WebOrigin::as_str), expected, "{text}");
        }
    }

    #[test]
    fn exact_scheme_host_and_port_or_the_same_host() {
        let listed = AllowedOrigins::Listed(WebOrigin::parse("https://example.com").into_iter().collect());
        for (origin, host, expected) in [
            (None, None, true),
            (Some("https://example.com"), Some("ws.example.net"), true),
            (Some("https://example.com:443"), None, true),
            (Some("http://example.com"), None, false),
            (Some("https://example.com:8443"), None, false),
            (Some("https://example.com.evil.net"), None, false),
            (Some("null"), Some("null"), false),
            (Some("http://localhost:8080"), Some("localhost:8080"), true),
            (Some("http://localhost:8080"), Some("localhost:9090"), false),
            (Some("https://chat.net"), Some("chat.net:443"), true),
            (Some("http://localhost:8080"), Some("127.0.0.1:8080"), true),
            (Some("http://[::1]:8080"), Some("localhost:8080"), true),
            (Some("http://localhost:3000"), Some("127.0.0.1:8080"), false),
            (Some("http://localhost.evil.net:8080"), Some("127.0.0.1:8080"), false),
            (Some("http://evil.net:8080"), Some("localhost:8080"), false),
        ] {
            assert_eq!(listed.allows(origin, host), expected, "{origin:?} at {host:?}");
        }
        assert!(AllowedOrigins::Any.allows(Some("null"), None));
    }
}
