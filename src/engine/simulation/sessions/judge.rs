//! What must hold of all sessions and all publications together.

use std::collections::HashSet;

use super::super::oracle::Moment;
use super::super::positions::{Book, Loss};
use super::super::reader::{Id, OUTSIDE};
use super::super::world::World;
use super::answers::Chapter;
use super::stay::Stay;
use super::visitor::Visitor;
use crate::engine::clock::Nanos;
use crate::engine::history::Order;
use crate::engine::position::Position;

/// A publication whose publisher was told that it is in the room's order.
struct Accepted {
    room: usize,
    id: Id,
    said_at: Nanos,
}

/// Takes down what sessions were told of positions.
pub(in super::super) fn write(world: &World, book: &mut Book<'_>) {
    for visitor in &world.crowd.visitors {
        for stay in &visitor.stays {
            let Some(began) = stay.began else { continue };
            for (offset, id) in &stay.got {
                book.write(began.epoch, *offset, *id);
            }
        }
        for chapter in &visitor.chapters {
            for (offset, id) in &chapter.publications {
                book.write(chapter.newest.epoch, *offset, *id);
            }
        }
    }
}

/// Checks every stay.
pub(in super::super) fn check(world: &World, book: &Book<'_>, moment: Moment) {
    let accepted = accepted(world);
    for visitor in &world.crowd.visitors {
        visitor.chapters.iter().for_each(|chapter| check_chapter(chapter, book));
        for stay in &visitor.stays {
            check_lost(stay, visitor, book);
            check_order(stay, visitor, book);
            if moment == Moment::AtRest && !stay.is_over && visitor.stays() && visitor.reads() {
                check_newest(stay, visitor, book);
                check_accepted(stay, visitor, &accepted);
            }
        }
    }
}

fn accepted(world: &World) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for visitor in &world.crowd.visitors {
        for (room, _, id) in &visitor.published {
            accepted.push(Accepted { room: *room, id: *id, said_at: visitor.said_at[*room][id.number as usize] });
        }
    }
    for reply in world.replies.iter().filter(|reply| reply.epoch.is_some()) {
        let room = (reply.id.by - OUTSIDE) as usize;
        accepted.push(Accepted { room, id: reply.id, said_at: world.outside[room][reply.id.number as usize] });
    }
    accepted
}

/// Whoever was told that what it missed is gone was told the truth.
fn check_lost(stay: &Stay, visitor: &Visitor, book: &Book<'_>) {
    let (Some(since), Some(false), Some(newest)) = (stay.since, stay.recovered, stay.began) else { return };
    let epoch = if since.any_epoch { newest.epoch } else { since.position.epoch };
    let position = Position { epoch, ..since.position };
    let forged = since.forged || since.any_epoch;
    let loss = Loss { name: stay.room, since: position, forged, newest, told_at: stay.told_at };
    if let Err(why) = book.judge(&loss) {
        panic!("visitor {} was told that everything after {position} is lost, at {newest}: {why}", visitor.who.id);
    }
}

/// What comes without offsets comes in the room's order as well, none twice, none left out where nothing may be.
fn check_order(stay: &Stay, visitor: &Visitor, book: &Book<'_>) {
    let ids: HashSet<Id> = stay.got.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), stay.got.len(), "visitor {} got something twice in room {}", visitor.who.id, stay.room);
    let complete = stay.is_complete(visitor.settings(stay.room), visitor.who.temper);
    // How many came since something whose place is known, and that.
    let (mut steps, mut before) = (0, stay.began);
    for (_, id) in &stay.got {
        let is_kept = !book.may_pass(stay.room, *id);
        steps += u64::from(is_kept);
        let Some(place) = book.place_of(*id) else { continue };
        if let Some(known) = before {
            let between = book.steps_between(stay.room, known, place);
            let fine = place.offset > known.offset && if complete { between == Some(steps) } else { between.is_some() };
            assert!(fine, "visitor {} got {id:?} at {place}, {steps} behind {known}", visitor.who.id);
        }
        (steps, before) = (0, Some(place));
    }
}

/// A log has no gap but what is passed over.
fn check_chapter(chapter: &Chapter, book: &Book<'_>) {
    let Chapter { room, query, told_at, newest, publications } = chapter;
    let mut offsets: Vec<u64> = publications.iter().map(|(offset, _)| *offset).collect();
    if let (Some(since), Order::Forward, false) = (query.since, query.order, offsets.is_empty()) {
        offsets.insert(0, since.offset);
    }
    if query.order == Order::Backward {
        offsets.reverse();
    }
    let is_whole = offsets
        .windows(2)
        .all(|pair| pair[0] < pair[1] && book.are_passed_over(*room, newest.epoch, pair[0] + 1..pair[1], *told_at));
    assert!(is_whole, "a log has a gap: {publications:?} at {newest}, asked with {query:?}");
    let is_kept = |(_, id): &(u64, Id)| !book.may_pass(*room, *id);
    assert!(publications.iter().all(is_kept), "a log tells what is not kept: {publications:?}");
}

/// Nothing newer is there than what it has.
fn check_newest(stay: &Stay, visitor: &Visitor, book: &Book<'_>) {
    let last = stay.got.last().and_then(|(_, id)| book.place_of(*id));
    let Some(Position { epoch, offset }) = stay.position().or(last) else { return };
    let newest = book.newest_of(epoch).unwrap_or(0);
    let fine = offset >= newest || book.are_passed_over(stay.room, epoch, offset + 1..newest + 1, stay.told_at);
    assert!(fine, "visitor {} has {offset} of room {}, at {newest}", visitor.who.id, stay.room);
}

/// What was accepted while it was there, or behind its own command to be there, has come.
fn check_accepted(stay: &Stay, visitor: &Visitor, accepted: &[Accepted]) {
    if !stay.is_complete(visitor.settings(stay.room), visitor.who.temper) {
        return;
    }
    let has = |id: Id| stay.got.iter().any(|(_, other)| *other == id);
    for Accepted { id, said_at, .. } in accepted.iter().filter(|it| it.room == stay.room) {
        assert!(
            *said_at <= stay.told_at || has(*id),
            "visitor {} in room {} missed {id:?}, which was accepted",
            visitor.who.id,
            stay.room
        );
    }
    let Some(command) = stay.command.filter(|_| stay.recovered != Some(false)) else { return };
    for (room, by, id) in &visitor.published {
        let own = *room == stay.room && *by > command;
        assert!(!own || has(*id), "visitor {} missed {id:?} of its own, which was accepted", visitor.who.id);
    }
}
