//! What must hold of positions: an offset is one publication for everybody, who resumes gets what it missed, and nobody
//! is told that something is lost that the room's settings say is there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::client::Client;
use super::oracle::{Moment, is_complete};
use super::questions::{Answers, Told};
use super::reader::{Id, Kind, OUTSIDE};
use super::sessions::judge;
use super::world::World;
use crate::engine::clock::Nanos;
use crate::engine::feed::Encoding;
use crate::engine::history::{Order, Record};
use crate::engine::position::{Began, Epoch, Position, Start};
use crate::engine::settings::{Echo, RoomSettings};
use crate::protocol::frame::MessageKind;

/// More than a record costs a room's log beside its payload, bytes.
const OVERHEAD_BYTES_MAX: usize = 256;

/// All that anybody was told about positions.
pub(super) struct Book<'w> {
    world: &'w World,
    clients: &'w [Client],
    answers: &'w Answers,
    settings: Vec<&'w RoomSettings>,
    /// The bound on what all rooms keep is small enough to matter.
    is_scarce: bool,
    lives: HashMap<u64, Life>,
    /// Where each publication stands.
    places: HashMap<Id, Position>,
}

/// What is known of one epoch.
#[derive(Default)]
struct Life {
    publications: BTreeMap<u64, Id>,
}

/// Somebody was told that what came after a position is lost.
pub(super) struct Loss {
    pub(super) name: usize,
    pub(super) since: Position,
    pub(super) forged: bool,
    /// Where the room stood.
    pub(super) newest: Position,
    /// When it was known, or before.
    pub(super) told_at: Nanos,
}

/// Checks everything that was seen until now.
pub(super) fn check(world: &World, moment: Moment) {
    let limits = &world.settings.limits;
    let mut book = Book {
        world,
        clients: &world.clients,
        answers: &world.answers,
        settings: world.settings.rooms.iter().map(|class| &class.settings).collect(),
        is_scarce: limits.history_bytes_max < 1 << 30,
        lives: HashMap::new(),
        places: HashMap::new(),
    };
    for client in &world.clients {
        let Some(began) = client.began else { continue };
        for (id, offset) in client.got.iter().zip(&client.offsets) {
            book.write(began.position.epoch, *offset, *id);
        }
    }
    for reply in &world.replies {
        if let Some(epoch) = reply.epoch {
            book.write(epoch, reply.offset, reply.id);
        }
    }
    for told in &world.answers.histories {
        for record in &told.history.records {
            book.write(told.history.epoch, record.offset, id_of(record));
        }
    }
    judge::write(world, &mut book);
    for client in &world.clients {
        if client.who.encoding == Encoding::V1 {
            book.check_v1(client);
            if moment == Moment::AtRest {
                book.check_newest(client);
            }
        } else {
            book.check_raw(client);
        }
    }
    for told in &world.answers.histories {
        book.check_told(told);
    }
    world.answers.check_forgettings();
    judge::check(world, &book, moment);
}

fn id_of(record: &Record) -> Id {
    let kind = if record.kind == MessageKind::Text { Kind::Text } else { Kind::Binary };
    Id::of(kind, &record.payload)
}

