//! A room's roll, at its home: who is in the room, and what of it is worth telling.
//!
//! Pure: moves and times in, events out. Connections are listed up to a bound. What is told is about *persons*: a user
//! with all its connections, or an anonymous connection by itself. A person's leave is held for the room's grace; if
//! the person is back by then, it has never been away. So a page that reconnects is not a leave and a join, and of
//! several tabs only the first that comes and the last that goes are told.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::clock::Nanos;
use super::presence::{Attendee, Event, Present, Way};
use super::session::Identity;
use super::settings::RoomSettings;

/// See the module.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Connections that are listed, and the most that may be.
    listed: FxHashMap<Uuid, Identity>,
    listed_max: usize,
    /// Whoever is here, or has been until just now. Anonymous ones only if their coming and going is told. Hashed with
    /// a secret: clients choose their names.
    persons: HashMap<Person, Stay>,
    /// Connections here that have a user's name, and such users.
    named: u32,
    users: u32,
    /// Leaves that are held, the oldest first, some of them void: at most `listed_max`.
    held: VecDeque<(Nanos, Attendee)>,
    grace: Duration,
    /// `None`: nobody is told anything.
    telling: Option<Telling>,
    /// Whether the home knows when to look for held leaves next.
    pub(crate) is_awaited: bool,
}

/// Who comes and goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Person {
    User(Arc<str>),
    Anonymous(Uuid),
}

/// A person's being in the room.
#[derive(Clone, Copy, Debug, Default)]
struct Stay {
    connections: u32,
    /// With no connections left: when the leave is told.
    leaves_at: Nanos,
}

/// How much is told.
#[derive(Debug)]
struct Telling {
    per_second_max: u32,
    /// Second of the engine's life, and events of it.
    second: u32,
    told: u32,
    /// Events told so far: the offset of the newest, for those who get them.
    offset: u64,
}

impl Person {
    fn of(attendee: &Attendee) -> Self {
        match &attendee.identity.user {
            user if user.is_empty() => Self::Anonymous(attendee.client),
            user => Self::User(Arc::clone(user)),
        }
    }
}

impl Roll {
    /// `None`: the room does not want to know.
    pub(crate) fn new(settings: &RoomSettings) -> Option<Self> {
        if !settings.has_presence() {
            return None;
        }
        let per_second_max = settings.presence_events_per_second_max;
        let telling = Telling { per_second_max, second: 0, told: 0, offset: 0 };
        Some(Self {
            listed: FxHashMap::default(),
            listed_max: usize::try_from(settings.presence_members_max).unwrap_or(usize::MAX),
            persons: HashMap::new(),
            named: 0,
            users: 0,
            held: VecDeque::new(),
            grace: settings.presence_leave_grace,
            telling: settings.has_presence_events().then_some(telling),
            is_awaited: false,
        })
    }

    /// Takes note of a move; what is to be told of it at once. O(1).
    pub(crate) fn note(&mut self, way: Way, attendee: Attendee, now: Nanos) -> Option<Event> {
        match way {
            Way::In => self.arrived(attendee),
            Way::Out => self.departed(attendee, now),
        }
    }

    fn arrived(&mut self, attendee: Attendee) -> Option<Event> {
        if self.listed.len() < self.listed_max {
            self.listed.insert(attendee.client, attendee.identity.clone());
        }
        let is_named = !attendee.identity.user.is_empty();
        if !is_named && self.telling.is_none() {
            return None;
        }
        let mut is_new = false;
        let stay = self.persons.entry(Person::of(&attendee)).or_insert_with(|| {
            is_new = true;
            Stay::default()
        });
        if is_named {
            self.named += 1;
            self.users += u32::from(stay.connections == 0);
        }
        stay.connections += 1;
        (is_new && self.telling.is_some()).then_some(Event { way: Way::In, attendee })
    }

    fn departed(&mut self, attendee: Attendee, now: Nanos) -> Option<Event> {
        if self.listed.remove(&attendee.client).is_some() {
            shrink(&mut self.listed);
        }
        let person = Person::of(&attendee);
        // Anonymous, and nobody is told.
        let stay = self.persons.get_mut(&person)?;
        debug_assert!(stay.connections > 0, "who leaves has come");
        stay.connections -= 1;
        if matches!(person, Person::User(_)) {
            self.named -= 1;
            self.users -= u32::from(stay.connections == 0);
        }
        if stay.connections > 0 {
            return None;
        }
        let is_told = self.telling.is_some();
        if is_told && !self.grace.is_zero() && self.held.len() < self.listed_max {
            stay.leaves_at = now.after(self.grace);
            self.held.push_back((stay.leaves_at, attendee));
            return None;
        }
        self.remove(&person);
        is_told.then_some(Event { way: Way::Out, attendee })
    }

