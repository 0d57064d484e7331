//! What a room keeps of its past, at its home: the log that members resume from and that the API reads.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::clock::Nanos;
use super::command::Keeping;
use super::position::{Epoch, Position};
use super::settings::RoomSettings;
use crate::protocol::centrifuge::publication::PublicationView;
use crate::protocol::frame::MessageKind;

/// One publication as the log keeps it. Cheap to clone: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the room, dense within an epoch.
    pub offset: u64,
    /// Whether the payload is text.
    pub kind: MessageKind,
    /// What was published.
    pub payload: Bytes,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What the publisher says about it, a JSON object.
    pub tags: Option<Arc<str>>,
    /// Who published it, a JSON object, if the publisher is known.
    pub info: Option<Arc<str>>,
}

impl Record {
    /// As the encoders see it.
    #[must_use]
    pub fn view(&self) -> PublicationView<'_> {
        PublicationView {
            offset: self.offset,
            kind: self.kind,
            payload: &self.payload,
            time_ms: self.time_ms,
            tags: self.tags.as_deref(),
            info: self.info.as_deref(),
        }
    }
}

/// What to read of a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HistoryQuery {
    /// Only what came after this position (reversed: in front of it); `None`: from the oldest (reversed: the newest)
    /// on.
    pub since: Option<Position>,
    /// At most so many publications; 0: only where the room stands.
    pub limit: usize,
    /// In which direction.
    pub order: Order,
}

/// The direction in which a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest first.
    #[default]
    Forward,
    /// The newest first.
    Backward,
}

/// A part of a room's log, and where the room stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The room's epoch.
    pub epoch: Epoch,
    /// Offset of the newest publication; 0: none yet.
    pub offset: u64,
    /// Whether everything between `since` and the first record is there: false if `since` is of another epoch, yet to
    /// come, or in front of what the room has kept.
    pub complete: bool,
    /// What was asked for.
    pub records: Vec<Record>,
}

/// A room's log: its newest publications, within the bounds of its settings.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: VecDeque<(Record, Nanos, Keeping)>,
    bytes: usize,
    /// What each record is charged with, in the same order.
    costs: VecDeque<usize>,
    /// Records that are passing: they have a place, and nothing in it.
    passing: usize,
}

/// What a record costs beside its payload, bytes.
const RECORD_OVERHEAD_BYTES: usize = size_of::<(Record, Nanos, Keeping)>() + size_of::<usize>();

impl Log {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Memory that it accounts for, bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Offset of the oldest publication that is kept.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.records.front().map(|(record, ..)| record.offset)
    }

    /// When the oldest publication that is kept was published.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.records.front().map(|(_, published, _)| *published)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &(Record, Nanos, Keeping)> {
        self.records.iter()
    }

    /// Keeps a publication, and lets go of what is too much by then. The newest stays even if it alone is too long.
    pub(crate) fn append(&mut self, record: Record, (published, keeping): (Nanos, Keeping), settings: &RoomSettings) {
        debug_assert!(
            self.records.back().is_none_or(|(newest, ..)| newest.offset + 1 == record.offset),
            "offsets are dense"
        );
        // A passing one costs its whole length, too: for as long as something in front of it is kept, its frame stands
        // in the windows of the shards that had members when it came.
        let cost = cost(&record);
        let record = match keeping {
            Keeping::Kept => record,
            Keeping::Passing => Record { payload: Bytes::new(), tags: None, info: None, ..record },
        };
        self.passing += usize::from(keeping == Keeping::Passing);
        self.bytes += cost;
        self.costs.push_back(cost);
        self.records.push_back((record, published, keeping));
        let count_max = usize::try_from(settings.history_count_max).unwrap_or(usize::MAX);
        let too_many = |log: &Self| log.records.len() - log.passing > count_max;
        while self.records.len() > 1 && (too_many(self) || self.bytes > settings.history_bytes_max) {
            self.forget_oldest();
        }
    }

    /// Lets go of what was published before `oldest`.
    pub(crate) fn expire(&mut self, oldest: Nanos) {
        while self.oldest().is_some_and(|published| published < oldest) {
            self.forget_oldest();
        }
    }

    /// Lets go of the oldest publication.
    pub(crate) fn forget_oldest(&mut self) {
        if let Some((_, _, keeping)) = self.records.pop_front() {
            self.passing -= usize::from(keeping == Keeping::Passing);
            self.bytes -= self.costs.pop_front().expect("each record has its cost");
        }
        if self.records.is_empty() {
            *self = Self::default();
        }
    }

    /// Offset in front of the `count` newest publications that are kept, of a room that stands at `now`. O(count), and
    /// what has passed between them.
    pub(crate) fn before_newest(&self, count: usize, now: u64) -> u64 {
        let Some(before) = count.checked_sub(1) else { return now };
        let kept =
            |(record, _, keeping): &(Record, Nanos, Keeping)| (*keeping == Keeping::Kept).then_some(record.offset);
        let nth = self.records.iter().rev().filter_map(kept).nth(before);
        nth.or_else(|| self.first_offset()).map_or(now, |first| first - 1)
    }

    /// Reads a part, for a room that stands at `now`.
    pub(crate) fn read(&self, query: &HistoryQuery, now: Position) -> History {
        let Position { epoch, offset } = now;
        let first = self.first_offset().unwrap_or(offset + 1);
        let since = query.since.map(|since| if since.epoch == epoch { since.offset } else { u64::MAX });
        let complete = match (since, query.order) {
            (None, _) => true,
            (Some(since), Order::Forward) => since <= offset && since + 1 >= first,
            (Some(since), Order::Backward) => since <= offset + 1 && since >= first,
        };
        let mut records = Vec::new();
        if complete || since.is_some_and(|since| since < first) {
            let after = since.unwrap_or(0);
            let index = |offset: u64| usize::try_from(offset.saturating_sub(first)).unwrap_or(usize::MAX);
            let shown =
                |(record, _, keeping): &(Record, Nanos, Keeping)| (*keeping == Keeping::Kept).then(|| record.clone());
            records = match query.order {
                Order::Forward => {
                    self.records.iter().skip(index(after + 1)).filter_map(shown).take(query.limit).collect()
                }
                Order::Backward => {
                    let end = since.map_or(self.records.len(), |since| index(since).min(self.records.len()));
                    self.records.range(..end).rev().filter_map(shown).take(query.limit).collect()
                }
            };
        }
        History { epoch, offset, complete, records }
    }
}

