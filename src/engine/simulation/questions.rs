//! What the API asks of rooms' homes now and then, and what it is told.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::world::World;
use crate::engine::asking::{Answer, Ask};
use crate::engine::clock::Nanos;
use crate::engine::command::Command;
use crate::engine::history::{History, HistoryQuery, Order};
use crate::engine::position::Start;

/// One that is not answered yet.
pub(super) struct Question {
    name: usize,
    wish: Wish,
    answer: oneshot::Receiver<Answer>,
}

/// What is asked.
#[derive(Clone, Copy)]
struct Wish {
    ask: Ask,
    /// Whether a position in it is made up.
    forged: bool,
    /// Which of the pairs of questions around a forgetting it belongs to.
    forgetting: Option<usize>,
}

/// What was answered.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) histories: Vec<Told>,
    /// By name of the room, when it was known that it had let go of everything; `None`: it is not known yet.
    pub(super) forgettings: Vec<(usize, Option<Nanos>)>,
}

/// A part of a room's log, as it was told.
pub(super) struct Told {
    pub(super) name: usize,
    pub(super) query: HistoryQuery,
    pub(super) forged: bool,
    /// When it was known.
    pub(super) at: Nanos,
    pub(super) history: History,
    /// Which of the pairs of questions around a forgetting it belongs to.
    pub(super) forgetting: Option<usize>,
}

impl World {
    /// Somebody wants to see a room's past, or wants it gone.
    pub(super) fn ask(&mut self) {
        let name = self.random.below(self.names.len());
        if self.random.one_in(8) {
            let forgetting = Some(self.answers.forgettings.len());
            let stands = HistoryQuery { since: None, limit: 0, order: Order::Forward };
            let all = HistoryQuery { since: None, limit: usize::MAX, order: Order::Forward };
            // In this order at the home: what was there before is not there behind it.
            for ask in [Ask::History(stands), Ask::Forget, Ask::History(all)] {
                if self.put(name, Wish { ask, forged: false, forgetting }).is_none() {
                    return;
                }
            }
            return;
        }
        let (since, forged) = match self.choose_start(name) {
            (Start::After(position), forged) => (Some(position), forged),
            _ => (None, false),
        };
        let order = self.random.pick(&[Order::Forward, Order::Forward, Order::Backward]);
        let limit = self.random.pick(&[0, 1, 3, usize::MAX]);
        let ask = Ask::History(HistoryQuery { since, limit, order });
        self.put(name, Wish { ask, forged, forgetting: None });
    }

    fn put(&mut self, name: usize, wish: Wish) -> Option<()> {
        let ask = wish.ask;
        let room = self.directory.get(&self.names[name])?;
        let slot = self.nodes[room.home].sender.try_reserve(0)?;
        let (reply, answer) = oneshot::channel();
        assert!(slot.send(Command::Ask { room: Arc::clone(&room), ask, reply }).is_ok(), "the shard has not ended");
        if matches!(ask, Ask::Forget) {
            self.answers.forgettings.push((name, None));
        }
        self.questions.push(Question { name, wish, answer });
        Some(())
    }

    /// Takes note of what has been answered.
    pub(super) fn take_answers(&mut self) {
        let (now, answers) = (self.now, &mut self.answers);
        self.questions.retain_mut(|question| {
            let Ok(answer) = question.answer.try_recv() else { return true };
            let Question { name, wish: Wish { ask, forged, forgetting }, .. } = *question;
            match (ask, answer) {
                (Ask::History(query), Answer::History(Some(history))) => {
                    answers.histories.push(Told { name, query, forged, at: now, history, forgetting });
                }
                (Ask::Forget, Answer::Forgotten) => {
                    answers.forgettings[forgetting.expect("it has a number")].1 = Some(now);
                }
                (Ask::History(_), Answer::History(None)) => {}
                (ask, answer) => panic!("{ask:?} was answered with {answer:?}"),
            }
            false
        });
    }
}

impl Answers {
    /// Whether the room may have let go of what was published at `said_at` or later.
    pub(super) fn may_have_forgotten(&self, name: usize, said_at: Nanos) -> bool {
        self.forgettings.iter().any(|(other, known)| *other == name && known.is_none_or(|known| known >= said_at))
    }

    /// Nothing that was there when a room was to let go of it is told afterwards.
    pub(super) fn check_forgettings(&self) {
        for pair in self.histories.windows(2) {
            let [before, after] = pair else { continue };
            if before.forgetting.is_none() || before.forgetting != after.forgetting {
                continue;
            }
            let (epoch, offset) = (before.history.epoch, before.history.offset);
            let fine = after.history.epoch != epoch || after.history.records.iter().all(|it| it.offset > offset);
            assert!(fine, "forgotten, and told: {:?}", after.history);
        }
    }
}
