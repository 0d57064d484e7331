//! What a member of a room gets: its publications, or who comes and goes, in one encoding.
//!
//! Members that get the same bytes share a window: on a shard, a room is as many [`LocalRoom`](super::ring::LocalRoom)s
//! as there are feeds in use. A publication is encoded once per feed and node, by the room's home.

use std::time::Duration;

use super::compressor::Compressor;
use super::position::{Began, Epoch, Position};
use super::presence::Way;
use super::settings::{LagPolicy, Presence, RoomSettings};
use crate::protocol::centrifuge::publication::{ClientInfo, PublicationView};
use crate::protocol::centrifuge::texts::Texts;
use crate::protocol::centrifuge::{push, stream};
use crate::protocol::event_stream::{self, Begin};
use crate::protocol::frame::{self, Coding, MessageKind};
use crate::protocol::v1;

/// The form in which a member gets a room's publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// A WebSocket message is the payload and nothing else.
    #[default]
    Raw,
    /// The WebSocket subprotocol `shardcast.v1`: a header line with the position, then the payload.
    V1,
    /// Server-sent events, in HTTP chunks.
    EventStream,
    /// Pushes of the centrifuge protocol, over WebSocket.
    Centrifuge,
    /// The same as server-sent events.
    CentrifugeEvents,
    /// The same as lines, in HTTP chunks.
    CentrifugeLines,
}

/// What of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Content {
    /// Its publications.
    Publications,
    /// Who comes and goes: for sessions.
    Presence,
}

/// How a publication's payload stands in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As the encoding has it.
    Value,
    /// As a string of its text, for sessions that are to get changes and have nothing yet: see `session::changes`.
    Whole,
    /// As a string of what has changed since the publication before, or of its text where that is no longer.
    Changed,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Feed {
    pub(crate) encoding: Encoding,
    pub(crate) content: Content,
    /// Of publications over the centrifuge protocol only.
    pub(crate) form: Form,
    /// Whether its frames are compressed.
    pub(crate) coding: Coding,
}

/// One publication, as it is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encodable<'p> {
    pub(crate) room: &'p str,
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
    pub(crate) kind: MessageKind,
    pub(crate) payload: &'p [u8],
    /// Of this payload, for feeds in a form that has one.
    pub(crate) texts: &'p Texts,
    /// JSON objects.
    pub(crate) tags: Option<&'p str>,
    pub(crate) info: Option<&'p str>,
    /// When it was published, milliseconds since 1970; 0: not to be said.
    pub(crate) time_ms: u64,
    /// Whether the room has a history, so that its positions are worth telling.
    pub(crate) keeps: bool,
}

impl Encoding {
    /// What a member is told before anything else, if the encoding has words for that: how it begins, and where.
    pub(crate) fn greet(self, out: &mut Vec<u8>, began: Began, position: Position) {
        match self {
            Self::Raw => {}
            Self::V1 => v1::state_frame(out, position.epoch.text().as_str(), position.offset, began.into()),
            Self::EventStream => {
                out.extend_from_slice(event_stream::RETRY);
                let begin = match began {
                    Began::Live => Begin::Live,
                    Began::Lost => Begin::Lost,
                    Began::Recovered => return,
                };
                event_stream::begin(out, begin, position.epoch.text().as_str(), position.offset);
            }
            // A session says so in its answers to commands.
            Self::Centrifuge | Self::CentrifugeEvents | Self::CentrifugeLines => {}
        }
    }

