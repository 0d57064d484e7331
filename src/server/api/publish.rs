//! `publish` and `broadcast`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shardcast::engine::room::RoomName;
use shardcast::engine::{Keeping, Publication};
use shardcast::protocol::centrifuge::Error;
use shardcast::protocol::frame::MessageKind;

use super::super::front_door::Door;
use super::super::idempotency::KEY_BYTES_MAX;
use super::batch;
use super::call::{Failure, Outcome, bad, result, room};

/// The parameters of both: `publish` has a `channel`, `broadcast` has `channels`.
#[derive(Deserialize)]
pub(super) struct Publish<'p> {
    channel: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    data: Option<&'p RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: Option<String>,
    version: Option<u64>,
}

/// What is published, and under which key it may be repeated.
#[derive(Clone)]
struct Order {
    publication: Publication,
    key: Option<Arc<str>>,
}

#[derive(Serialize)]
struct PublishResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
}

pub(super) async fn publish(door: &Door, params: Publish<'_>) -> Outcome {
    let room = room(params.channel.as_deref())?;
    result(&publish_into(door, room, order(door, &params)?).await?)
}

pub(super) async fn broadcast(door: &Door, params: Publish<'_>) -> Outcome {
    let order = order(door, &params)?;
    let channels = params.channels.unwrap_or_default();
    let limit = door.config.api.channels_max;
    match channels.len() {
        0 => return Err(bad("channels is empty")),
        actual if actual > limit => return Err(bad(format!("{actual} channels, api.channels_max is {limit}"))),
        _ => {}
    }
    let responses = batch::side_by_side(channels, |channel| {
        let (door, order) = (door.clone(), order.clone());
        async move {
            let published = async { publish_into(&door, room(Some(&channel))?, order).await };
            match published.await.and_then(|published| result(&published)) {
                Ok(result) => super::wrapped("result", &result),
                Err(failure) => super::wrapped("error", &super::call::error_json(&failure.to_error())),
            }
        }
    });
    let responses = responses.await?;
    Ok(super::wrapped("responses", &batch::array(&responses)))
}

async fn publish_into(door: &Door, room: RoomName, order: Order) -> Result<PublishResult, Failure> {
    let Order { publication, key } = order;
    let keeps = door.engine.settings().for_room(room.as_str()).has_history();
    let published = door.idempotency.publish(&door.engine, room, key.as_deref(), publication).await?;
    // A room without history has no position that would be worth anything to the caller.
    let kept = keeps.then_some(published);
    Ok(PublishResult {
        offset: kept.map(|it| it.offset),
        epoch: kept.and_then(|it| it.epoch).map(|epoch| epoch.to_string()),
    })
}

fn order(door: &Door, params: &Publish<'_>) -> Result<Order, Failure> {
    let (kind, payload) = match (params.data, &params.b64data) {
        (Some(data), None) => (MessageKind::Text, Bytes::copy_from_slice(data.get().as_bytes())),
        (_, Some(b64data)) if !b64data.is_empty() => {
            let bytes = BASE64.decode(b64data).map_err(|error| bad(format!("b64data: {error}")))?;
            (MessageKind::Binary, bytes.into())
        }
        (Some(data), Some(_)) => (MessageKind::Text, Bytes::copy_from_slice(data.get().as_bytes())),
        (None, _) => return Err(bad("neither data nor b64data")),
    };
    if params.version.unwrap_or_default() != 0 {
        // To publish it all the same could put an old state over a newer one.
        return Err(Error::NOT_AVAILABLE.because("version: this server does not compare versions").into());
    }
    let tags = params.tags.as_ref().filter(|tags| !tags.is_empty());
    let tags: Option<Arc<str>> =
        tags.map(|tags| serde_json::to_string(tags).expect("texts are JSON, and a String takes everything").into());
    let limit = door.config.engine.limits.message_bytes_max;
    let actual = payload.len() + tags.as_ref().map_or(0, |tags| tags.len());
    if actual > limit {
        let reason = format!("data and tags have {actual} bytes, limits.message_bytes_max is {limit}");
        return Err(bad(reason));
    }
    let key = params.idempotency_key.as_deref().filter(|key| !key.is_empty());
    if key.is_some_and(|key| key.len() > KEY_BYTES_MAX) {
        return Err(bad(format!("idempotency_key is longer than {KEY_BYTES_MAX} bytes")));
    }
    let keeping = if params.skip_history.unwrap_or_default() { Keeping::Passing } else { Keeping::Kept };
    let publication = Publication { kind, payload, tags, info: None, keeping };
    Ok(Order { publication, key: key.map(Arc::from) })
}
