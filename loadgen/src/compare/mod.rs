//! The regression gate: `loadgen compare`.
//!
//! ```text
//! options → gate ─┬─ prepared (worktree, build) → command_bench ─┐
//!                 ├─ simulated ──────────────────────────────────┴→ paired ⇄ rules → text, verdict.json, exit code
//!                 │                                                  ↑↓        ↑
//!                 │                                                trial → noise (aa.toml)
//!                 └─ recorded (two sets of runs) ──────────────────────────→ verdict → text, verdict.json, exit code
//! ```
//!
//! What it rests on. A run is one number per metric: messages of one run are not independent, and tests on them find a
//! difference between a server and itself. Base and candidate run in pairs, and the two runs of a pair at once with
//! messages in turn, since a machine drifts more in an hour, and many a machine more in a second, than a regression is
//! large. Verdicts are about bounds, not about zero, and there are three of them. And the gate is tried
//! on itself: how often it cries wolf is measured, published, and widens its bounds if it is too often.

pub mod bench;
pub mod command_bench;
mod comparison;
pub mod decision;
pub mod gate;
pub mod listener;
pub mod metrics;
pub mod noise;
pub mod options;
pub mod paired;
mod pairing;
mod prepared;
pub mod progress;
pub mod recorded;
pub mod rules;
pub mod server_process;
pub mod simulated;
pub mod statistics;
pub mod text;
pub mod trial;
pub mod validity;
pub mod verdict;
pub mod worktree;

pub use bench::Pairing;
pub use command_bench::{Place, RunError, Runner};
pub use gate::{CompareError, run};
pub use options::{CompareOptions, Pairs, Servers, Strictness, Subject, TrialBench, Unlike};