    fn remove(&mut self, person: &Person) {
        self.persons.remove(person);
        if self.persons.capacity() > 1_024 && self.persons.capacity() / 8 > self.persons.len() {
            self.persons.shrink_to(self.persons.len() * 2);
        }
    }

    /// The next leave that has been held for long enough, of a person who has not come back.
    pub(crate) fn next_due(&mut self, now: Nanos) -> Option<Event> {
        while self.held.front().is_some_and(|(at, _)| *at <= now) {
            let (at, attendee) = self.held.pop_front()?;
            if self.held.is_empty() {
                self.held = VecDeque::new();
            }
            let person = Person::of(&attendee);
            let is_away = |stay: &Stay| stay.connections == 0 && stay.leaves_at == at;
            if self.persons.get(&person).is_some_and(is_away) {
                self.remove(&person);
                return Some(Event { way: Way::Out, attendee });
            }
        }
        None
    }

    /// When [`Roll::next_due`] has something next, at the earliest.
    pub(crate) fn next_leave(&self) -> Option<Nanos> {
        self.held.front().map(|(at, _)| *at)
    }

    /// Whether one more event may be told in this second; then it has its offset.
    pub(crate) fn may_tell(&mut self, now: Nanos) -> bool {
        let Some(telling) = &mut self.telling else { return false };
        if telling.second != now.seconds() {
            (telling.second, telling.told) = (now.seconds(), 0);
        }
        if telling.told >= telling.per_second_max {
            return false;
        }
        telling.told += 1;
        telling.offset += 1;
        true
    }

    /// Offset of the newest event; 0: none yet.
    pub(crate) fn offset(&self) -> u64 {
        self.telling.as_ref().map_or(0, |telling| telling.offset)
    }

    /// Those who are listed. O(members).
    pub(crate) fn list(&self) -> Vec<Present> {
        let present =
            |(client, identity): (&Uuid, &Identity)| Attendee { client: *client, identity: identity.clone() }.present();
        self.listed.iter().map(present).collect()
    }

    /// Users among so many members. The news of one who has just left may still be on its way: no more than members.
    pub(crate) fn users(&self, members: u32) -> u32 {
        (self.users + u32::from(members > self.named)).min(members)
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.named == 0 && self.persons.values().all(|stay| stay.connections == 0)
    }
}

