//! `GET /rooms/ROOM/messages`: what came after a position, or the next thing that comes. For clients that can neither
//! keep a WebSocket nor read a stream.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use shardcast::engine::{History, JoinError, Newer, Start};
use shardcast::protocol::centrifuge::publication;
use shardcast::protocol::json::{Object, decimal, string};

use super::config::duration;
use super::front_door::{Door, refusal_of};
use super::handshake::{Refusal, room_name};
use super::http::{Answer, answer};
use super::pending::Pending;
use super::query;

/// How the path of a room's messages goes on behind the room's name.
pub(crate) const SUFFIX: &str = "/messages";

/// The longest that a client may wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The most publications of one answer, and how many there are if nobody says.
const LIMIT_MAX: usize = 1_000;
const LIMIT: usize = 100;

/// Answers when there is something, or the time is over. What it gives beside the answer is to be kept until that is
/// written, if the server ends.
pub(crate) async fn respond(
    request: &Request<Incoming>,
    room: &str,
    door: &Door,
) -> Result<(Answer, Pending), Refusal> {
    let polling = door.polls.begin();
    let room = room_name(room)?;
    let newer = newer(request.uri().query().unwrap_or_default())?;
    match door.engine.newer(&room, newer).await {
        Ok(history) => Ok((answer(StatusCode::OK, "application/json", json(&history)), polling)),
        // The shards may end between the beginning of a drain and the question.
        Err(error @ JoinError::Ended) => Err(Refusal::new(503, error.to_string())),
        Err(error) => Err(refusal_of(&error)),
    }
}

/// `after=EPOCH:OFFSET`, `after=OFFSET` or `last=N`; `wait=30s`, `limit=100`.
pub(super) fn newer(query: &str) -> Result<Newer, Refusal> {
    let start = match (query::decoded(query, "after")?, query::last(query)?) {
        (None, None) => Start::Live,
        (None, Some(last)) => last,
        (Some(_), Some(_)) => return Err(Refusal::new(400, "either after or last, not both")),
        (Some(after), None) if after.contains(':') => Start::After(query::position("after", &after)?),
        (Some(after), None) => {
            let is_number = after.bytes().all(|byte| byte.is_ascii_digit());
            let offset = after.parse().ok().filter(|_| is_number);
            Start::AfterOffset(offset.ok_or_else(|| Refusal::new(400, "after is EPOCH:OFFSET or OFFSET"))?)
        }
    };
    let wait = match query::value(query, "wait") {
        None => Duration::ZERO,
        Some(text) => duration(text)
            .filter(|wait| *wait <= WAIT_MAX)
            .ok_or_else(|| Refusal::new(400, format!("wait is 0s to {}s, like 30s or 500ms", WAIT_MAX.as_secs())))?,
    };
    let limit = match query::value(query, "limit") {
        None => LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Refusal::new(400, format!("limit is 1 to {LIMIT_MAX}")))?,
    };
    Ok(Newer { start, limit, wait })
}

fn json(history: &History) -> Bytes {
    let (mut out, epoch) = (Vec::new(), history.epoch.to_string());
    let mut object = Object::open(&mut out);
    string(object.key("epoch"), &epoch);
    // Where to go on: behind the last one that is here.
    let offset = history.records.last().map_or(history.offset, |record| record.offset);
    decimal(object.key("offset"), offset);
    object.key("recovered").extend_from_slice(if history.complete { b"true" } else { b"false" });
    let list = object.key("publications");
    list.push(b'[');
    for (index, record) in history.records.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        let view = record.view();
        publication::object(list, &view);
    }
    list.push(b']');
    object.close();
    out.push(b'\n');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let read = |query: &str| newer(query).map(|it| (it.start, it.limit, it.wait)).map_err(|error| error.status);
        let position = "1f:7".parse().unwrap();
        for (query, start, limit, wait_ms) in [
            ("", Start::Live, 100, 0),
            ("after=1f:7", Start::After(position), 100, 0),
            ("after=1f%3A7&wait=30s", Start::After(position), 100, 30_000),
            ("after=0", Start::AfterOffset(0), 100, 0),
            ("last=3&wait=1s", Start::Last(3), 100, 1_000),
            ("wait=60s&limit=1000", Start::Live, 1_000, 60_000),
            ("wait=500ms&limit=1&x=y", Start::Live, 1, 500),
        ] {
            assert_eq!(read(query), Ok((start, limit, Duration::from_millis(wait_ms))), "{query}");
        }
        let bad = [
            "after=",
            "after=x",
            "after=-1",
            "after=1f:",
            "after=1:1:1",
            "after=99999999999999999999",
            "after=7&last=1",
            "last=",
            "last=-1",
            "last=x",
            "wait=61s",
            "wait=",
            "wait=-1s",
            "wait=1d",
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=x",
            "after=%ff",
        ];
        for query in bad {
            assert_eq!(read(query), Err(400), "{query}");
        }
    }
}