impl Book<'_> {
    pub(super) fn write(&mut self, epoch: Epoch, offset: u64, id: Id) {
        assert!(offset > 0, "offsets begin with 1");
        let known = *self.lives.entry(epoch.0).or_default().publications.entry(offset).or_insert(id);
        assert_eq!(known, id, "two publications at {epoch}:{offset}");
        let position = Position { epoch, offset };
        let known = *self.places.entry(id).or_insert(position);
        assert_eq!(known, position, "{id:?} stands at two positions");
    }

    /// When it was said, or later, it was published.
    fn said_at(&self, id: Id) -> Nanos {
        if let Some(said_at) = self.world.crowd.said_at(id.by, id.number) {
            return said_at;
        }
        match id.by.checked_sub(OUTSIDE) {
            Some(name) => self.world.outside[name as usize][id.number as usize],
            None => self.clients[id.by as usize].said_at[id.number as usize],
        }
    }

    fn check_v1(&self, client: &Client) {
        let Some(began) = client.began else {
            return assert!(client.got.is_empty(), "client {} got something before its state", client.who.id);
        };
        let id = client.who.id;
        let mut before = began.position.offset;
        for offset in &client.offsets {
            assert!(*offset > before, "client {id} got {offset} after {before}");
            let mut missed = before + 1..*offset;
            let fine = missed.all(|it| {
                let missed = self.id_at(began.position.epoch, it);
                // Its own it does not get.
                let is_own = client.who.echo == Echo::Off && missed.is_none_or(|it| it.by == id);
                is_own || missed.is_some_and(|it| self.is_passed_over(client.who.name, it, client.told_at))
            });
            assert!(fine || !is_complete(client), "client {id} got {offset} after {before}: {began:?}");
            before = *offset;
        }
        match (client.who.start, began.state) {
            (Start::Live, Began::Live) | (Start::Last(_), Began::Recovered) => {}
            (Start::After(since), Began::Recovered) => {
                assert_eq!(began.position, since, "client {id} begins somewhere else");
            }
            (Start::After(since), Began::Lost) => self.judge_client(client, since),
            other => panic!("client {id} began otherwise than it asked for: {other:?}"),
        }
    }

    /// Whoever is still there has the newest of what it was to get, whatever it was to miss.
    fn check_newest(&self, client: &Client) {
        let Some(began) = client.began else { return };
        if !client.stays() || !client.reads() || client.offence.is_some() || client.who.echo == Echo::Off {
            return;
        }
        let Position { epoch, offset } = began.position;
        let offset = client.offsets.last().copied().unwrap_or(offset);
        let newest = self.newest_of(epoch).unwrap_or(0);
        let fine =
            offset >= newest || self.are_passed_over(client.who.name, epoch, offset + 1..newest + 1, client.told_at);
        assert!(fine, "client {} has {offset}, at {newest} of {epoch:?}: {began:?}", client.who.id);
    }

    fn check_raw(&self, client: &Client) {
        let Start::After(since) = client.who.start else { return };
        if client.lost_at.is_some() {
            assert_eq!(client.got, [], "client {} got something, and was told that it is lost", client.who.id);
            return self.judge_client(client, since);
        }
        if !is_complete(client) || client.who.echo == Echo::Off {
            return;
        }
        let (mut steps, mut before) = (0, since);
        for id in client.got.iter().filter(|id| !self.may_pass(client.who.name, **id)) {
            steps += 1;
            let Some(place) = self.place_of(*id) else { continue };
            let fine = self.steps_between(client.who.name, before, place) == Some(steps);
            assert!(
                fine,
                "client {} resumed from {since}, and got {id:?} at {place}, {steps} behind {before}",
                client.who.id
            );
            (steps, before) = (0, place);
        }
    }

    /// Where a publication stands, as far as anybody was told.
    pub(super) fn place_of(&self, id: Id) -> Option<Position> {
        self.places.get(&id).copied()
    }

    /// Offset of the newest publication of an epoch that anybody was told of.
    pub(super) fn newest_of(&self, epoch: Epoch) -> Option<u64> {
        self.lives.get(&epoch.0)?.publications.last_key_value().map(|(offset, _)| *offset)
    }

    /// Whether a replay in a room passes over a publication.
    pub(super) fn may_pass(&self, name: usize, id: Id) -> bool {
        id.is_passing() && self.settings[name].has_history()
    }

    /// The same, of one for whom the replay was at `told_at`: what was said later it gets.
    fn is_passed_over(&self, name: usize, id: Id, told_at: Nanos) -> bool {
        self.may_pass(name, id) && self.said_at(id) <= told_at
    }

    /// Whether everything in some offsets is passed over in a replay at `told_at`.
    pub(super) fn are_passed_over(&self, name: usize, epoch: Epoch, mut offsets: Range<u64>, told_at: Nanos) -> bool {
        offsets.all(|it| self.id_at(epoch, it).is_some_and(|id| self.is_passed_over(name, id, told_at)))
    }

    /// How many publications lie behind one position up to another, without those that a replay passes over. `None`:
    /// it is not behind the first.
    pub(super) fn steps_between(&self, name: usize, from: Position, to: Position) -> Option<u64> {
        if from.epoch != to.epoch || to.offset < from.offset {
            return None;
        }
        let known = self.lives.get(&from.epoch.0).map(|life| life.publications.range(from.offset + 1..=to.offset));
        let passing = known.into_iter().flatten().filter(|(_, id)| self.may_pass(name, **id)).count() as u64;
        Some(to.offset - from.offset - passing)
    }

    fn id_at(&self, epoch: Epoch, offset: u64) -> Option<Id> {
        self.lives.get(&epoch.0)?.publications.get(&offset).copied()
    }

    fn judge_client(&self, client: &Client, since: Position) {
        let newest = client.lost_at.expect("it was told so");
        let (name, forged, told_at) = (client.who.name, client.who.forged, client.told_at);
        if let Err(why) = self.judge(&Loss { name, since, forged, newest, told_at }) {
            panic!("client {} was told that everything after {since} is lost, at {newest}: {why}", client.who.id);
        }
    }

    /// Whether something that was asked for was really gone.
    pub(super) fn judge(&self, loss: &Loss) -> Result<(), &'static str> {
        let Loss { name, since, forged, newest, told_at } = *loss;
        let settings = self.settings[name];
        let expired = |id: Id| self.said_at(id).after(settings.history_age_max) <= told_at;
        let forgotten = |id: Id| self.answers.may_have_forgotten(name, self.said_at(id));
        if since.epoch != newest.epoch {
            let newest = self.lives.get(&since.epoch.0).and_then(|life| life.publications.last_key_value());
            let published = newest.map(|(_, id)| self.said_at(*id));
            // Whoever was told the epoch was a member after it came: the room lives on behind the last one.
            let of_epoch = |client: &&Client| client.began.is_some_and(|it| it.position.epoch == since.epoch);
            let joined = self.clients.iter().filter(of_epoch).map(|client| client.who.joined_at).max();
            let used = published.max(joined);
            let fine =
                !settings.has_history() || used.is_none_or(|used| used.after(settings.history_age_max) <= told_at);
            return fine.then_some(()).ok_or("the room should have lived on");
        }
        if since.offset > newest.offset {
            return forged.then_some(()).ok_or("it had seen that position");
        }
        if newest.offset == since.offset {
            return Err("nothing came after it");
        }
        let count = self.steps_between(name, since, newest).unwrap_or_default();
        let bytes: usize = (since.offset + 1..=newest.offset)
            .map(|offset| OVERHEAD_BYTES_MAX + self.id_at(since.epoch, offset).map_or(1_024, |id| id.payload().len()))
            .sum();
        let crowded_out = count > u64::from(settings.history_count_max)
            || newest.offset > since.offset + 1 && (bytes > settings.history_bytes_max || self.is_scarce);
        let first = self.id_at(since.epoch, since.offset + 1);
        let fine = crowded_out || first.is_none_or(|id| expired(id) || forgotten(id));
        fine.then_some(()).ok_or("the room should have kept it")
    }

    /// What a room's home tells of its log.
    fn check_told(&self, told: &Told) {
        let (history, query) = (&told.history, &told.query);
        let (records, newest) = (&history.records, Position { epoch: history.epoch, offset: history.offset });
        assert!(records.len() <= query.limit, "more is told than was asked for");
        let passes = |after: u64, until: u64| {
            after < until && self.are_passed_over(told.name, history.epoch, after + 1..until, told.at)
        };
        let step = |pair: &[Record]| match query.order {
            Order::Forward => passes(pair[0].offset, pair[1].offset),
            Order::Backward => passes(pair[1].offset, pair[0].offset),
        };
        assert!(records.windows(2).all(step), "a log has a gap: {history:?}");
        let is_kept = |record: &Record| !self.may_pass(told.name, id_of(record));
        assert!(records.iter().all(is_kept), "a log tells what is not kept: {history:?}");
        assert!(records.iter().all(|record| record.offset <= history.offset), "told before it was published");
        let count_max = u64::from(self.settings[told.name].history_count_max);
        assert!(records.len() as u64 <= count_max, "a room keeps more than it may");
        let at_end = query.order == Order::Forward && records.len() < query.limit;
        if at_end && let Some(last) = records.last() {
            assert!(passes(last.offset, history.offset + 1), "the newest is missing: {history:?}");
        }
        let Some(since) = query.since.filter(|_| query.order == Order::Forward) else { return };
        if history.complete {
            let first = records.first().map_or(newest.offset + 1, |record| record.offset);
            let is_none_asked = query.limit == 0;
            let fine = is_none_asked || since.epoch == newest.epoch && passes(since.offset, first);
            return assert!(fine, "since {since}, at {newest}: {history:?}");
        }
        let loss = Loss { name: told.name, since, forged: told.forged, newest, told_at: told.at };
        if let Err(why) = self.judge(&loss) {
            panic!("the API was told that {since} is not complete, at {newest}: {why}");
        }
    }
}
