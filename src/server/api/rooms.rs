//! What is known of rooms: `presence`, `presence_stats`, `history`, `history_remove`, `channels`.

use serde::{Deserialize, Serialize};
use shardcast::engine::room::RoomName;
use shardcast::engine::{Epoch, History, HistoryQuery, Order, Position};
use shardcast::protocol::centrifuge::{ClientInfo, Error, publication};
use shardcast::protocol::json::{Object, decimal, string};

use super::super::front_door::Door;
use super::call::{Failure, Outcome, bad, done, result, room};
use super::glob::Glob;
use super::sessions::Since;

/// Bytes of publications in one answer to `history`: a caller goes on behind the last that it got.
const HISTORY_ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
pub(super) struct OfChannel {
    channel: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct HistoryParams {
    channel: Option<String>,
    limit: Option<i64>,
    since: Option<Since>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Channels {
    pattern: Option<String>,
}

#[derive(Serialize)]
struct Stats {
    num_clients: u32,
    num_users: u32,
}

pub(super) async fn presence(door: &Door, params: OfChannel) -> Outcome {
    let room = room(params.channel.as_deref())?;
    let members = door.engine.presence(&room).await?.ok_or_else(no_presence)?;
    let mut presence = Vec::new();
    let mut object = Object::open(&mut presence);
    for member in &members {
        let conn_info = member.info.as_deref();
        let info = ClientInfo { user: &member.user, client: &member.client, conn_info, chan_info: None };
        publication::client_info(object.any_key(&member.client), &info);
    }
    object.close();
    Ok(super::wrapped("presence", &presence))
}

pub(super) async fn presence_stats(door: &Door, params: OfChannel) -> Outcome {
    let room = room(params.channel.as_deref())?;
    let stats = door.engine.presence_stats(&room).await?;
    result(&Stats { num_clients: stats.clients, num_users: stats.users })
}

fn no_presence() -> Failure {
    Error::NOT_AVAILABLE.because("the room keeps no presence").into()
}

pub(super) async fn history(door: &Door, params: HistoryParams) -> Outcome {
    let room = room_with_history(door, params.channel.as_deref())?;
    // 0: only where the room stands; less: all that there is.
    let limit = usize::try_from(params.limit.unwrap_or_default()).unwrap_or(usize::MAX);
    let order = if params.reverse.unwrap_or_default() { Order::Backward } else { Order::Forward };
    let since = match &params.since {
        None => None,
        Some(since) => Some(position(door, &room, since).await?),
    };
    let found = door.engine.history(&room, HistoryQuery { since, limit, order }).await?;
    match (found, since) {
        (Some(history), Some(since)) if history.epoch != since.epoch => Err(Error::UNRECOVERABLE_POSITION.into()),
        (Some(history), _) => Ok(page(&history)),
        // Nobody is there, nothing is kept: the room's next epoch is yet to begin.
        (None, None) => Ok(br#"{"publications":[],"offset":0,"epoch":""}"#.to_vec()),
        (None, Some(_)) => Err(Error::UNRECOVERABLE_POSITION.into()),
    }
}

pub(super) async fn history_remove(door: &Door, params: OfChannel) -> Outcome {
    let room = room_with_history(door, params.channel.as_deref())?;
    door.engine.forget_history(&room).await?;
    done()
}

fn room_with_history(door: &Door, channel: Option<&str>) -> Result<RoomName, Failure> {
    let room = room(channel)?;
    if !door.engine.settings().for_room(room.as_str()).has_history() {
        return Err(Error::NOT_AVAILABLE.because("the room keeps no history: room.history_count_max is 0").into());
    }
    Ok(room)
}

/// A position as callers say it; without an epoch, the present one is meant.
async fn position(door: &Door, room: &RoomName, since: &Since) -> Result<Position, Failure> {
    let offset = since.offset.unwrap_or_default();
    let epoch = match since.epoch.as_deref().unwrap_or_default() {
        "" => {
            let now = door.engine.history(room, HistoryQuery::default()).await?;
            now.map(|now| now.epoch).ok_or(Error::UNRECOVERABLE_POSITION)?
        }
        epoch => Epoch::parse(epoch).map_err(|_| Error::UNRECOVERABLE_POSITION)?,
    };
    Ok(Position { epoch, offset })
}

fn page(history: &History) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    let publications = object.key("publications");
    publications.push(b'[');
    let start = publications.len();
    for record in &history.records {
        if publications.len() - start > HISTORY_ANSWER_BYTES_MAX {
            break;
        }
        if publications.len() > start {
            publications.push(b',');
        }
        let view = record.view();
        publication::object(publications, &view);
    }
    publications.push(b']');
    decimal(object.key("offset"), history.offset);
    string(object.key("epoch"), &history.epoch.to_string());
    object.close();
    out
}

pub(super) fn channels(door: &Door, params: Channels) -> Outcome {
    let pattern = params.pattern.filter(|pattern| !pattern.is_empty());
    let glob = pattern.as_deref().map(Glob::new).transpose().map_err(|error| bad(format!("pattern: {error}")))?;
    let mut channels = Vec::new();
    let mut object = Object::open(&mut channels);
    for (room, members) in door.engine.rooms() {
        // A room may be there without members, for what it keeps.
        if members == 0 || glob.as_ref().is_some_and(|glob| !glob.matches(room.as_str())) {
            continue;
        }
        let mut counts = Object::open(object.any_key(room.as_str()));
        counts.number("num_clients", members);
        counts.close();
    }
    object.close();
    Ok(super::wrapped("channels", &channels))
}
