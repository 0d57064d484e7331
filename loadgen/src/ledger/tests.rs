//! Every kind of delivery by hand, and random ones against a model that keeps sets of everything.

use std::collections::BTreeSet;

use rand::RngExt as _;

use super::missing::RANGES_MAX;
use super::*;
use crate::seed::{Purpose, rng};

fn observe_all(ledger: &mut Ledger, sequences: &[u64]) -> Vec<Seen> {
    sequences.iter().map(|sequence| ledger.observe(0, *sequence)).collect()
}

#[test]
fn each_kind_of_delivery_is_told() {
    use Seen::{Duplicate, Gap, InOrder, OutOfOrder};
    let cases: [(Expectation, &[u64], &[Seen]); 8] = [
        (Expectation::From(0), &[0, 1, 2], &[InOrder, InOrder, InOrder]),
        (Expectation::From(0), &[2, 3], &[Gap(2), InOrder]),
        (Expectation::From(5), &[5, 7, 6, 6], &[InOrder, Gap(1), OutOfOrder, Duplicate]),
        (Expectation::From(5), &[9, 5, 8, 7, 6], &[Gap(4), OutOfOrder, OutOfOrder, OutOfOrder, OutOfOrder]),
        (Expectation::Unknown, &[40, 41, 41], &[InOrder, InOrder, Duplicate]),
        (Expectation::Unknown, &[40, 39, 39], &[InOrder, OutOfOrder, Duplicate]),
        (Expectation::From(0), &[0, 0, 1], &[InOrder, Duplicate, InOrder]),
        (
            Expectation::From(0),
            &[5, 2, 2, 1, 3, 0, 4],
            &[Gap(5), OutOfOrder, Duplicate, OutOfOrder, OutOfOrder, OutOfOrder, OutOfOrder],
        ),
    ];
    for (expectation, sequences, wanted) in cases {
        let mut ledger = Ledger::new(1, expectation);
        assert_eq!(observe_all(&mut ledger, sequences), wanted, "{expectation:?}, {sequences:?}");
    }
}

#[test]
fn losses_are_told_apart_by_where_they_are() {
    let mut ledger = Ledger::new(2, Expectation::From(0));
    observe_all(&mut ledger, &[0, 1, 4, 5, 5, 3]);
    let account = ledger.close(&[9, 2]);
    let wanted = Account {
        expected: 11,
        received: 5,
        lost_in_gaps: 1,
        lost_at_tail: 5,
        duplicated: 1,
        out_of_order: 1,
        ..Account::default()
    };
    assert_eq!(account, wanted);
    let missing: Vec<_> = ledger.missing(&[9, 2]).map(|missing| (missing.slot, missing.sequences)).collect();
    assert_eq!(missing, [(0, 2..3), (0, 6..9), (1, 0..2)]);
}

#[test]
fn what_is_missed_while_away_is_owed_to_those_who_resume() {
    // 0..3 arrive, 3..6 are published while it is away, 6 arrives, 7 does not.
    let account = |resumes| {
        let mut ledger = Ledger::new(1, Expectation::From(0));
        observe_all(&mut ledger, &[0, 1, 2]);
        ledger.left();
        ledger.came_back(resumes);
        ledger.observe(0, 6);
        let account = ledger.close(&[8]);
        (account.expected, account.lost_in_gaps, account.lost_at_tail, account.missed_while_away)
    };
    assert_eq!(account(Resumes::Yes), (8, 3, 1, 0));
    assert_eq!(account(Resumes::No), (5, 0, 1, 3));
}

#[test]
fn who_is_away_at_the_end_is_owed_nothing_more() {
    let mut ledger = Ledger::new(1, Expectation::From(0));
    observe_all(&mut ledger, &[0, 1]);
    ledger.left();
    let away = ledger.close(&[10]);
    assert_eq!((away.expected, away.missed_while_away), (2, 8));
    ledger.came_back(Resumes::No);
    let silent = ledger.close(&[10]);
    assert_eq!((silent.expected, silent.missed_while_away), (2, 8));
    ledger.owe_from(0, 6);
    let known = ledger.close(&[10]);
    assert_eq!((known.expected, known.lost_at_tail, known.missed_while_away), (6, 4, 4));
}