pub(crate) fn cost(record: &Record) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    RECORD_OVERHEAD_BYTES + record.payload.len() + text(&record.tags) + text(&record.info)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(7);

    fn record(offset: u64) -> Record {
        let payload = Bytes::from(offset.to_string());
        Record { offset, kind: MessageKind::Text, payload, time_ms: 0, tags: None, info: None }
    }

    /// A room of which 10 publications were made and 3..=10 are kept.
    fn log() -> (Log, Position) {
        let settings = RoomSettings { history_count_max: 8, ..RoomSettings::default() };
        let mut log = Log::default();
        for offset in 1..=10 {
            log.append(record(offset), (Nanos(offset), Keeping::Kept), &settings);
        }
        (log, Position { epoch: EPOCH, offset: 10 })
    }

    #[test]
    fn bounds() {
        let (mut log, _) = log();
        assert_eq!(log.first_offset(), Some(3));
        let settings = RoomSettings { history_count_max: 8, history_bytes_max: 1, ..RoomSettings::default() };
        log.append(record(11), (Nanos(11), Keeping::Kept), &settings);
        assert_eq!((log.first_offset(), log.records.len()), (Some(11), 1), "the newest is always kept");
        log.expire(Nanos(12));
        assert_eq!((log.is_empty(), log.bytes()), (true, 0));
    }

    #[test]
    fn parts() {
        let (log, now) = log();
        let read = |since: Option<(u64, u64)>, limit, order| {
            let since = since.map(|(epoch, offset)| Position { epoch: Epoch(epoch), offset });
            let history = log.read(&HistoryQuery { since, limit, order }, now);
            (history.complete, history.records.iter().map(|record| record.offset).collect::<Vec<_>>())
        };
        let (all, forward, backward) = (usize::MAX, Order::Forward, Order::Backward);
        for (since, limit, order, expected) in [
            (None, all, forward, (true, vec![3, 4, 5, 6, 7, 8, 9, 10])),
            (None, 0, forward, (true, vec![])),
            (None, 2, forward, (true, vec![3, 4])),
            (None, 2, backward, (true, vec![10, 9])),
            (Some((7, 8)), all, forward, (true, vec![9, 10])),
            (Some((7, 10)), all, forward, (true, vec![])),
            (Some((7, 2)), 1, forward, (true, vec![3])),
            (Some((7, 1)), 1, forward, (false, vec![3])),
            (Some((7, 11)), all, forward, (false, vec![])),
            (Some((8, 8)), all, forward, (false, vec![])),
            (Some((7, u64::MAX)), all, forward, (false, vec![])),
            (Some((7, 5)), all, backward, (true, vec![4, 3])),
            (Some((7, 11)), 1, backward, (true, vec![10])),
            (Some((7, 12)), 1, backward, (false, vec![])),
        ] {
            assert_eq!(read(since, limit, order), expected, "{since:?} {limit} {order:?}");
        }
    }

    #[test]
    fn what_passes_takes_nothing_else_s_place() {
        let settings = RoomSettings { history_count_max: 2, ..RoomSettings::default() };
        let mut log = Log::default();
        for offset in 1..=9 {
            let keeping = if offset % 3 == 0 { Keeping::Kept } else { Keeping::Passing };
            log.append(record(offset), (Nanos(offset), keeping), &settings);
        }
        let now = Position { epoch: EPOCH, offset: 9 };
        let read = |since: Option<u64>, limit, order| {
            let since = since.map(|offset| Position { epoch: EPOCH, offset });
            let history = log.read(&HistoryQuery { since, limit, order }, now);
            (history.complete, history.records.iter().map(|record| record.offset).collect::<Vec<_>>())
        };
        assert_eq!(
            log.first_offset(),
            Some(4),
            "the first of those that are kept has gone, with what was in front of it"
        );
        assert_eq!(read(None, 9, Order::Forward), (true, vec![6, 9]));
        assert_eq!(read(None, 1, Order::Backward), (true, vec![9]));
        assert_eq!(read(Some(4), 1, Order::Forward), (true, vec![6]));
        assert_eq!(read(Some(9), 9, Order::Backward), (true, vec![6]));
        assert_eq!([0, 1, 2, 3].map(|count| log.before_newest(count, 9)), [9, 8, 5, 3]);
        assert_eq!([0, 1].map(|count| Log::default().before_newest(count, 9)), [9, 9]);
        for _ in 0..6 {
            log.forget_oldest();
        }
        assert_eq!((log.is_empty(), log.bytes(), log.passing), (true, 0, 0));
    }
}
