//! The binary's decoders, as the fuzz targets call them.

use std::borrow::Cow;
use std::path::Path;

use shardcast::engine::{Purpose, Start};

use super::config::{AllowedOrigins, Flag, Sources, load};
use super::front_door::Reach;
use super::handshake::{self, Accepted, Head, HeadLimits};
use super::query;

/// What a request's head turned out to be.
#[derive(Debug)]
pub enum Judged {
    /// More bytes are needed.
    Partial,
    /// The HTTP server's.
    Http,
    /// A client that becomes a member or a session, what it is answered, and the length of the head.
    Accepted(Box<Purpose>, Vec<u8>, usize),
    /// The whole answer of a refusal.
    Refused(Vec<u8>),
}

/// Judges what has come of a request's head on a loopback listener.
#[must_use]
pub fn judge(bytes: &[u8]) -> Judged {
    let limits = HeadLimits { bytes_max: 8 << 10, fields_max: 64 };
    match handshake::judge(bytes, limits, &AllowedOrigins::Listed(Vec::new()), Reach::Loopback) {
        Head::Partial => Judged::Partial,
        Head::Http => Judged::Http,
        Head::Accepted(Accepted { purpose, answer, len_bytes }) => {
            Judged::Accepted(Box::new(purpose), answer, len_bytes)
        }
        Head::Refused(refusal) => Judged::Refused(refusal.to_bytes()),
    }
}

/// Where a member begins, by its query. `None`: refused.
#[must_use]
pub fn start(query: &str) -> Option<Start> {
    query::start(query).ok()
}

/// A parameter's value, decoded. `None`: there is none, or it is not UTF-8.
#[must_use]
pub fn decoded<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query::decoded(query, name).ok().flatten()
}

/// A file of settings and what `--set` says beside it. The error is what the operator reads: one line per problem.
///
/// # Errors
/// Something is wrong with the settings.
pub fn config(file: &Path, flags: &[(String, String)]) -> Result<(), Vec<String>> {
    let flag =
        |(key, value): &(String, String)| Flag { name: "--set".to_owned(), key: key.clone(), value: value.clone() };
    let sources =
        Sources { file: Some(file.to_owned()), flags: flags.iter().map(flag).collect(), variables: Vec::new() };
    load(&sources).map(drop).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}
