//! shardcast: a sharded WebSocket broadcast engine.
//!
//! Connections are put into rooms; whatever is published into a room is delivered to everyone in it, in one order. The
//! engine runs its own threads (shards), needs no async runtime, and knows nothing of HTTP: whoever embeds it makes the
//! handshake and hands the upgraded stream over with [`Engine::adopt`] (`examples/embed` does so from a hyper server).
//! The `shardcast` binary is this engine behind a front door of its own.
//!
//! ```
//! use std::time::Duration;
//!
//! use shardcast::{Drain, Engine, MessageKind, Published, RoomName, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::start(Settings::default())?;
//!
//! let room = RoomName::new("scores")?;
//! let published = engine.publish(&room, MessageKind::Text, "1:0".into()).await?;
//! let nobody = Published { offset: 1, members: 0, epoch: None };
//! assert_eq!(published, nobody, "nobody is in the room, and it has no history");
//! assert_eq!((engine.members(&room), engine.totals().connections), (0, 0));
//!
//! // Everybody is told to come back (1012), spread over this time; here is nobody to be told.
//! let drained = engine.shutdown(Drain::from(Duration::from_millis(100))).await;
//! assert_eq!((drained.closed, drained.aborted), (0, 0));
//! engine.wait()?;
//! # Ok(())
//! # }
//! ```

pub mod engine;
pub mod protocol;

// The fuzz targets (`fuzz/`) reach the binary's decoders as parts of the library.
#[cfg(fuzzing)]
mod client;
#[cfg(fuzzing)]
mod server;

#[cfg(fuzzing)]
extern crate self as shardcast;
#[cfg(fuzzing)]
pub use server::fuzzed;

// Start, and every bound and default.
#[doc(inline)]
pub use engine::settings::{
    ClientPublish, Deflate, DeflateMode, Echo, Heartbeat, LagPolicy, Limits, Pinning, RoomClass, RoomSettings,
    SHARDS_MAX, Settings,
};
#[doc(inline)]
pub use engine::{Engine, StartError};

// Let connections in.
#[doc(inline)]
pub use engine::{
    AdmissionError, Adoption, Encoding, JoinError, Joins, Membership, NotJoined, Permit, Purpose, RoomsFull,
};

#[doc(inline)]
pub use engine::settings::{Delta, Presence, PresenceEvents, Recovery, SessionSettings};
#[doc(inline)]
pub use engine::{Identity, SessionTerms, Target, Transport};

// Publish.
#[doc(inline)]
pub use engine::room::{ROOM_NAME_BYTES_MAX, RoomName, RoomNameError};
#[doc(inline)]
pub use engine::{Ended, Keeping, Publication, PublishError, Published};

// Look back.
#[doc(inline)]
pub use engine::{Epoch, History, HistoryQuery, Newer, Order, Position, PositionError, Record, Start};
#[doc(inline)]
pub use engine::{PresenceStats, Present};
#[doc(inline)]
pub use protocol::frame::MessageKind;

// Look.
#[doc(inline)]
pub use engine::{Counter, Counts, Latencies, Snapshot, Totals};

// End.
#[doc(inline)]
pub use engine::{Drain, Drained};
