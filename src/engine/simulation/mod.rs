//! The engine in a world of our own: a seed decides everything, and an oracle looks at what the clients got.
//!
//! The very [`Shard`](super::shard::Shard) runs here, in one thread, with sockets, a poller and a clock that the world
//! owns. `SIMULATION_SEED=7 cargo test --lib simulation` runs one seed; `SIMULATION_SEEDS=100000` runs more than usual,
//! `SIMULATION_FIRST=300` others. The same seeds are other worlds where sessions come as well.
//! Bugs planted on purpose ([`Planted`]) show that the oracle would see them.

mod acts;
mod client;
mod oracle;
mod positions;
mod questions;
mod quiet;
pub(super) mod random;
mod reader;
mod replay;
mod sessions;
mod socket;
mod speech;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// After a partial send the next one begins where the partial one began.
    PartForgotten,
    /// A member that comes during a lap is not counted in: the lap ends one place early.
    LapTooShort,
    /// An answer of the home to an earlier stay in a room is taken for one to the present stay.
    StaleEntered,
    /// A connection that is closed in the middle of a frame does not get the rest of it.
    TornClose,
    /// A window forgets what blocked members have not had.
    BlockedForgotten,
    /// A socket that takes more again is not served.
    LostEdge,
    /// Whoever resumes does not get the first publication that it missed.
    ReplayTooShort,
    /// Whoever resumes from a position of another epoch gets what has the offsets behind it in this one.
    EpochIgnored,
    /// A room keeps one publication less than it is to.
    OneLessKept,
    /// A window lets go of the oldest publication that the room keeps.
    KeptReleased,
    /// A position that has not come to a shard yet is taken for one that never was.
    AheadIsLost,
    /// A session that leaves a room in the middle of a frame of it does not get the rest.
    RestForgotten,
    /// Of a blocked session's subscriptions only one is remembered.
    WaitingDropped,
    /// A session that misses something is not told.
    GapUntold,
    /// What a session is answered while its socket takes nothing is lost.
    ReplyLost,
    /// What is said about a room does not wait until the session is in it.
    TooEarly,
    /// A publication falls between those in the answer and those that follow.
    ReplayTooLong,
    /// Nobody is told that somebody has left.
    LeaveUntold,
    /// A room's home does not hear that a session has left.
    OutUnnoted,
    /// Whoever moves to the changes gets the newest publication again, as one.
    MovedTooEarly,
    /// Nobody compares with publications that are not kept.
    PassingIgnored,
    /// Whoever lags among the changes, in a room that keeps nothing, is not told.
    ChangeLost,
}

/// Who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Population {
    /// Raw members, each in its room.
    Members,
    /// Sessions as well.
    Mixed,
}

/// Seeds of the ordinary test run.
const SEEDS: u64 = 300;

/// Of worlds with sessions, which take longer.
const MIXED_SEEDS: u64 = 80;

/// One whole life of an engine.
fn run(seed: u64, planted: Planted, population: Population) {
    let mut world = World::new(seed, planted, population);
    let steps = world.random.pick(&[60, 400, 400, 1_200]);
    for _ in 0..steps {
        world.act();
    }
    if world.random.one_in(3) {
        world.start_drain();
        for _ in 0..world.random.below(100) {
            world.act();
        }
    } else {
        world.come_to_rest();
        world.check_at_rest();
        for _ in 0..world.random.below(50) {
            world.act();
        }
    }
    world.come_to_rest();
    world.check_at_rest();
    world.check_nothing_left();
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a seed is a number"))
}

/// Runs the seeds that the environment names, or the usual ones.
fn nothing_is_found(population: Population) {
    if let Some(seed) = number_from("SIMULATION_SEED") {
        return run(seed, Planted::Nothing, population);
    }
    let first = number_from("SIMULATION_FIRST").unwrap_or(0);
    let usual = if population == Population::Mixed { MIXED_SEEDS } else { SEEDS };
    for seed in first..first + number_from("SIMULATION_SEEDS").unwrap_or(usual) {
        if let Err(found) = catch_unwind(|| run(seed, Planted::Nothing, population)) {
            eprintln!("again with: SIMULATION_SEED={seed} cargo test --lib simulation");
            std::panic::resume_unwind(found);
        }
    }
}

#[test]
fn no_seed_finds_anything() {
    nothing_is_found(Population::Members);
}

#[test]
fn no_seed_finds_anything_among_sessions() {
    nothing_is_found(Population::Mixed);
}

/// Asserts that some seed finds a planted bug.
fn is_found_among(planted: Planted, population: Population) {
    let found = (0..SEEDS).find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed, planted, population))).is_err());
    assert!(found.is_some(), "no seed finds {planted:?}");
}

fn is_found(planted: Planted) {
    is_found_among(planted, Population::Members);
}

#[test]
fn a_forgotten_part_is_found() {
    is_found(Planted::PartForgotten);
}

#[test]
fn a_lap_that_is_too_short_is_found() {
    is_found(Planted::LapTooShort);
}

#[test]
fn a_stale_answer_is_found() {
    is_found(Planted::StaleEntered);
}

#[test]
fn a_torn_close_is_found() {
    is_found(Planted::TornClose);
}

#[test]
fn forgotten_blocked_members_are_found() {
    is_found(Planted::BlockedForgotten);
}

#[test]
fn a_lost_edge_is_found() {
    is_found(Planted::LostEdge);
}

#[test]
fn a_replay_that_is_too_short_is_found() {
    is_found(Planted::ReplayTooShort);
}

#[test]
fn an_epoch_that_is_ignored_is_found() {
    is_found(Planted::EpochIgnored);
}

#[test]
fn a_room_that_keeps_too_little_is_found() {
    is_found(Planted::OneLessKept);
}

#[test]
fn a_window_that_forgets_what_is_kept_is_found() {
    is_found(Planted::KeptReleased);
}

#[test]
fn a_position_that_is_wrongly_lost_is_found() {
    is_found(Planted::AheadIsLost);
}

fn is_found_among_sessions(planted: Planted) {
    is_found_among(planted, Population::Mixed);
}

#[test]
fn a_forgotten_rest_is_found() {
    is_found_among_sessions(Planted::RestForgotten);
}

#[test]
fn a_dropped_subscription_is_found() {
    is_found_among_sessions(Planted::WaitingDropped);
}

#[test]
fn a_gap_that_nobody_tells_is_found() {
    is_found_among_sessions(Planted::GapUntold);
}

#[test]
fn a_lost_reply_is_found() {
    is_found_among_sessions(Planted::ReplyLost);
}

#[test]
fn a_command_that_is_too_early_is_found() {
    is_found_among_sessions(Planted::TooEarly);
}

#[test]
fn a_hole_behind_an_answer_is_found() {
    is_found_among_sessions(Planted::ReplayTooLong);
}

#[test]
fn a_leave_that_nobody_tells_is_found() {
    is_found_among_sessions(Planted::LeaveUntold);
}

#[test]
fn a_roll_that_keeps_whom_it_should_not_is_found() {
    is_found_among_sessions(Planted::OutUnnoted);
}

#[test]
fn a_change_that_comes_too_early_is_found() {
    is_found_among_sessions(Planted::MovedTooEarly);
}

#[test]
fn a_change_from_another_publication_is_found() {
    is_found_among_sessions(Planted::PassingIgnored);
}

#[test]
fn a_lost_change_is_found() {
    is_found_among_sessions(Planted::ChangeLost);
}

#[test]
fn a_connection_is_small() {
    let size = size_of::<super::connection::Connection<mio::net::TcpStream>>();
    assert!(size <= 80, "{size} bytes");
}
