//! A dialect as `[target]` chooses it: what all its connections share.

use super::http_publish::HttpPublish;
use super::target::{self, TargetError};
use super::template::Templates;
use super::url::UrlTemplate;
use super::{Request, Role, Transport, nats, pusher, shardcast};
use crate::scenario::{AdapterKind, Format, PublishVia, Target};

/// What all connections to a target share.
#[derive(Clone, Debug)]
pub struct Dialect {
    url: UrlTemplate,
    publish_url: Option<UrlTemplate>,
    headers: Vec<(String, String)>,
    subprotocol: Option<String>,
    publish: PublishVia,
    pub(super) language: Language,
}

/// Which dialect, with what only it needs.
#[derive(Clone, Debug)]
pub(super) enum Language {
    Raw,
    Shardcast,
    Sse,
    Centrifuge,
    Pusher(pusher::Settings),
    Nats,
    Template(Templates),
}

impl Dialect {
    /// The dialect of `target`.
    ///
    /// # Errors
    /// The first mistake in `target`; [`Self::problems`] has all.
    pub fn new(target: &Target) -> Result<Self, TargetError> {
        if let Some(problem) = target::problems(target).into_iter().next() {
            return Err(problem);
        }
        let language = match target.adapter {
            AdapterKind::Raw => Language::Raw,
            AdapterKind::Shardcast => Language::Shardcast,
            AdapterKind::Sse => Language::Sse,
            AdapterKind::Centrifuge => Language::Centrifuge,
            AdapterKind::Pusher => Language::Pusher(pusher::Settings::new(target)),
            AdapterKind::Nats => Language::Nats,
            AdapterKind::Template => Language::Template(Templates::new(target)),
        };
        let whole = |url: &str| match &language {
            Language::Pusher(settings) if url.starts_with("ws://") => pusher::full_url(url, settings),
            _ => url.to_owned(),
        };
        let publish_url = target
            .publish_url
            .as_deref()
            .map(|url| UrlTemplate::parse("target.publish_url", &whole(url), target::publish_schemes(target.publish)));
        Ok(Self {
            url: UrlTemplate::parse("target.url", &whole(&target.url), target::schemes(target.adapter))?,
            publish_url: publish_url.transpose()?,
            headers: target.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            subprotocol: target.subprotocol.clone(),
            publish: target.publish,
            language,
        })
    }

    /// Everything that is wrong with `target`, in no particular order; nothing means that [`Self::new`] takes it.
    #[must_use]
    pub fn problems(target: &Target) -> Vec<TargetError> {
        target::problems(target)
    }

    /// Whether `format` can be carried.
    ///
    /// # Errors
    /// Binary payloads over a dialect of text.
    pub fn check_format(&self, format: Format) -> Result<(), TargetError> {
        match (&self.language, format) {
            (Language::Raw | Language::Shardcast | Language::Nats, _) | (_, Format::Text | Format::Json) => Ok(()),
            (_, Format::Binary) => {
                let reason = "target.adapter carries text only".to_owned();
                Err(TargetError::Value { field: "payload.format", value: "binary".to_owned(), reason })
            }
        }
    }

    /// Whether the dialect has rooms of this name, and can do in them what `[target]` asks for.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn check_room(&self, room: &str) -> Result<(), TargetError> {
        let reason = match &self.language {
            Language::Raw | Language::Shardcast | Language::Sse | Language::Template(_) | Language::Centrifuge => {
                room.is_empty().then(|| "a room has a name".to_owned())
            }
            Language::Nats => nats::subject_problem(room).map(str::to_owned),
            Language::Pusher(settings) => settings.channel_problem(room),
        };
        match reason {
            None => Ok(()),
            Some(reason) => Err(TargetError::Value { field: "rooms.name", value: room.to_owned(), reason }),
        }
    }

    /// What carries the deliveries.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.language {
            Language::Sse => Transport::EventStream,
            _ => Transport::WebSocket,
        }
    }

    /// Whether a subscriber that comes back may be owed what it missed: the dialect has positions. Whether this server
    /// keeps them shows only in [`super::Session::position`].
    #[must_use]
    pub const fn resumes(&self) -> bool {
        matches!(self.language, Language::Shardcast | Language::Sse | Language::Centrifuge)
    }

    /// Whether the server can tell rooms apart; if not, everybody is in one room, whatever `rooms.count` says.
    #[must_use]
    pub fn names_rooms(&self) -> bool {
        match &self.language {
            Language::Raw | Language::Shardcast | Language::Sse => self.url.names_rooms(),
            Language::Template(templates) => self.url.names_rooms() || templates.names_rooms(),
            Language::Centrifuge | Language::Pusher(_) | Language::Nats => true,
        }
    }

    /// How publications to `room` are posted; nothing if publishers use connections.
    #[must_use]
    pub fn http_publish(&self, room: &str, format: Format) -> Option<HttpPublish> {
        let url = self.publish_url.as_ref().filter(|_| self.publish == PublishVia::Http)?.of_room(room);
        Some(HttpPublish::new((url, &self.headers), &self.language, room, format))
    }

    pub(super) fn request(&self, room: &str, role: Role) -> Request {
        let url = match (role, &self.publish_url) {
            (Role::Publisher, Some(publish_url)) if self.publish == PublishVia::Connection => publish_url,
            _ => &self.url,
        };
        let own = matches!(self.language, Language::Shardcast).then(|| shardcast::SUBPROTOCOL.to_owned());
        let subprotocol = self.subprotocol.clone().or(own);
        Request { url: url.of_room(room), headers: self.headers.clone(), subprotocol }
    }
}
