//! The binary's decoders, as the fuzz targets call them.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use shardcast::engine::settings::Pinning;
use shardcast::engine::{Engine, Newer, Purpose, Start};
use shardcast::protocol::deflate::WindowBits;
use tokio::sync::watch;

use super::config::{AllowedOrigins, Config, Flag, Sources, load};
use super::front_door::{Door, Reach, Stage};
use super::handshake::{self, Accepted, Head, HeadLimits, Terms};
use super::{api, long_poll, query};

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
    let origins = &AllowedOrigins::Listed(Vec::new());
    let terms = Terms { limits, origins, deflate: Some(WindowBits::default()), reach: Reach::Loopback };
    match handshake::judge(bytes, terms) {
        Head::Partial => Judged::Partial,
        Head::Http => Judged::Http,
        Head::Accepted(Accepted { purpose, answer, len_bytes, .. }) => {
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

/// What a long poll asks for, by its query. `None`: refused.
#[must_use]
pub fn newer(query: &str) -> Option<Newer> {
    long_poll::newer(query).ok()
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

/// The server API on an engine with one shard.
pub struct Api {
    runtime: tokio::runtime::Runtime,
    door: Door,
    _stage: watch::Sender<Stage>,
}

impl Api {
    /// Starts an engine that keeps little, however many calls come.
    ///
    /// # Panics
    /// There is no thread or no file left.
    #[must_use]
    pub fn start() -> Self {
        let mut config = Config::default();
        config.engine.shards = NonZeroUsize::new(1);
        config.engine.pinning = Pinning::Off;
        config.engine.limits.rooms_max = 32;
        config.engine.room.history_count_max = 4;
        config.api.idempotency_keys_max = 16;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let engine = Engine::start(config.engine.clone()).expect("an engine");
        let (stage, receiver) = watch::channel(Stage::Serving);
        Self { runtime, door: Door::new(engine, Arc::new(config), receiver), _stage: stage }
    }

    /// Answers a call: status and body.
    #[must_use]
    pub fn call(&self, method: Option<&str>, body: &[u8]) -> (u16, Bytes) {
        self.runtime.block_on(async {
            match api::call(method, body, &self.door).await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let Ok(body) = answer.into_body().collect().await;
                    (status, body.to_bytes())
                }
                Err(refusal) => (refusal.status, Bytes::from(refusal.reason.into_owned())),
            }
        })
    }
}