#[test]
fn who_never_got_anything_is_owed_only_what_is_known() {
    let unknown = Ledger::new(1, Expectation::Unknown).close(&[10]);
    assert_eq!(unknown, Account::default());
    let known = Ledger::new(1, Expectation::From(4)).close(&[10]);
    assert_eq!((known.expected, known.lost_at_tail), (6, 6));
}

#[test]
fn forgotten_ranges_stay_in_the_account() {
    let mut ledger = Ledger::new(2, Expectation::From(0));
    let gaps = RANGES_MAX as u64 + 10;
    let mut forgotten = Vec::new();
    ledger.observe(1, 3);
    for gap in 0..gaps {
        assert_eq!(ledger.observe(0, 2 * gap + 1), Seen::Gap(1));
        forgotten.extend(ledger.take_forgotten().map(|missing| missing.sequences.start));
    }
    assert_eq!(forgotten, (0..11).map(|gap| 2 * gap).collect::<Vec<_>>());
    assert_eq!(ledger.observe(0, 0), Seen::Duplicate, "it can no longer be told");
    assert_eq!(ledger.observe(0, 2 * gaps - 2), Seen::OutOfOrder);
    let account = ledger.close(&[2 * gaps, 4]);
    assert_eq!((account.expected, account.lost_in_gaps, account.untold), (2 * gaps + 4, gaps + 2, 11));
    assert_eq!(ledger.missing(&[2 * gaps, 4]).count() as u64, gaps - 10 - 2 + 1);
}

#[test]
fn what_was_refused_is_not_owed_whether_it_is_remembered_or_not() {
    let gaps = RANGES_MAX as u64 + 10;
    for named in [true, false] {
        let mut ledger = Ledger::new(2, Expectation::From(0));
        let mut refused = Refused::default();
        ledger.observe(1, 3);
        for gap in 0..gaps {
            ledger.observe(0, 2 * gap + 1);
            if named {
                refused.add(2 * gap..2 * gap + 1);
            } else {
                refused.add_unnamed();
            }
        }
        // One more at the tail, and one that is lost.
        let sent = [2 * gaps + 2, 4];
        if named {
            refused.add(2 * gaps..2 * gaps + 1);
        } else {
            refused.add_unnamed();
        }
        assert_eq!(ledger.excuse(0, sent[0], &refused), if named { 0 } else { 11 });
        assert_eq!(ledger.excuse(1, sent[1], &Refused::default()), 0);
        let account = ledger.close(&sent);
        assert_eq!((account.expected, account.received), (gaps + 1 + 4, gaps + 1), "{named}: {account:?}");
        assert_eq!((account.lost_in_gaps, account.lost_at_tail), (3, 1), "{named}");
        let missing: Vec<_> = ledger.missing(&sent).map(|missing| (missing.slot, missing.sequences)).collect();
        assert_eq!(missing, [(1, 0..3), (0, 2 * gaps + 1..2 * gaps + 2)], "{named}");
    }
}

/// The same as [`Ledger`], the obvious way: sets of sequences of one publisher.
#[derive(Default)]
struct Model {
    arrived: BTreeSet<u64>,
    /// Below this everything is received, owed or excused.
    above: u64,
    excused: BTreeSet<u64>,
    missed_while_away: BTreeSet<u64>,
    /// Never published.
    refused: BTreeSet<u64>,
    excusing: bool,
    heard: bool,
    duplicated: u64,
    out_of_order: u64,
}

impl Model {
    fn observe(&mut self, sequence: u64) {
        if !self.arrived.insert(sequence) {
            self.duplicated += 1;
            return;
        }
        if sequence < self.above {
            self.out_of_order += 1;
            self.excused.remove(&sequence);
            self.missed_while_away.remove(&sequence);
            return;
        }
        if self.excusing {
            let between = self.above..sequence;
            if self.heard {
                self.missed_while_away.extend(between);
            } else {
                self.excused.extend(between);
            }
            self.excusing = false;
        }
        self.heard = true;
        self.above = sequence + 1;
    }

