//! What must hold of what the clients got. Knows nothing of how the engine works.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::client::{Client, Temper};
use super::reader::{Id, SESSIONS};
use crate::engine::position::Epoch;
use crate::engine::settings::{Echo, LagPolicy};

/// What the engine answered to a publication of the API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) id: Id,
    pub(super) room_id: u64,
    pub(super) offset: u64,
    /// `None`: nobody was there, and nothing was kept.
    pub(super) epoch: Option<Epoch>,
}

/// When the oracle looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Everybody has had the time to get everything.
    AtRest,
    /// All have gone.
    Afterwards,
}

/// Whether the client gets everything from its greeting until it is closed.
pub(super) fn is_complete(client: &Client) -> bool {
    match client.who.terms.lag {
        LagPolicy::Disconnect => true,
        LagPolicy::Skip => client.who.temper == Temper::Perfect,
        LagPolicy::Latest => false,
    }
}

/// Checks every life of every room. Returns how many publications members of rooms with `lag = "skip"` were seen to
/// miss.
pub(super) fn check(clients: &[Client], replies: &[Reply], moment: Moment) -> u64 {
    let mut lives: BTreeMap<u64, Vec<&Client>> = BTreeMap::new();
    for client in clients {
        lives.entry(client.who.room_id).or_default().push(client);
    }
    let mut missed = 0;
    for (room_id, members) in lives {
        for member in &members {
            check_publishers(member);
        }
        check_one_order(&members);
        check_neighbours(&members);
        let of_room = || replies.iter().filter(|reply| reply.room_id == room_id);
        let passing = Passing::of(of_room().filter(|reply| may_pass(members[0], reply.id)));
        for reader in members.iter().filter(|client| is_complete(client)) {
            for publisher in &members {
                check_nothing_missing(reader, publisher, moment);
            }
            check_offsets(reader, of_room(), &passing);
        }
        missed += missed_by_skipping(&members, &passing);
    }
    missed
}

/// Whether a replay passes over a publication.
const fn may_pass(client: &Client, id: Id) -> bool {
    client.who.terms.keeps && id.is_passing()
}

/// Offsets that a replay passes over, in each epoch of a room.
#[derive(Default)]
struct Passing(HashMap<u64, BTreeSet<u64>>);

impl Passing {
    fn of<'r>(replies: impl Iterator<Item = &'r Reply>) -> Self {
        let mut passing = Self::default();
        for reply in replies {
            if let Some(epoch) = reply.epoch {
                passing.0.entry(epoch.0).or_default().insert(reply.offset);
            }
        }
        passing
    }

    /// How many offsets there are up to one, without those.
    fn kept_until(&self, epoch: Epoch, offset: u64) -> u64 {
        offset - self.0.get(&epoch.0).map_or(0, |offsets| offsets.range(..=offset).count() as u64)
    }
}

/// What a client got, without what others may have been passed over with.
fn kept(client: &Client) -> Vec<Id> {
    client.got.iter().copied().filter(|id| !may_pass(client, *id)).collect()
}

/// Where each of those stands among them.
fn places(client: &Client) -> HashMap<Id, u64> {
    kept(client).into_iter().zip(0..).collect()
}

/// Each publisher's messages come in order, none twice; to whoever gets everything, none is left out.
fn check_publishers(client: &Client) {
    let mut newest: HashMap<u32, u32> = HashMap::new();
    for id in &client.got {
        if let Some(before) = newest.insert(id.by, id.number) {
            // What a session is refused has a number, too.
            let dense = is_complete(client) && id.by < SESSIONS;
            let mut missed = (before + 1..id.number).map(|number| Id { number, ..*id });
            let fine = id.number > before && (!dense || missed.all(|id| may_pass(client, id)));
            assert!(fine, "client {} got {id:?} after message {before}", client.who.id);
        }
    }
}

/// There is one order that all clients' sequences are parts of.
fn check_one_order(members: &[&Client]) {
    let mut followers: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut before: BTreeMap<Id, usize> = BTreeMap::new();
    for member in members {
        for id in &member.got {
            before.entry(*id).or_default();
        }
        for pair in member.got.windows(2) {
            if followers.entry(pair[0]).or_default().insert(pair[1]) {
                *before.entry(pair[1]).or_default() += 1;
            }
        }
    }
    let mut free: Vec<Id> = before.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    let mut ordered = 0;
    while let Some(id) = free.pop() {
        ordered += 1;
        for follower in followers.get(&id).into_iter().flatten() {
            let count = before.get_mut(follower).expect("everything was counted");
            *count -= 1;
            if *count == 0 {
                free.push(*follower);
            }
        }
    }
    assert_eq!(ordered, before.len(), "room {}: two clients disagree about the order", members[0].who.room_id);
}

