//! Who sits where: the room of each subscriber and publisher, and what kind of subscriber each is. The seed decides it
//! before the run.

use rand::Rng;
use rand::RngExt as _;

use crate::scenario::{Mix, Rooms, Scenario, Spread};
use crate::seed::{Purpose, rng};

/// What kind of subscriber it is: see [`Mix`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads all the time.
    #[default]
    Normal,
    /// Reads with a bound.
    Slow,
    /// Does not read.
    Stalled,
    /// Leaves and comes back as somebody new.
    Churning,
    /// Loses its connection and resumes, if it can.
    Reconnecting,
}

/// One subscriber's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Number of its room.
    pub room: u32,
    /// Its kind.
    pub kind: Kind,
}

/// Why nobody can be seated.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SeatsError {
    /// There is no room.
    #[error("rooms.count is 0; at least one room is needed")]
    NoRooms,
    /// More special subscribers than there are.
    #[error("mix.slow + mix.stalled + mix.churning + mix.reconnecting are {actual}; subscribers.count is {limit}")]
    MixExceedsCount {
        /// Those of the mix.
        actual: u64,
        /// All.
        limit: u32,
    },
    /// The exponent makes no distribution.
    #[error("rooms.zipf_exponent is {actual}; it has to be above 0 and finite")]
    ZipfExponent {
        /// What was asked for.
        actual: f64,
    },
}

/// Everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seats {
    subscribers: Box<[Seat]>,
    /// Members of each room, and the normal ones among them.
    members: Box<[(u32, u32)]>,
    rooms: u32,
    publishers: u32,
}

impl Seats {
    /// Seats everybody. O(subscribers · log).
    ///
    /// # Errors
    /// No rooms, a mix of more than all, or a Zipf exponent that is none.
    pub fn new(scenario: &Scenario) -> Result<Self, SeatsError> {
        let Scenario { rooms, mix, .. } = scenario;
        let count = scenario.subscribers.count;
        let special = [mix.slow, mix.stalled, mix.churning, mix.reconnecting].map(u64::from).iter().sum();
        if special > u64::from(count) {
            return Err(SeatsError::MixExceedsCount { actual: special, limit: count });
        }
        let mut rng = rng(scenario.seed, Purpose::Seats, 0);
        let rooms_of = rooms_of(rooms, count, &mut rng)?;
        let mut subscribers: Box<[Seat]> =
            rooms_of.iter().map(|room| Seat { room: *room, kind: Kind::Normal }).collect();
        give_kinds(&mut subscribers, mix, &mut rng);
        let mut members = vec![(0, 0); rooms.count as usize].into_boxed_slice();
        for seat in &subscribers {
            let (all, normal) = &mut members[seat.room as usize];
            *all += 1;
            *normal += u32::from(seat.kind == Kind::Normal);
        }
        Ok(Self { subscribers, members, rooms: rooms.count, publishers: scenario.publishers.count })
    }

    /// Each subscriber's seat, by its number.
    #[must_use]
    pub const fn subscribers(&self) -> &[Seat] {
        &self.subscribers
    }

    /// How many rooms.
    #[must_use]
    pub const fn rooms(&self) -> u32 {
        self.rooms
    }

    /// Subscribers whose room it is.
    ///
    /// # Panics
    /// There is no such room.
    #[must_use]
    pub const fn members(&self, room: u32) -> u32 {
        self.members[room as usize].0
    }

    /// The normal ones among them: those who are always there, and read.
    ///
    /// # Panics
    /// There is no such room.
    #[must_use]
    pub const fn normal_members(&self, room: u32) -> u32 {
        self.members[room as usize].1
    }

    /// The room that a publisher publishes to: in turn.
    #[must_use]
    pub const fn room_of_publisher(&self, publisher: u32) -> u32 {
        publisher % self.rooms
    }

    /// The publisher's number among those of its room.
    #[must_use]
    pub const fn slot_of_publisher(&self, publisher: u32) -> u32 {
        publisher / self.rooms
    }

    /// How many publishers a room has.
    #[must_use]
    pub const fn publishers_of_room(&self, room: u32) -> u32 {
        self.publishers.saturating_sub(room).div_ceil(self.rooms)
    }