/// Gives back what a storm has left behind.
fn shrink(listed: &mut FxHashMap<Uuid, Identity>) {
    if listed.capacity() > 1_024 && listed.capacity() / 8 > listed.len() {
        listed.shrink_to(listed.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Presence, PresenceEvents};
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const GRACE: u64 = 2 * SECOND;

    fn roll(events: PresenceEvents) -> Roll {
        let settings = RoomSettings {
            presence: Presence::Members,
            presence_events: events,
            presence_members_max: 3,
            presence_events_per_second_max: 2,
            presence_leave_grace: Duration::from_nanos(GRACE),
            ..RoomSettings::default()
        };
        Roll::new(&settings).unwrap()
    }

    fn attendee(user: &str, client: u128) -> Attendee {
        Attendee { client: Uuid::from_u128(client), identity: Identity { user: user.into(), info: None } }
    }

    /// `+user/client` and `-user/client`, each at its time in seconds; `.` is only a time. What is told, in order.
    fn told(moves: &[(u64, &str)]) -> Vec<String> {
        let mut roll = roll(PresenceEvents::On);
        let mut told = Vec::new();
        for (at_s, step) in moves {
            let now = Nanos(at_s * SECOND);
            while let Some(event) = roll.next_due(now) {
                told.push(shown(*at_s, &event));
            }
            let Some((sign, who)) = step.split_at_checked(1).filter(|(sign, _)| *sign != ".") else { continue };
            let (user, client) = who.split_once('/').unwrap();
            let way = if sign == "+" { Way::In } else { Way::Out };
            told.extend(roll.note(way, attendee(user, client.parse().unwrap()), now).map(|it| shown(*at_s, &it)));
        }
        told
    }

    fn shown(at_s: u64, event: &Event) -> String {
        let Attendee { client, identity } = &event.attendee;
        let sign = if event.way == Way::In { '+' } else { '-' };
        format!("{at_s}{sign}{}/{}", identity.user, client.as_u128())
    }

    #[test]
    fn what_is_told() {
        type Case = (&'static str, &'static [(u64, &'static str)], &'static [&'static str]);
        let cases: &[Case] = &[
            ("comes and goes", &[(0, "+a/1"), (1, "-a/1"), (2, "."), (3, ".")], &["0+a/1", "3-a/1"]),
            ("back within the grace", &[(0, "+a/1"), (1, "-a/1"), (2, "+a/2"), (9, ".")], &["0+a/1"]),
            ("back when it is over", &[(0, "+a/1"), (1, "-a/1"), (3, "+a/2")], &["0+a/1", "3-a/1", "3+a/2"]),
            ("tabs", &[(0, "+a/1"), (0, "+a/2"), (1, "-a/1"), (9, "-a/2"), (11, ".")], &["0+a/1", "11-a/2"]),
            (
                "away twice, the grace begins anew",
                &[(0, "+a/1"), (1, "-a/1"), (2, "+a/2"), (2, "-a/2"), (3, "."), (4, ".")],
                &["0+a/1", "4-a/2"],
            ),
            (
                "an anonymous one is itself only",
                &[(0, "+/1"), (1, "-/1"), (2, "+/2"), (3, ".")],
                &["0+/1", "2+/2", "3-/1"],
            ),
            ("subscribes again", &[(0, "+/1"), (1, "-/1"), (2, "+/1"), (9, ".")], &["0+/1"]),
            (
                "no more leaves are held than are listed",
                &[
                    (0, "+a/1"),
                    (0, "+b/2"),
                    (0, "+c/3"),
                    (0, "+d/4"),
                    (1, "-a/1"),
                    (1, "-b/2"),
                    (1, "-c/3"),
                    (1, "-d/4"),
                ],
                &["0+a/1", "0+b/2", "0+c/3", "0+d/4", "1-d/4"],
            ),
        ];
        for (name, moves, expected) in cases {
            assert_eq!(told(moves), *expected, "{name}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_the_count_is_not() {
        for events in [PresenceEvents::On, PresenceEvents::Off] {
            let mut roll = roll(events);
            for client in 0..10 {
                roll.note(Way::In, attendee(&format!("user {}", client / 2), client), Nanos(0));
            }
            roll.note(Way::In, attendee("", 10), Nanos(0));
            assert_eq!((roll.list().len(), roll.users(11)), (3, 6), "five with a name, and the anonymous");
            for client in 0..9 {
                roll.note(Way::Out, attendee(&format!("user {}", client / 2), client), Nanos(0));
            }
            assert_eq!((roll.list().len(), roll.users(2)), (0, 2), "those beyond the list are known by number only");
            roll.note(Way::Out, attendee("", 10), Nanos(0));
            roll.note(Way::Out, attendee("user 4", 9), Nanos(0));
            while roll.next_due(Nanos(GRACE)).is_some() {}
            assert!(roll.is_empty() && roll.persons.is_empty() && roll.held.is_empty());
            assert_eq!(roll.users(0), 0);
        }
    }

    #[test]
    fn so_many_events_in_a_second() {
        let mut roll = roll(PresenceEvents::On);
        let may: Vec<bool> = [0, 1, 2, SECOND - 1, SECOND, SECOND + 1, 2 * SECOND - 1, 9 * SECOND]
            .map(|at| roll.may_tell(Nanos(at)))
            .into();
        assert_eq!(may, [true, true, false, false, true, true, false, true]);
        assert_eq!(roll.offset(), 5);
    }

    #[test]
    fn any_order_of_moves_comes_out_even() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut roll = roll(PresenceEvents::On);
        let (mut here, mut known) = (Vec::<Attendee>::new(), HashMap::<String, i32>::new());
        for step in 0..20_000u64 {
            let now = Nanos(step * SECOND / 10);
            let comes = random(2) == 0 && here.len() < 8 || here.is_empty();
            let (way, attendee) = if comes {
                let user = ["", "a", "b", "c"][usize::try_from(random(4)).unwrap()];
                here.push(attendee(user, u128::from(step)));
                (Way::In, here.last().unwrap().clone())
            } else {
                let index = usize::try_from(random(here.len() as u64)).unwrap();
                (Way::Out, here.swap_remove(index))
            };
            let mut events: Vec<Event> = std::iter::from_fn(|| roll.next_due(now)).collect();
            events.extend(roll.note(way, attendee, now));
            for Event { way, attendee } in events {
                let person = format!("{:?}", Person::of(&attendee));
                let times = known.entry(person).or_default();
                *times += if way == Way::In { 1 } else { -1 };
                assert!((0..=1).contains(times), "joins and leaves of one person take turns");
            }
            let named = here.iter().filter(|it| !it.identity.user.is_empty());
            let users: std::collections::BTreeSet<_> = named.map(|it| Arc::clone(&it.identity.user)).collect();
            let anonymous = here.iter().any(|it| it.identity.user.is_empty());
            let members = u32::try_from(here.len()).unwrap();
            assert_eq!(roll.users(members), u32::try_from(users.len()).unwrap() + u32::from(anonymous));
            assert!(roll.list().len() <= 3 && roll.held.len() <= 3);
        }
    }
}
