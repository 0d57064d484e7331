//! What is handed over with a connection that the engine is to take for life.

use std::net::TcpStream;

use super::feed::Encoding;
use super::position::Start;
use super::room::RoomName;
use super::session::{Identity, SessionTerms};
use super::settings::Echo;
use crate::protocol::deflate::Agreed;

/// A connection that the engine is to take for life.
#[derive(Debug)]
pub struct Adoption {
    /// Connected; behind the handshake, or before its answer if there is a `greeting`.
    pub stream: TcpStream,
    /// Bytes that were read from the stream behind the handshake.
    pub unread: Vec<u8>,
    /// Sent once the connection is a member: the answer to the handshake, unless that was given already.
    pub greeting: Vec<u8>,
    /// What its handshake agreed on as to compression: [`negotiate`](crate::protocol::deflate::negotiate), with the
    /// window of the engine's settings. `None`: nothing.
    pub deflate: Option<Agreed>,
    /// What it is to be.
    pub purpose: Purpose,
}

/// What a connection is to be.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// A member of one room.
    Member(Membership),
    /// Of as many rooms as it says, in the words of the centrifuge protocol.
    Session(SessionTerms),
}

/// How a connection is a member of one room.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The room.
    pub room: RoomName,
    /// In which form it gets publications.
    pub encoding: Encoding,
    /// Where it begins.
    pub start: Start,
    /// Whether its own messages come back to it.
    pub echo: Echo,
    /// Whose it is. Anonymous ones are counted, but not listed among those who are present.
    pub identity: Identity,
}

impl Membership {
    /// A raw member, live and anonymous.
    #[must_use]
    pub fn raw(room: RoomName) -> Self {
        Self { room, encoding: Encoding::Raw, start: Start::Live, echo: Echo::On, identity: Identity::default() }
    }
}

impl From<SessionTerms> for Purpose {
    fn from(terms: SessionTerms) -> Self {
        Self::Session(terms)
    }
}

impl From<Membership> for Purpose {
    fn from(membership: Membership) -> Self {
        Self::Member(membership)
    }
}

impl Adoption {
    /// A stream behind its handshake, of which nothing more has been read.
    #[must_use]
    pub fn new(stream: TcpStream, purpose: impl Into<Purpose>) -> Self {
        Self { stream, unread: Vec::new(), greeting: Vec::new(), deflate: None, purpose: purpose.into() }
    }
}