    /// The publisher that has `slot` in `room`: the inverse of the room and slot of a publisher.
    #[must_use]
    pub const fn publisher_at(&self, room: u32, slot: u32) -> u32 {
        slot * self.rooms + room
    }
}

/// Each subscriber's room.
fn rooms_of(rooms: &Rooms, count: u32, rng: &mut impl Rng) -> Result<Vec<u32>, SeatsError> {
    if rooms.count == 0 {
        return Err(SeatsError::NoRooms);
    }
    match rooms.spread {
        Spread::Even => Ok((0..count).map(|subscriber| subscriber % rooms.count).collect()),
        Spread::Zipf => {
            let sizes = zipf_sizes(rooms, count)?;
            let mut rooms_of: Vec<u32> = Vec::with_capacity(count as usize);
            for (room, size) in (0..rooms.count).zip(sizes) {
                rooms_of.extend(std::iter::repeat_n(room, size as usize));
            }
            // Those who connect first are then from all rooms.
            shuffle(&mut rooms_of, rng);
            Ok(rooms_of)
        }
    }
}

/// Room sizes in proportion to 1/number^exponent, by largest remainders: they add up to `count`.
fn zipf_sizes(rooms: &Rooms, count: u32) -> Result<Vec<u32>, SeatsError> {
    let exponent = rooms.zipf_exponent;
    if !(exponent > 0.0 && exponent.is_finite()) {
        return Err(SeatsError::ZipfExponent { actual: exponent });
    }
    let weights: Vec<f64> = (1..=rooms.count).map(|number| f64::from(number).powf(-exponent)).collect();
    let unit = f64::from(count) / weights.iter().sum::<f64>();
    let quotas = weights.iter().map(|weight| weight * unit);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the count, not negative")]
    let mut sizes: Vec<u32> = quotas.clone().map(|quota| quota as u32).collect();
    let mut remainders: Vec<(usize, f64)> = quotas.map(f64::fract).enumerate().collect();
    remainders.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let missing = count.saturating_sub(sizes.iter().sum());
    for (room, _) in remainders.iter().take(missing as usize) {
        sizes[*room] += 1;
    }
    Ok(sizes)
}

