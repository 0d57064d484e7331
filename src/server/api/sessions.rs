//! What is done with sessions: `subscribe`, `unsubscribe`, `disconnect`, `refresh`.

use serde::Deserialize;
use serde_json::value::RawValue;
use shardcast::engine::{Epoch, Position, Start, Target};
use shardcast::protocol::centrifuge::{Disconnect, Error};
use shardcast::protocol::frame::CLOSE_REASON_BYTES_MAX;

use super::super::front_door::Door;
use super::call::{Failure, Outcome, bad, done, room};

/// Codes that an application may end a session with: those of the protocol and its own.
const CLOSE_CODES: std::ops::RangeInclusive<u16> = 3000..=4999;

#[derive(Deserialize)]
pub(super) struct Subscribe<'p> {
    channel: Option<String>,
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    recover_since: Option<Since>,
    expire_at: Option<i64>,
    #[serde(borrow)]
    info: Option<&'p RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'p RawValue>,
    b64data: Option<String>,
    #[serde(borrow, rename = "override")]
    overridden: Option<&'p RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Since {
    pub(super) offset: Option<u64>,
    pub(super) epoch: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Unsubscribe {
    channel: Option<String>,
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct DisconnectParams {
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    whitelist: Option<Vec<String>>,
    disconnect: Option<Ending>,
}

#[derive(Deserialize)]
struct Ending {
    code: Option<u16>,
    reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Refresh {
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    expired: Option<bool>,
}

pub(super) async fn subscribe(door: &Door, params: Subscribe<'_>) -> Outcome {
    let room = room(params.channel.as_deref())?;
    let target = target(params.user, params.client, params.session)?;
    let refused = [
        ("expire_at", params.expire_at.is_some_and(|at| at != 0)),
        ("info", params.info.is_some()),
        ("b64info", params.b64info.is_some_and(|it| !it.is_empty())),
        ("data", params.data.is_some()),
        ("b64data", params.b64data.is_some_and(|it| !it.is_empty())),
        ("override", params.overridden.is_some()),
    ];
    if let Some((field, _)) = refused.iter().find(|(_, is_there)| *is_there) {
        // Left out, the subscription would not be what the application thinks that it is.
        return Err(Error::NOT_AVAILABLE.because(format!("{field} of a subscription")).into());
    }
    let start = match params.recover_since {
        None => Start::Live,
        Some(Since { offset, epoch }) => {
            let (offset, epoch) = (offset.unwrap_or_default(), epoch.unwrap_or_default());
            match Epoch::parse(&epoch) {
                _ if epoch.is_empty() => Start::AfterOffset(offset),
                Ok(epoch) => Start::After(Position { epoch, offset }),
                Err(_) => return Err(Error::UNRECOVERABLE_POSITION.into()),
            }
        }
    };
    door.engine.subscribe(target, &room, start).await?;
    done()
}

pub(super) async fn unsubscribe(door: &Door, params: Unsubscribe) -> Outcome {
    let room = room(params.channel.as_deref())?;
    let target = target(params.user, params.client, params.session)?;
    door.engine.unsubscribe(target, &room).await?;
    done()
}

pub(super) async fn disconnect(door: &Door, params: DisconnectParams) -> Outcome {
    let mut target = target(params.user, params.client, params.session)?;
    target.spared = params.whitelist.unwrap_or_default();
    let (actual, limit) = (target.spared.len(), door.config.api.channels_max);
    if actual > limit {
        return Err(bad(format!("whitelist of {actual} clients, api.channels_max is {limit}")));
    }
    let ending = params.disconnect.unwrap_or(Ending { code: None, reason: None });
    let usual = Disconnect::FORCE_NO_RECONNECT;
    let code = ending.code.filter(|code| *code != 0).unwrap_or(usual.code);
    let reason = ending.reason.unwrap_or_else(|| usual.reason.to_owned());
    if !CLOSE_CODES.contains(&code) {
        return Err(bad(format!("disconnect.code is {code}, allowed are 3000 to 4999")));
    }
    if reason.len() > CLOSE_REASON_BYTES_MAX {
        let actual = reason.len();
        return Err(bad(format!("disconnect.reason has {actual} bytes, allowed are {CLOSE_REASON_BYTES_MAX}")));
    }
    door.engine.disconnect(target, code, &reason).await?;
    done()
}

/// Nothing here expires by itself, so there is nothing to prolong; but the application may say that it is over.
pub(super) async fn refresh(door: &Door, params: Refresh) -> Outcome {
    let target = target(params.user, params.client, params.session)?;
    if params.expired.unwrap_or_default() {
        let Disconnect { code, reason } = Disconnect::EXPIRED;
        door.engine.disconnect(target, code, reason).await?;
    }
    done()
}

/// The sessions that fit all that is said; nothing said would mean everybody's, which nobody means.
fn target(user: Option<String>, client: Option<String>, session: Option<String>) -> Result<Target, Failure> {
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let target =
        Target { user: said(user).map(Into::into), client: said(client), session: said(session), ..Target::default() };
    if target.user.is_none() && target.client.is_none() && target.session.is_none() {
        return Err(bad("neither user nor client nor session"));
    }
    Ok(target)
}
