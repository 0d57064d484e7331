//! A dialect as `[target]` chooses it: what all its connections share.

use super::target::{self, TargetError};
use super::template::Templates;
use super::url::UrlTemplate;
use super::{Request, Role, Transport};
use crate::scenario::{AdapterKind, Target};

/// What all connections to a target share.
#[derive(Clone, Debug)]
pub struct Dialect {
    url: UrlTemplate,
    publish_url: Option<UrlTemplate>,
    headers: Vec<(String, String)>,
    subprotocol: Option<String>,
    pub(super) language: Language,
}

/// Which dialect, with what only it needs.
#[derive(Clone, Debug)]
pub(super) enum Language {
    Raw,
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
        let url = UrlTemplate::parse("target.url", &target.url, target::schemes(target.adapter))?;
        let publish_url = target
            .publish_url
            .as_deref()
            .map(|url| UrlTemplate::parse("target.publish_url", url, target::publish_schemes(target.publish)));
        let language = match target.adapter {
            AdapterKind::Raw => Language::Raw,
            AdapterKind::Template => Language::Template(Templates::new(target)),
            other => {
                let (value, reason) = (format!("{other:?}"), "not spoken".to_owned());
                return Err(TargetError::Value { field: "target.adapter", value, reason });
            }
        };
        Ok(Self {
            url,
            publish_url: publish_url.transpose()?,
            headers: target.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            subprotocol: target.subprotocol.clone(),
            language,
        })
    }

    /// Everything that is wrong with `target`, in no particular order; nothing means that [`Self::new`] takes it.
    #[must_use]
    pub fn problems(target: &Target) -> Vec<TargetError> {
        target::problems(target)
    }

    /// What carries the deliveries.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        Transport::WebSocket
    }

    /// Whether a subscriber that comes back may be owed what it missed: the dialect has positions. Whether this server
    /// keeps them shows only in [`super::Session::position`].
    #[must_use]
    pub const fn resumes(&self) -> bool {
        false
    }

    /// Whether the server can tell rooms apart; if not, everybody is in one room, whatever `rooms.count` says.
    #[must_use]
    pub fn names_rooms(&self) -> bool {
        self.url.names_rooms()
            || match &self.language {
                Language::Raw => false,
                Language::Template(templates) => templates.names_rooms(),
            }
    }

    pub(super) fn request(&self, room: &str, role: Role) -> Request {
        let url = match (role, &self.publish_url) {
            (Role::Publisher, Some(publish_url)) => publish_url,
            _ => &self.url,
        };
        Request { url: url.of_room(room), headers: self.headers.clone(), subprotocol: self.subprotocol.clone() }
    }
}
