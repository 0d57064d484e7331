//! Where every delivery is accounted for: one desk per worker, behind one lock that only its data thread holds for
//! long.
//!
//! Per delivery: the stamp is read and checked, the ledger asked, two distributions and the fan-out told. No
//! allocation, no hashing, no clock (the time is passed in).

use std::ops::Range;
use std::sync::Arc;

use super::Sent;
use super::dues::{Dues, find};
use super::part::{Part, PhasePart, Tick};
use super::window::Window;
use crate::clock::Nanos;
use crate::fan_out::{FanOut, Keep, ring_for};
use crate::ledger::{Account, Expectation, Ledger, Resumes, Seen, Why};
use crate::outcome::Distribution;
use crate::scenario::Scenario;
use crate::schedule::Span;
use crate::seats::{Kind, Seat, Seats};
use crate::stamp::{self, Read};

/// A ring for the messages of a closed loop: more are not outstanding.
const CLOSED_LOOP_RING: usize = 4_096;

/// More than any run publishes. A server that makes sequences up must not make ledgers look for them.
const SEQUENCES_MAX: u64 = 1 << 40;

/// Ranges of lost messages that are kept for their phases although their ledger knows them no more.
const GONE_MAX: usize = 1 << 16;

/// One subscriber at the desk.
#[derive(Debug)]
struct Place {
    seat: Seat,
    ledger: Option<Ledger>,
}

/// Messages that no ledger knows to be lost any more.
#[derive(Debug)]
struct Gone {
    publisher: u32,
    sequences: Range<u64>,
    whose: Whose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Its ledger was full.
    Member,
    /// It has left, as churning members do.
    Leaver,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    run_id: u64,
    publishers: u32,
    seats: Arc<Seats>,
    places: Vec<Place>,
    /// Lost for whoever has left, or forgotten by a full ledger.
    gone: Vec<Gone>,
    /// Due time of offset 0; none before the start.
    first_due: Option<Nanos>,
    spans: Vec<Span>,
    /// Where the last message's due time and the last arrival were.
    due_span: usize,
    now_span: usize,
    fan_out: FanOut,
    /// Normal members by room: how many each message is to reach for its fan-out to be complete.
    normal: Vec<u32>,
    /// Whether other workers have members of the same rooms.
    keep: Keep,
    window: Option<Arc<Window>>,
    pub(super) part: Part,
    pub(super) second: Tick,
    connected: u64,
    gaps: u64,
}

impl Desk {
    pub(super) fn new(
        (run_id, scenario): (u64, &Scenario),
        seats: Arc<Seats>,
        numbers: &[u32],
        (keep, window): (Keep, Option<Arc<Window>>),
        spans: Vec<Span>,
    ) -> Self {
        let places = numbers.iter().map(|number| seats.subscribers()[*number as usize]);
        let places = places.map(|seat| Place { seat, ledger: None }).collect();
        let publishers = scenario.publishers.count;
        let rate = spans.iter().map(|span| span.rate_per_second).fold(0.0, f64::max);
        let ring = match window {
            Some(_) => CLOSED_LOOP_RING.max(scenario.publishers.window.unwrap_or(0) as usize),
            None => ring_for(rate / f64::from(publishers.max(1)), scenario.limits.arrival_timeout),
        };
        Self {
            run_id,
            publishers,
            normal: vec![0; seats.rooms() as usize],
            seats,
            places,
            gone: Vec::new(),
            first_due: None,
            part: Part { phases: vec![PhasePart::default(); spans.len()], ..Part::default() },
            spans,
            due_span: 0,
            now_span: 0,
            fan_out: FanOut::new(publishers, ring, keep),
            keep,
            window,
            second: Tick::default(),
            connected: 0,
            gaps: 0,
        }
    }

    /// The schedule begins.
    pub(super) const fn start(&mut self, first_due: Nanos) {
        self.first_due = Some(first_due);
    }

    /// Members now.
    pub(super) const fn connected(&self) -> u64 {
        self.connected
    }

    /// A subscriber has become a member, or is one again.
    pub(super) fn joined(&mut self, place: usize, resumes: Resumes) {
        let Place { seat, ledger } = &mut self.places[place];
        self.connected += 1;
        self.part.connected_max = self.part.connected_max.max(self.connected);
        self.part.connections.established += 1;
        match seat.kind {
            Kind::Slow | Kind::Stalled => return,
            Kind::Normal => self.normal[seat.room as usize] += 1,
            Kind::Churning | Kind::Reconnecting => {}
        }
        let Some(ledger) = ledger else {
            // Whoever is there before anything is published is owed everything; how far a publisher is when somebody
            // comes later is not known: its messages are owed from the first one that arrives.
            let expectation = if self.first_due.is_none() { Expectation::From(0) } else { Expectation::Unknown };
            *ledger = Some(Ledger::new(self.seats.publishers_of_room(seat.room) as usize, expectation));
            return;
        };
        ledger.came_back(resumes);
        self.part.connections.resumed += 1;
    }