    /// What stands in a window in the place of a publication that is not kept: some bytes, for a place has some, which
    /// every client passes over. (An unsolicited pong, RFC 6455 §5.5.3; a comment; a blank in front of an object.)
    pub(crate) const fn nothing(self) -> &'static [u8] {
        match self {
            Self::Raw | Self::V1 | Self::Centrifuge => b"\x8a\x00",
            Self::EventStream | Self::CentrifugeEvents => event_stream::COMMENT,
            Self::CentrifugeLines => b"1\r\n \r\n",
        }
    }

    /// Appends a push of the centrifuge protocol as one frame.
    fn encode_push(self, out: &mut Vec<u8>, push: &[u8]) {
        match self {
            Self::Centrifuge => frame::encode_message(out, MessageKind::Text, push),
            Self::CentrifugeEvents => stream::event_chunk(out, push),
            Self::CentrifugeLines => stream::lines_chunk(out, push),
            Self::Raw | Self::V1 | Self::EventStream => {}
        }
    }

    /// Whether those who get it are in many rooms at once, each with its subscription: see [`super::session`].
    #[inline]
    pub(crate) const fn is_multiplexed(self) -> bool {
        matches!(self, Self::Centrifuge | Self::CentrifugeEvents | Self::CentrifugeLines)
    }

    /// Whether it goes over an HTTP answer without end, rather than over a WebSocket.
    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::EventStream | Self::CentrifugeEvents | Self::CentrifugeLines)
    }

    /// Whether [`Encoding::greet`] can say that what somebody missed is lost.
    pub(crate) const fn tells_lost(self) -> bool {
        !matches!(self, Self::Raw)
    }
}

/// Moves are gathered for so long: who comes and goes may be told a little later, and with others.
const MOVES_COALESCE: Duration = Duration::from_millis(100);

impl Feed {
    /// How a room behaves towards those who have this feed: of moves nothing is kept, and nothing is owed.
    pub(crate) fn settings(self, room: &RoomSettings) -> RoomSettings {
        match self.content {
            Content::Publications => room.clone(),
            Content::Presence => RoomSettings {
                lag: LagPolicy::Skip,
                coalesce: room.coalesce.max(MOVES_COALESCE),
                history_count_max: 0,
                presence: Presence::Off,
                ..room.clone()
            },
        }
    }

    pub(crate) const fn publications(encoding: Encoding, coding: Coding) -> Self {
        Self { encoding, content: Content::Publications, form: Form::Value, coding }
    }

    /// The same in another form.
    pub(crate) const fn in_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// Whether somebody who comes back may find here what it missed: of changes nothing is kept.
    pub(crate) fn is_kept(self) -> bool {
        self.content == Content::Publications && self.form != Form::Changed
    }

    /// Appends a publication as one frame. O(payload), but for compressed ones about 10 µs and more: see
    /// [`Deflater`](crate::protocol::deflate::Deflater).
    pub(crate) fn encode(self, out: &mut Vec<u8>, publication: &Encodable<'_>, compressor: &mut Compressor) {
        match self.coding {
            Coding::Plain => self.encode_plain(out, publication),
            Coding::Deflated => compressor.encode(out, |out| self.encode_plain(out, publication)),
        }
    }

    fn encode_plain(self, out: &mut Vec<u8>, publication: &Encodable<'_>) {
        let Encodable { epoch, offset, kind, payload, .. } = *publication;
        match self.encoding {
            Encoding::Raw => frame::encode_message(out, kind, payload),
            Encoding::V1 => v1::publication_frame(out, epoch.text().as_str(), offset, kind, payload),
            Encoding::EventStream => {
                let position = Position { epoch, offset }.to_string();
                event_stream::publication(out, &position, kind, payload);
            }
            Encoding::Centrifuge | Encoding::CentrifugeEvents | Encoding::CentrifugeLines => {
                self.encoding.encode_push(out, &publication.push(self.form));
            }
        }
    }

    /// Appends that somebody came into a room or left it, as one frame; nothing if the encoding has no words for that.
    pub(crate) fn encode_move(self, out: &mut Vec<u8>, room: &str, way: Way, info: &ClientInfo<'_>) {
        let mut push = Vec::with_capacity(192);
        match way {
            Way::In => push::join(&mut push, room, info),
            Way::Out => push::leave(&mut push, room, info),
        }
        self.encoding.encode_push(out, &push);
    }
}

impl Encodable<'_> {
    /// As a push of the centrifuge protocol.
    fn push(&self, form: Form) -> Vec<u8> {
        let Self { room, offset, kind, payload, texts, tags, info, keeps, time_ms, .. } = *self;
        let offset = if keeps { offset } else { 0 };
        let mut push = Vec::with_capacity(payload.len() + 128);
        let view = PublicationView { offset, kind, payload, time_ms, tags, info };
        match form {
            Form::Value => push::publication(&mut push, room, &view),
            Form::Whole => push::publication_with(&mut push, room, &view, texts.whole()),
            Form::Changed => push::publication_with(&mut push, room, &view, texts.changed()),
        }
        push
    }
}
