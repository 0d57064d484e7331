//! One call: the methods that there are, what they have in common, and what becomes of a call.

use serde::{Deserialize, Serialize};
use shardcast::engine::room::RoomName;
use shardcast::engine::{Ended, JoinError, PublishError};
use shardcast::protocol::centrifuge::Error;

use super::super::front_door::Door;
use super::super::idempotency::Refused;
use super::{batch, node, publish, rooms, sessions};

/// What a call answers: its result as JSON.
pub(super) type Outcome = Result<Vec<u8>, Failure>;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was understood, and is not possible.
    #[error("{}", .0.message)]
    Error(Error),
    /// It is no call: not JSON, or fields of other types than the method has.
    #[error("{0}")]
    Malformed(#[source] serde_json::Error),
}

macro_rules! methods {
    ($($variant:ident $name:literal,)*) => {
        /// What can be called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Method {
            $($variant,)*
        }

        impl Method {
            /// By name.
            pub(super) const ALL: &[(&str, Self)] = &[$(($name, Self::$variant),)*];
        }
    };
}

methods! {
    Publish "publish",
    Broadcast "broadcast",
    Subscribe "subscribe",
    Unsubscribe "unsubscribe",
    Disconnect "disconnect",
    Refresh "refresh",
    Presence "presence",
    PresenceStats "presence_stats",
    History "history",
    HistoryRemove "history_remove",
    Channels "channels",
    Info "info",
    Rpc "rpc",
    Batch "batch",
}

impl Method {
    pub(super) fn find(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, method)| *method);
        found.ok_or(Failure::Error(Error::METHOD_NOT_FOUND))
    }
}

/// Does what a call says.
pub(super) async fn perform(door: &Door, method: &str, params: &str) -> Outcome {
    match Method::find(method)? {
        Method::Batch => batch::batch(door, read(params)?).await,
        method => perform_one(door, method, params).await,
    }
}

/// The same for every method but `batch`.
pub(super) async fn perform_one(door: &Door, method: Method, params: &str) -> Outcome {
    match method {
        Method::Publish => publish::publish(door, read(params)?).await,
        Method::Broadcast => publish::broadcast(door, read(params)?).await,
        Method::Subscribe => sessions::subscribe(door, read(params)?).await,
        Method::Unsubscribe => sessions::unsubscribe(door, read(params)?).await,
        Method::Disconnect => sessions::disconnect(door, read(params)?).await,
        Method::Refresh => sessions::refresh(door, read(params)?).await,
        Method::Presence => rooms::presence(door, read(params)?).await,
        Method::PresenceStats => rooms::presence_stats(door, read(params)?).await,
        Method::History => rooms::history(door, read(params)?).await,
        Method::HistoryRemove => rooms::history_remove(door, read(params)?).await,
        Method::Channels => rooms::channels(door, read(params)?),
        Method::Info => {
            let Nothing {} = read(params)?;
            node::info(door).await
        }
        Method::Rpc => {
            let Nothing {} = read(params)?;
            Err(Error::NOT_AVAILABLE.because("rpc: this server calls nobody").into())
        }
        Method::Batch => Err(bad("a batch in a batch")),
    }
}

/// The parameters of a method that has none, or none that matter.
#[derive(Deserialize)]
struct Nothing {}

fn read<'p, P: Deserialize<'p>>(params: &'p str) -> Result<P, Failure> {
    serde_json::from_str(params).map_err(Failure::Malformed)
}

/// A result.
pub(super) fn result(result: &impl Serialize) -> Outcome {
    Ok(serde_json::to_vec(result).expect("a result has text keys only, and a Vec takes everything"))
}

/// The result of a method that has nothing to say.
pub(super) fn done() -> Outcome {
    Ok(b"{}".to_vec())
}

/// Error 107.
pub(super) fn bad(message: impl Into<String>) -> Failure {
    Error::BAD_REQUEST.because(message.into()).into()
}

/// The room that a channel is.
pub(super) fn room(channel: Option<&str>) -> Result<RoomName, Failure> {
    RoomName::new(channel.unwrap_or_default()).map_err(|error| bad(format!("channel: {error}")))
}

pub(super) fn error_json(error: &Error) -> Vec<u8> {
    #[derive(Serialize)]
    struct Shown<'e> {
        code: u32,
        message: &'e str,
    }
    let shown = Shown { code: error.code, message: &error.message };
    serde_json::to_vec(&shown).expect("a number and a text are JSON, and a Vec takes everything")
}

impl Failure {
    /// As an error in an answer.
    pub(super) fn to_error(&self) -> Error {
        match self {
            Self::Error(error) => error.clone(),
            Self::Malformed(error) => Error::BAD_REQUEST.because(error.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Error::INTERNAL.because(ended.to_string()).into()
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Error::INTERNAL.because(error.to_string()).into()
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Engine(error) => error.into(),
            Refused::OtherMessage => bad(refused.to_string()),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLong { .. } | PublishError::NotUtf8 { .. } => bad(error.to_string()),
            // Temporary: the caller tries again.
            _ => Error::INTERNAL.because(error.to_string()).into(),
        }
    }
}