    /// A member that came back was told that what it missed is not there any more.
    pub(super) fn not_resumed(&mut self, place: usize) {
        if let Some(ledger) = &mut self.places[place].ledger {
            ledger.came_back(Resumes::No);
        }
    }

    /// A member's connection has ended.
    pub(super) fn left(&mut self, place: usize) {
        let Place { seat, ledger } = &mut self.places[place];
        self.connected -= 1;
        if seat.kind == Kind::Normal {
            self.normal[seat.room as usize] -= 1;
        }
        let Some(left) = ledger else { return };
        left.left();
        if seat.kind == Kind::Churning {
            // It comes back as somebody new: what it is not there for is not missed by anybody.
            let sent = vec![0; self.seats.publishers_of_room(seat.room) as usize];
            self.part.account.add(&Account { missed_while_away: 0, ..left.close(&sent) });
            for missing in left.missing(&sent) {
                let slot = u32::try_from(missing.slot).unwrap_or(u32::MAX);
                if self.gone.len() < GONE_MAX {
                    let publisher = self.seats.publisher_at(seat.room, slot);
                    self.gone.push(Gone { publisher, sequences: missing.sequences, whose: Whose::Leaver });
                }
            }
            *ledger = None;
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, kind: String) {
        self.second.errors += 1;
        *self.part.connections.failed.entry(kind).or_default() += 1;
    }

    /// A connection ended that should have lasted.
    pub(super) fn lost_connection(&mut self, place: usize, kind: String) {
        self.second.errors += 1;
        let seat = self.places[place].seat;
        self.part.members_lost += u64::from(matches!(seat.kind, Kind::Normal | Kind::Reconnecting | Kind::Churning));
        *self.part.connections.lost.entry(kind).or_default() += 1;
    }

    /// Somebody got something that is not audited.
    pub(super) fn unaudited(&mut self, now: Nanos) {
        if let Some(span) = self.span_of_now(now) {
            self.part.phases[span].unaudited += 1;
        }
    }

    /// Whether a publisher of this run can have written it; a server may send anything.
    fn is_ours(&self, stamp: &stamp::Stamp) -> bool {
        stamp.run_id == self.run_id
            && stamp.publisher < self.publishers
            && self.seats.room_of_publisher(stamp.publisher) == stamp.room
            && stamp.sequence < SEQUENCES_MAX
    }

    /// A payload has arrived at a subscriber. Whether it is one of this run's, the first time, for this room.
    pub(super) fn delivered(&mut self, place: usize, payload: &[u8], now: Nanos) -> bool {
        let stamp = match stamp::read(payload) {
            Read::Stamped(stamp) if self.is_ours(&stamp) => stamp,
            Read::Stamped(_) | Read::Foreign => {
                self.part.foreign += 1;
                return false;
            }
            Read::Corrupt(_) => {
                self.part.corrupt += 1;
                return false;
            }
        };
        let Place { seat, ledger } = &mut self.places[place];
        let Some(ledger) = ledger else { return false };
        if stamp.room != seat.room {
            self.part.misrouted += 1;
            return false;
        }
        let seat = *seat;
        let slot = self.seats.slot_of_publisher(stamp.publisher) as usize;
        match ledger.observe(slot, stamp.sequence) {
            Seen::InOrder => {}
            Seen::Gap(missing) => self.gaps += missing,
            Seen::OutOfOrder => self.gaps = self.gaps.saturating_sub(1),
            Seen::Duplicate => return false,
        }
        if let Some(forgotten) = ledger.take_forgotten()
            && forgotten.why == Why::Owed
            && self.gone.len() < GONE_MAX
        {
            let slot = u32::try_from(forgotten.slot).unwrap_or(u32::MAX);
            let publisher = self.seats.publisher_at(seat.room, slot);
            self.gone.push(Gone { publisher, sequences: forgotten.sequences, whose: Whose::Member });
        }
        let latency_ns = now.since_ns(stamp.due);
        self.second.deliveries += 1;
        self.second.bytes += payload.len() as u64;
        self.second.latency.record(latency_ns);
        if let Some(span) = self.span_of_now(now) {
            let phase = &mut self.part.phases[span];
            phase.arrived += 1;
            phase.arrived_bytes += payload.len() as u64;
        }
        let due_span = self.span_of_due(stamp.due);
        if let Some(span) = due_span {
            let phase = &mut self.part.phases[span];
            phase.deliveries += 1;
            phase.latency.record(latency_ns);
        }
        if seat.kind == Kind::Normal {
            self.spread(&stamp, seat.room, now, due_span);
        }
        true
    }

    fn spread(&mut self, stamp: &stamp::Stamp, room: u32, now: Nanos, due_span: Option<usize>) {
        let expected = if self.keep == Keep::Partials { u32::MAX } else { self.normal[room as usize] };
        let complete = self.fan_out.delivered(stamp.publisher, stamp.sequence, stamp.due, now, expected);
        let Some(complete) = complete else { return };
        if let Some(span) = due_span {
            self.part.phases[span].spread.record(complete.spread_ns);
            self.part.phases[span].completion.record(complete.completion_ns);
        }
        if let Some(window) = &self.window {
            window.give_back(complete.due);
        }
    }

    /// The phase that `due` lies in.
    fn span_of_due(&mut self, due: Nanos) -> Option<usize> {
        let offset_ns = due.since_ns(self.first_due?);
        self.due_span = find(&self.spans, self.due_span, offset_ns)?;
        Some(self.due_span)
    }

    /// The phase that it is now.
    fn span_of_now(&mut self, now: Nanos) -> Option<usize> {
        let first_due = self.first_due?;
        if now < first_due {
            return None;
        }
        self.now_span = find(&self.spans, self.now_span, now.since_ns(first_due))?;
        Some(self.now_span)
    }

    /// What has happened since the last tick.
    pub(super) fn take_tick(&mut self, second: u64) -> Tick {
        let tick = std::mem::take(&mut self.second);
        Tick { second, connected: self.connected, gaps: self.gaps, ..tick }
    }

    /// By publisher: above the highest sequence that anybody here got.
    pub(super) fn heard(&self) -> Vec<u64> {
        let mut heard = vec![0; self.publishers as usize];
        for (seat, ledger) in self.places.iter().filter_map(|place| Some((place.seat, place.ledger.as_ref()?))) {
            for slot in 0..self.seats.publishers_of_room(seat.room) {
                let heard: &mut u64 = &mut heard[self.seats.publisher_at(seat.room, slot) as usize];
                *heard = (*heard).max(ledger.heard(slot as usize));
            }
        }
        heard
    }

    /// Settles the accounts: nothing comes any more. `sent` by publisher; `dues` tells when each message was due, and
    /// is asked only if something was lost.
    pub(super) fn close(&mut self, sent: &[Sent], dues: &mut Dues<'_>) -> Part {
        // Forgotten by ledgers, and excused all the same: of no matter which message of a publisher.
        let mut excused = vec![0; sent.len()];
        for Place { seat, ledger } in &mut self.places {
            let Some(ledger) = ledger else { continue };
            let publishers =
                (0..self.seats.publishers_of_room(seat.room)).map(|slot| self.seats.publisher_at(seat.room, slot));
            let publishers: Vec<usize> = publishers.map(|publisher| publisher as usize).collect();
            let counts: Vec<u64> = publishers.iter().map(|publisher| sent[*publisher].sequences).collect();
            for (slot, publisher) in publishers.iter().enumerate() {
                excused[*publisher] += ledger.excuse(slot, counts[slot], &sent[*publisher].refused);
            }
            let account = ledger.close(&counts);
            self.part.account.add(&account);
            if account.lost_in_gaps + account.lost_at_tail == 0 {
                continue;
            }
            for missing in ledger.missing(&counts) {
                // Whatever a server made up: no more than was sent is lost.
                for sequence in missing.sequences.start..missing.sequences.end.min(counts[missing.slot]) {
                    if let Some(span) = dues.span_of(publishers[missing.slot], sequence) {
                        self.part.phases[span].lost += 1;
                    }
                }
            }
        }
        for Gone { publisher, sequences, whose } in std::mem::take(&mut self.gone) {
            let publisher = publisher as usize;
            let Sent { sequences: end, refused, .. } = &sent[publisher];
            if whose == Whose::Leaver {
                // Its account was settled when it left.
                let refused = refused.count_in(sequences.clone());
                self.part.account.expected -= refused;
                self.part.account.lost_in_gaps -= refused;
            }
            for sequence in refused.rest_of(sequences.start..sequences.end.min(*end)).flatten() {
                if excused[publisher] > 0 && whose == Whose::Member {
                    excused[publisher] -= 1;
                } else if let Some(span) = dues.span_of(publisher, sequence) {
                    self.part.phases[span].lost += 1;
                }
            }
        }
        // What comes from here on is too late for every phase.
        self.first_due = None;
        self.part.unfinished = self.fan_out.finish();
        self.part.partials = self.fan_out.take_partials();
        std::mem::take(&mut self.part)
    }

    /// Somebody came back and got something.
    pub(super) fn resumed(&mut self, took_ns: u64) {
        self.part.resume.record(took_ns);
    }

    /// A connection was established, and became a member.
    pub(super) fn established(&mut self, connect_ns: u64, handshake_ns: u64) {
        let record = |times: &mut Distribution, ns| times.record(ns);
        record(&mut self.part.connect, connect_ns);
        record(&mut self.part.handshake, handshake_ns);
    }
}
