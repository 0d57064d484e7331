//! The data path, in flow order.
//!
//! ```text
//! admission · directory        may it come in; which room
//! joins · command · inbox      how anything reaches a shard
//! shard                        one turn of the loop: start reading here
//! membership · heartbeat      a connection comes, stays
//! ending · drain              and goes
//! inbound                      a socket's bytes → publications
//! session                      a connection in many rooms
//! home · outbox · post         a room's order; one entry per shard and turn; what is in it
//! feed · compressor            what a member gets of it, encoded once
//! history · newer              what is kept for those who come back; who waits for more
//! asking · asked               questions that go the way of publications
//! attendance · roll            who comes and goes; who is there
//! presence · users             what is told of them
//! window · ring · lap          a room on a shard: its bytes, its members, whose turn it is
//! position · ahead             where somebody goes on; who is ahead of this shard waits
//! fanout · connection          the hot loop; one send per member
//! socket · thread              the kernel
//! ```

pub mod room;
pub mod settings;

mod admission;
mod adoption;
mod ahead;
mod asked;
mod asking;
mod attendance;
mod clock;
mod command;
mod compressor;
mod connection;
mod directory;
mod drain;
mod ending;
mod fanout;
mod feed;
#[cfg(any(fuzzing, test))]
pub mod fuzzed;
mod handle;
mod heartbeat;
mod history;
mod home;
mod inbound;
mod inbox;
mod joins;
mod lap;
mod membership;
mod metrics;
mod newer;
mod outbox;
mod position;
mod post;
mod presence;
mod ring;
mod roll;
mod session;
mod shard;
#[cfg(test)]
mod simulation;
mod slab;
mod socket;
mod thread;
mod users;
mod window;

pub use admission::{AdmissionError, Permit};
pub use adoption::{Adoption, Membership, Purpose};
pub use command::{Drain, Drained, Keeping, Publication, Published};
pub use directory::RoomsFull;
pub use feed::Encoding;
pub use handle::{Ended, Engine, JoinError, PublishError, StartError, Totals};
pub use history::{History, HistoryQuery, Order, Record};
pub use joins::{Joins, NotJoined};
pub use metrics::{Counter, Counts, Latencies, Snapshot};
pub use newer::Newer;
pub use position::{Epoch, Position, PositionError, Start};
pub use presence::{PresenceStats, Present};
pub use session::NODE as SESSION_NODE;
pub use session::{Identity, SessionTerms, Target, Transport};