/// Between two messages that follow each other for one who gets everything there is nothing for anybody else.
fn check_neighbours(members: &[&Client]) {
    let (mut next, mut last): (HashMap<Id, Id>, HashMap<Id, Id>) = (HashMap::new(), HashMap::new());
    for member in members.iter().filter(|member| is_complete(member) && member.who.echo == Echo::On) {
        for pair in kept(member).windows(2) {
            let follower = *next.entry(pair[0]).or_insert(pair[1]);
            let leader = *last.entry(pair[1]).or_insert(pair[0]);
            assert!(
                follower == pair[1] && leader == pair[0],
                "client {} got {pair:?}, another {:?} then {follower:?}, or {leader:?} then {:?}",
                member.who.id,
                pair[0],
                pair[1]
            );
        }
    }
}

/// What `publisher` published while `reader` was a member is there.
fn check_nothing_missing(reader: &Client, publisher: &Client, moment: Moment) {
    if reader.who.id == publisher.who.id && reader.who.echo == Echo::Off {
        return;
    }
    let numbers = || reader.got.iter().filter(|id| id.by == publisher.who.id).map(|id| id.number);
    let later = reader.greeted_step.is_some_and(|greeted| publisher.who.joined_step > greeted)
        || reader.who.id == publisher.who.id;
    if let Some(first) = numbers().min()
        && later
    {
        assert_eq!(first, 0, "client {} missed the first messages of {}", reader.who.id, publisher.who.id);
    }
    // Everything was published, and has arrived wherever it was to arrive.
    let published_all =
        publisher.stays() && publisher.reads() && publisher.offence.is_none() && publisher.speech.is_all_sent();
    let reads_all = moment == Moment::AtRest && reader.stays() && reader.reads() && reader.offence.is_none();
    if reads_all && published_all && publisher.speech.published > 0 && (later || numbers().next().is_some()) {
        let newest = numbers().max().map_or(0, |newest| newest + 1);
        assert_eq!(
            newest, publisher.speech.published,
            "client {} missed the last of {}",
            reader.who.id, publisher.who.id
        );
    }
}

/// Offsets are dense: they differ as the places in a complete sequence do. `passing`: those that may be passed over.
fn check_offsets<'r>(reader: &Client, replies: impl Iterator<Item = &'r Reply>, passing: &Passing) {
    if reader.who.echo == Echo::Off {
        return;
    }
    let places = places(reader);
    let mut shift = None;
    for reply in replies {
        let Some(place) = places.get(&reply.id) else { continue };
        let offset = reply.epoch.map_or(reply.offset, |epoch| passing.kept_until(epoch, reply.offset));
        let shift = *shift.get_or_insert_with(|| offset.wrapping_sub(*place));
        assert_eq!(offset.wrapping_sub(*place), shift, "client {}: offsets are not dense", reader.who.id);
    }
}

/// The offset in front of the first that a client was to get.
fn began_at(client: &Client) -> u64 {
    client.began.map_or(0, |began| began.position.offset)
}

/// Gaps in what others got (what may be passed over left out), counted where somebody got everything, and those that
/// clients saw in the offsets.
fn missed_by_skipping(members: &[&Client], passing: &Passing) -> u64 {
    if members[0].who.terms.lag != LagPolicy::Skip {
        return 0;
    }
    let mut missed = 0;
    for member in members.iter().filter(|member| !is_complete(member) && member.who.echo == Echo::On) {
        let gaps = members.iter().filter(|reader| is_complete(reader) && reader.who.echo == Echo::On).map(|reader| {
            let places = places(reader);
            let place = |id: &Id| places.get(id).copied();
            let gap = |pair: &[Id]| Some(place(&pair[1])? - place(&pair[0])? - 1);
            kept(member).windows(2).filter_map(gap).sum::<u64>()
        });
        let told = member.position().map_or(0, |now| {
            let until = |offset| passing.kept_until(now.epoch, offset);
            until(now.offset) - until(began_at(member)) - kept(member).len() as u64
        });
        missed += gaps.max().unwrap_or(0).max(told);
    }
    missed
}