/// Chooses the special ones: of each room about the same part, within the room by lot.
fn give_kinds(subscribers: &mut [Seat], mix: &Mix, rng: &mut impl Rng) {
    let mut order: Vec<usize> = (0..subscribers.len()).collect();
    shuffle(&mut order, rng);
    order.sort_by_key(|subscriber| subscribers[*subscriber].room);
    let kinds = [
        (Kind::Slow, mix.slow),
        (Kind::Stalled, mix.stalled),
        (Kind::Churning, mix.churning),
        (Kind::Reconnecting, mix.reconnecting),
    ];
    for (kind, wanted) in kinds {
        let (wanted, all) = (u64::from(wanted), order.len() as u64);
        if wanted == 0 {
            continue;
        }
        // Every (all / wanted)-th of those who are left, in the order of rooms, begun anywhere.
        let mut turn = rng.random_range(0..all);
        order.retain(|subscriber| {
            turn += wanted;
            let chosen = turn >= all;
            if chosen {
                turn -= all;
                subscribers[*subscriber].kind = kind;
            }
            !chosen
        });
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for end in (1..items.len()).rev() {
        items.swap(end, rng.random_range(0..=end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Publishers, Subscribers};

    fn scenario(rooms: u32, subscribers: u32) -> Scenario {
        Scenario {
            rooms: Rooms { count: rooms, ..Rooms::default() },
            subscribers: Subscribers { count: subscribers, ..Subscribers::default() },
            ..Scenario::default()
        }
    }

    fn zipf(rooms: u32, subscribers: u32, zipf_exponent: f64) -> Scenario {
        let mut scenario = scenario(rooms, subscribers);
        scenario.rooms.spread = Spread::Zipf;
        scenario.rooms.zipf_exponent = zipf_exponent;
        scenario
    }

    fn sizes(scenario: &Scenario) -> Vec<u32> {
        let seats = Seats::new(scenario).unwrap();
        (0..seats.rooms()).map(|room| seats.members(room)).collect()
    }

    #[test]
    fn rooms_have_the_sizes_asked_for() {
        let cases = [
            (scenario(3, 8), vec![3, 3, 2]),
            (scenario(4, 2), vec![1, 1, 0, 0]),
            (zipf(4, 25, 1.0), vec![12, 6, 4, 3]),
            (zipf(3, 10, 1.0), vec![5, 3, 2]),
            (zipf(3, 1, 2.0), vec![1, 0, 0]),
            (zipf(2, 0, 1.0), vec![0, 0]),
        ];
        for (scenario, wanted) in cases {
            assert_eq!(sizes(&scenario), wanted, "{:?}", scenario.rooms);
        }
        assert_eq!(sizes(&zipf(1_000, 19_900, 1.1)).iter().sum::<u32>(), 19_900);
    }

    #[test]
    fn the_seed_decides_and_replays() {
        let mut first = zipf(50, 1_000, 1.0);
        first.mix = Mix { slow: 10, churning: 100, ..Mix::default() };
        let second = Scenario { seed: 2, ..first.clone() };
        assert_eq!(Seats::new(&first), Seats::new(&first));
        assert_ne!(Seats::new(&first).unwrap().subscribers(), Seats::new(&second).unwrap().subscribers());
        assert_eq!(sizes(&first), sizes(&second));
    }

    #[test]
    fn each_kind_is_as_many_as_asked_for_and_even_over_rooms() {
        for seed in 0..50 {
            let mut scenario = Scenario { seed, ..scenario(10, 1_000) };
            scenario.mix = Mix { slow: 100, stalled: 45, churning: 200, reconnecting: 7, ..Mix::default() };
            let seats = Seats::new(&scenario).unwrap();
            let wanted = [(Kind::Slow, 100), (Kind::Stalled, 45), (Kind::Churning, 200), (Kind::Reconnecting, 7)];
            for (kind, wanted) in wanted {
                let of_kind: Vec<&Seat> = seats.subscribers().iter().filter(|seat| seat.kind == kind).collect();
                assert_eq!(of_kind.len(), wanted, "{kind:?}");
                for room in 0..10 {
                    let here = of_kind.iter().filter(|seat| seat.room == room).count();
                    assert!(here.abs_diff(wanted / 10) <= 2, "{kind:?}: {here} of {wanted} in room {room}");
                }
                let early = seats.subscribers()[..500].iter().filter(|seat| seat.kind == kind).count();
                assert!(kind == Kind::Reconnecting || (wanted / 4..wanted).contains(&early), "{kind:?}: {early}");
            }
            let normal: u32 = (0..10).map(|room| seats.normal_members(room)).sum();
            assert_eq!(normal, 1_000 - 352);
        }
    }

    #[test]
    fn everybody_can_be_special() {
        let mut scenario = scenario(3, 9);
        scenario.mix = Mix { slow: 4, reconnecting: 5, ..Mix::default() };
        let seats = Seats::new(&scenario).unwrap();
        assert!(seats.subscribers().iter().all(|seat| seat.kind != Kind::Normal));
    }

    #[test]
    fn publishers_take_rooms_in_turn() {
        let mut scenario = scenario(3, 9);
        for count in [0, 2, 3, 7] {
            scenario.publishers = Publishers { count, ..scenario.publishers };
            let seats = Seats::new(&scenario).unwrap();
            let mut of_room = [0; 3];
            for publisher in 0..count {
                let (room, slot) = (seats.room_of_publisher(publisher), seats.slot_of_publisher(publisher));
                assert_eq!(slot, of_room[room as usize]);
                assert_eq!(seats.publisher_at(room, slot), publisher);
                of_room[room as usize] += 1;
            }
            assert_eq!([0, 1, 2].map(|room| seats.publishers_of_room(room)), of_room, "{count} publishers");
        }
    }

    #[test]
    fn impossible_wishes_say_what_to_change() {
        let mut mixed = scenario(1, 10);
        mixed.mix = Mix { slow: 6, stalled: 5, ..Mix::default() };
        assert_eq!(Seats::new(&mixed), Err(SeatsError::MixExceedsCount { actual: 11, limit: 10 }));
        assert_eq!(Seats::new(&scenario(0, 1)), Err(SeatsError::NoRooms));
        for exponent in [0.0, -1.0, f64::INFINITY] {
            let error = Seats::new(&zipf(2, 2, exponent)).unwrap_err();
            assert_eq!(error, SeatsError::ZipfExponent { actual: exponent });
        }
    }
}
