//! A request's query: where a member begins, and single parameters. Unknown ones are a client's own business.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use shardcast::engine::{Position, Start};

use super::handshake::Refusal;

/// The value of the first parameter called `name`, as it stands there.
pub(crate) fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The value of the first parameter called `name`, decoded.
pub(crate) fn decoded<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Refusal> {
    let Some(value) = value(query, name) else { return Ok(None) };
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map(Some).map_err(|_| Refusal::new(400, format!("{name} is not UTF-8")))
}

/// `since=EPOCH:OFFSET` or `last=N`.
pub(crate) fn start(query: &str) -> Result<Start, Refusal> {
    match (decoded(query, "since")?, last(query)?) {
        (None, None) => Ok(Start::Live),
        (Some(_), Some(_)) => Err(Refusal::new(400, "either since or last, not both")),
        (Some(since), None) => position("since", &since).map(Start::After),
        (None, Some(last)) => Ok(last),
    }
}

/// `last=N`.
pub(crate) fn last(query: &str) -> Result<Option<Start>, Refusal> {
    let Some(last) = value(query, "last") else { return Ok(None) };
    // `parse` of a number would take a sign.
    let digits = last.bytes().all(|byte| byte.is_ascii_digit());
    let last = last.parse().ok().filter(|_| digits);
    last.map(|last| Some(Start::Last(last))).ok_or_else(|| Refusal::new(400, "last is a number of publications"))
}

/// A position, which `name` says.
pub(crate) fn position(name: &str, text: &str) -> Result<Position, Refusal> {
    text.parse().map_err(|error| Refusal::new(400, format!("{name}: {error}")))
}