    fn close(&self, sent: u64, presence: Presence) -> Account {
        let mut account = Account {
            received: self.arrived.len() as u64,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
            missed_while_away: self.missed_while_away.difference(&self.refused).count() as u64,
            ..Account::default()
        };
        for sequence in 0..sent {
            let excused = self.excused.contains(&sequence) || self.missed_while_away.contains(&sequence);
            if self.arrived.contains(&sequence) || excused || self.refused.contains(&sequence) {
                continue;
            }
            if sequence < self.above {
                account.lost_in_gaps += 1;
            } else if !self.heard && self.excusing {
                // It may have been published before the subscriber joined.
            } else if presence == Presence::Away || self.excusing {
                account.missed_while_away += 1;
            } else {
                account.lost_at_tail += 1;
            }
        }
        account.expected = account.received + account.lost_in_gaps + account.lost_at_tail;
        account
    }
}

#[test]
fn random_deliveries_agree_with_sets_of_everything() {
    for seed in 0..2_000 {
        let mut rng = rng(seed, Purpose::Leaving, 0);
        let publishers = rng.random_range(1..4_usize);
        let unknown = rng.random_bool(0.5);
        let (drops, repeats, reorders) =
            (rng.random_range(0.0..0.3), rng.random_range(0.0..0.2), rng.random_range(0.0..0.3));
        let refusals = if rng.random_bool(0.5) { rng.random_range(0.0..0.3) } else { 0.0 };
        let mut ledger = Ledger::new(publishers, if unknown { Expectation::Unknown } else { Expectation::From(0) });
        let mut models: Vec<Model> = Vec::new();
        models.resize_with(publishers, || Model { excusing: unknown, heard: !unknown, ..Model::default() });
        let mut sent = vec![0_u64; publishers];
        let mut late: Vec<(usize, u64)> = Vec::new();
        let mut presence = Presence::Here;
        for _ in 0..rng.random_range(0..150) {
            let slot = rng.random_range(0..publishers);
            let sequence = sent[slot];
            sent[slot] += 1;
            if rng.random_bool(0.03) {
                if presence == Presence::Here {
                    ledger.left();
                    presence = Presence::Away;
                } else {
                    let resumes = if rng.random_bool(0.5) { Resumes::Yes } else { Resumes::No };
                    ledger.came_back(resumes);
                    models.iter_mut().for_each(|model| model.excusing |= resumes == Resumes::No);
                    presence = Presence::Here;
                }
            }
            if rng.random_bool(refusals) {
                models[slot].refused.insert(sequence);
                continue;
            }
            if presence == Presence::Away || rng.random_bool(drops) {
                continue;
            }
            late.push((slot, sequence));
            if rng.random_bool(reorders) {
                continue;
            }
            while let Some((slot, sequence)) = late.pop() {
                for _ in 0..=u32::from(rng.random_bool(repeats)) {
                    let before = models[slot].duplicated;
                    models[slot].observe(sequence);
                    let seen = ledger.observe(slot, sequence);
                    assert_eq!(seen == Seen::Duplicate, models[slot].duplicated > before, "seed {seed}");
                }
            }
        }
        let mut wanted = Account::default();
        for (model, sent) in models.iter().zip(&sent) {
            wanted.add(&model.close(*sent, presence));
        }
        for (slot, model) in models.iter().enumerate() {
            let mut refused = Refused::default();
            for sequence in &model.refused {
                refused.add(*sequence..*sequence + 1);
            }
            assert_eq!(ledger.excuse(slot, sent[slot], &refused), 0);
        }
        assert_eq!(ledger.close(&sent), wanted, "seed {seed}");
        let missing: u64 = ledger.missing(&sent).map(|missing| missing.sequences.count() as u64).sum();
        assert_eq!(missing, wanted.lost_in_gaps + wanted.lost_at_tail, "seed {seed}");
    }
}
