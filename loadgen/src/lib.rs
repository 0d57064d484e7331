//! loadgen: a load generator for servers that broadcast messages to rooms.
//!
//! It talks only the wire, so it measures any server, and shares no code with shardcast. The way of a run:
//!
//! ```text
//! scenario → plan → schedule → publishers ─→ the server ─→ subscribers → stamp → ledger, spread → recorder
//!                                                                                                    │
//!      record (results/) ← output (JSON, HTML, .hlog, .hgrm, CSV) ← verdict ← outcome::Run ←─────────┘
//! ```
//!
//! Three rules make its figures honest. Latency counts from when a message was *due*, not from when it was sent, so a
//! generator or server that stalls shows it (no coordinated omission). Every payload carries who sent it, its sequence
//! number and a checksum, so every delivery is accounted for, and a lost one is censored at the timeout, not absent.
//! And the generator judges itself: a run in which it was late or busy is invalid, not slow.

pub mod adapter;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod compare;
pub mod drive;
pub mod exit;
pub mod fan_out;
pub mod ledger;
pub mod live;
pub mod machine;
pub mod metrics_page;
pub mod nearest;
pub mod outcome;
pub mod output;
pub mod payload;
pub mod record;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod scratch;
pub mod search;
pub mod seats;
pub mod seed;
pub mod stamp;
pub mod thresholds;
pub mod workers;
