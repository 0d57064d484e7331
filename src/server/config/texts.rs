//! The kinds that are texts and lists of texts: addresses, origins, the log filter, the key of the API.

use std::net::SocketAddr;

use shardcast::engine::room::RoomName;
use tracing_subscriber::EnvFilter;

use super::kinds::{Describe, Kind};
use super::origins::{AllowedOrigins, WebOrigin};
use super::raw::{Raw, Refused, list_text, quoted};
use super::secret::Secret;

/// Addresses to listen on: at least one, none twice.
pub(super) struct Addresses;

impl Describe for Addresses {
    fn allowed(&self) -> String {
        r#"a list of at least one ADDRESS:PORT, none twice, such as ["0.0.0.0:8080", "[::]:8080"]"#.to_owned()
    }
}

impl Kind<Vec<SocketAddr>> for Addresses {
    fn read(&self, raw: &Raw) -> Result<Vec<SocketAddr>, Refused> {
        let addresses: Vec<SocketAddr> = raw.each(|text| text.parse().ok())?;
        let twice =
            (1..addresses.len()).any(|at| addresses[at].port() != 0 && addresses[..at].contains(&addresses[at]));
        if addresses.is_empty() || twice { Err(Refused::default()) } else { Ok(addresses) }
    }
    fn show(&self, value: &Vec<SocketAddr>) -> Option<String> {
        Some(list_text(value.iter().map(|address| quoted(&address.to_string()))))
    }
}

/// Origins of web pages, or `*`.
pub(super) struct Origins;

impl Describe for Origins {
    fn allowed(&self) -> String {
        r#"a list of SCHEME://HOST or SCHEME://HOST:PORT without a path, such as ["https://example.com"], or ["*"]"#
            .to_owned()
    }
}

impl Kind<AllowedOrigins> for Origins {
    fn read(&self, raw: &Raw) -> Result<AllowedOrigins, Refused> {
        let entries = raw.each(|text| if text == "*" { Some(None) } else { WebOrigin::parse(text).map(Some) })?;
        let listed: Option<Vec<WebOrigin>> = entries.into_iter().collect();
        Ok(listed.map_or(AllowedOrigins::Any, AllowedOrigins::Listed))
    }
    fn show(&self, value: &AllowedOrigins) -> Option<String> {
        Some(match value {
            AllowedOrigins::Any => r#"["*"]"#.to_owned(),
            AllowedOrigins::Listed(origins) => list_text(origins.iter().map(|origin| quoted(origin.as_str()))),
        })
    }
}

/// A key that clients of the API present in a header.
pub(super) struct Key;

const KEY_CHARS_MIN: usize = 16;
const KEY_CHARS_MAX: usize = 1_024;

impl Describe for Key {
    fn allowed(&self) -> String {
        format!("a string of {KEY_CHARS_MIN} to {KEY_CHARS_MAX} visible ASCII characters, no blanks")
    }
    fn hidden(&self) -> bool {
        true
    }
}

impl Kind<Option<Secret>> for Key {
    fn read(&self, raw: &Raw) -> Result<Option<Secret>, Refused> {
        let fits = |text: &&str| {
            (KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        raw.text().filter(fits).map(|text| Some(Secret::new(text))).ok_or_else(Refused::default)
    }
    /// Never shown, set or not.
    fn show(&self, _: &Option<Secret>) -> Option<String> {
        None
    }
}

/// Names of rooms, none twice.
pub(super) struct RoomNames;

impl Describe for RoomNames {
    fn allowed(&self) -> String {
        r#"a list of names of rooms, none twice, such as ["news"]"#.to_owned()
    }
}

impl Kind<Vec<RoomName>> for RoomNames {
    fn read(&self, raw: &Raw) -> Result<Vec<RoomName>, Refused> {
        let names: Vec<RoomName> = raw.each(|text| RoomName::new(text).ok())?;
        let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
        if twice { Err(Refused::default()) } else { Ok(names) }
    }
    fn show(&self, value: &Vec<RoomName>) -> Option<String> {
        Some(list_text(value.iter().map(|name| quoted(name.as_str()))))
    }
}

/// Which log events are wanted.
pub(super) struct LogFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Describe for LogFilter {
    fn allowed(&self) -> String {
        format!(
            r#"{}, or a list of TARGET=LEVEL with commas, such as "info,shardcast::engine=debug""#,
            LEVELS.join(", ")
        )
    }
}

impl Kind<String> for LogFilter {
    fn read(&self, raw: &Raw) -> Result<String, Refused> {
        let fits = |text: &&str| !text.is_empty() && levels_known(text) && EnvFilter::try_new(text).is_ok();
        raw.text().filter(fits).map(str::to_owned).ok_or_else(Refused::default)
    }
    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// Whether each word that stands alone is a level. `EnvFilter` takes a mistyped level for the name of a target.
fn levels_known(filter: &str) -> bool {
    let alone = |part: &str| !part.contains(['=', '[', ']']);
    filter.split(',').all(|part| !alone(part) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part.trim())))
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Key, Kind, LogFilter, Origins, Raw};

    fn takes<T>(kind: &impl Kind<T>, text: &str) -> bool {
        kind.read(&Raw::Loose(text.to_owned())).is_ok()
    }

    #[test]
    fn what_each_kind_takes() {
        for (text, expected) in [("info", true), ("WARN,shardcast::engine=debug", true), ("inof", false), ("", false)] {
            assert_eq!(takes(&LogFilter, text), expected, "{text}");
        }
        for (text, expected) in
            [("0.0.0.0:0,0.0.0.0:0", true), ("[::]:1, [::]:1", false), ("", false), ("localhost:1", false)]
        {
            assert_eq!(takes(&Addresses, text), expected, "{text}");
        }
        for (text, expected) in [("*", true), ("", true), ("https://a.b,http://c", true), ("https://a.b/", false)] {
            assert_eq!(takes(&Origins, text), expected, "{text}");
        }
        for (text, expected) in [("0123456789abcdef", true), ("0123456789abcde", false), ("0123456789 abcdef", false)] {
            assert_eq!(takes(&Key, text), expected, "{text}");
        }
    }
}
