//! The same key for the same room publishes once: whoever repeats a request whose answer was lost gets that answer.
//!
//! An answer is remembered from when the publication has its place in the room's order, for a time and within a number
//! of keys, the oldest out; a publication that failed is not remembered. Whoever comes while the first is still on its
//! way waits for it. This node's alone, and gone with the process. Control path: one lock, never held across an await.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use shardcast::engine::room::RoomName;
use shardcast::engine::{Engine, Publication, PublishError, Published};
use tokio::sync::watch;

/// Longest key, bytes.
pub(crate) const KEY_BYTES_MAX: usize = 255;

/// What was answered, by room and key.
#[derive(Debug)]
pub(crate) struct Idempotency(Mutex<Answers>);

/// A publication that its sender may repeat.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    room: RoomName,
    key: Box<str>,
}

#[derive(Debug)]
struct Answers {
    time_max: Duration,
    keys_max: usize,
    entries: HashMap<Arc<Key>, Entry>,
    /// The keys of all answers and when they are forgotten, the oldest first.
    given: VecDeque<(Instant, Arc<Key>)>,
}

#[derive(Debug)]
enum Entry {
    /// Ends when the publication has its answer, or has failed.
    OnItsWay(watch::Receiver<()>),
    Given(Published),
}

/// What is to be done with a publication.
enum Turn {
    /// It was made before.
    Made(Published),
    /// It is being made: come again when this ends.
    Wait(watch::Receiver<()>),
    /// Make it. Whoever waits is woken by the end of this.
    Make(watch::Sender<()>),
}

impl Idempotency {
    pub(crate) fn new(time_max: Duration, keys_max: usize) -> Arc<Self> {
        let answers = Answers { time_max, keys_max, entries: HashMap::new(), given: VecDeque::new() };
        Arc::new(Self(Mutex::new(answers)))
    }

    /// Publishes, unless the same key has published into this room before.
    ///
    /// With a key, the publication goes on when whoever asked for it goes away: else nobody would know whether it was
    /// made.
    ///
    /// # Errors
    /// The engine refuses it.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        engine: &Engine,
        room: RoomName,
        key: Option<&str>,
        publication: Publication,
    ) -> Result<Published, PublishError> {
        let Some(key) = key else { return engine.publish_with(&room, publication).await };
        let engine = engine.clone();
        let named = Key { room: room.clone(), key: key.into() };
        self.once(Arc::new(named), async move { engine.publish_with(&room, publication).await }).await
    }

    async fn once(
        self: &Arc<Self>,
        key: Arc<Key>,
        publish: impl Future<Output = Result<Published, PublishError>> + Send + 'static,
    ) -> Result<Published, PublishError> {
        let woken_by_end = loop {
            let turn = self.answers().begin(&key, Instant::now());
            match turn {
                Turn::Made(published) => return Ok(published),
                // An error: the sender is gone, which is what is waited for.
                Turn::Wait(mut end) => drop(end.changed().await),
                Turn::Make(end) => break end,
            }
        };
        let attempt = Attempt { idempotency: Arc::clone(self), key, published: None, _woken_by_end: woken_by_end };
        let made = tokio::spawn(async move {
            let mut attempt = attempt;
            let outcome = publish.await;
            attempt.published = outcome.as_ref().ok().copied();
            outcome
        });
        // The runtime ends tasks only when it ends itself.
        made.await.unwrap_or(Err(PublishError::Ended))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// A publication on its way. However it ends, its entry says so before those who wait are woken.
struct Attempt {
    idempotency: Arc<Idempotency>,
    key: Arc<Key>,
    published: Option<Published>,
    _woken_by_end: watch::Sender<()>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.idempotency.answers().end(&self.key, self.published, Instant::now());
    }
}

impl Answers {
    fn begin(&mut self, key: &Arc<Key>, now: Instant) -> Turn {
        self.forget_until(now);
        match self.entries.get(key) {
            Some(Entry::Given(published)) => Turn::Made(*published),
            Some(Entry::OnItsWay(end)) => Turn::Wait(end.clone()),
            None => {
                let (end, watched) = watch::channel(());
                self.entries.insert(Arc::clone(key), Entry::OnItsWay(watched));
                Turn::Make(end)
            }
        }
    }

    fn end(&mut self, key: &Arc<Key>, published: Option<Published>, now: Instant) {
        let Some(published) = published else {
            self.entries.remove(key);
            return;
        };
        while self.given.len() >= self.keys_max {
            self.forget_oldest();
        }
        self.entries.insert(Arc::clone(key), Entry::Given(published));
        self.given.push_back((now + self.time_max, Arc::clone(key)));
    }

    fn forget_until(&mut self, now: Instant) {
        while self.given.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.given.pop_front() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const TIME_MAX: Duration = Duration::from_secs(10);

    fn key(room: &str, key: &str) -> Arc<Key> {
        Arc::new(Key { room: RoomName::new(room).unwrap(), key: key.into() })
    }

    fn published(offset: u64) -> Published {
        Published { offset, members: 0, epoch: None }
    }

    async fn at_once(idempotency: &Arc<Idempotency>, key: Arc<Key>, offset: u64) -> u64 {
        idempotency.once(key, async move { Ok(published(offset)) }).await.unwrap().offset
    }

    #[tokio::test]
    async fn the_first_answer_stands_for_its_room_and_key() {
        let idempotency = Idempotency::new(TIME_MAX, 10);
        assert_eq!(at_once(&idempotency, key("a", "k"), 1).await, 1);
        assert_eq!(at_once(&idempotency, key("a", "k"), 2).await, 1);
        assert_eq!(at_once(&idempotency, key("b", "k"), 3).await, 3);
        assert_eq!(at_once(&idempotency, key("a", "l"), 4).await, 4);
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_even_if_that_has_gone_away() {
        let idempotency = Idempotency::new(TIME_MAX, 10);
        let (answer, answered) = oneshot::channel();
        let first = {
            let (idempotency, key) = (Arc::clone(&idempotency), key("a", "k"));
            tokio::spawn(async move { idempotency.once(key, async { Ok(answered.await.unwrap()) }).await })
        };
        while idempotency.answers().entries.is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        first.abort();
        let second = {
            let (idempotency, key) = (Arc::clone(&idempotency), key("a", "k"));
            tokio::spawn(async move { at_once(&idempotency, key, 2).await })
        };
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        answer.send(published(1)).unwrap();
        assert_eq!(second.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_failed_is_not_remembered_and_who_waited_tries_itself() {
        let idempotency = Idempotency::new(TIME_MAX, 10);
        let (fail, failed) = oneshot::channel::<()>();
        let publish = async {
            failed.await.ok();
            Err(PublishError::Ended)
        };
        let first = {
            let (idempotency, key) = (Arc::clone(&idempotency), key("a", "k"));
            tokio::spawn(async move { idempotency.once(key, publish).await })
        };
        while idempotency.answers().entries.is_empty() {
            tokio::task::yield_now().await;
        }
        let second = {
            let (idempotency, key) = (Arc::clone(&idempotency), key("a", "k"));
            tokio::spawn(async move { at_once(&idempotency, key, 2).await })
        };
        tokio::task::yield_now().await;
        drop(fail);
        assert_eq!(first.await.unwrap(), Err(PublishError::Ended));
        assert_eq!(second.await.unwrap(), 2);
        assert_eq!(at_once(&idempotency, key("a", "k"), 3).await, 2);
    }

    #[test]
    fn answers_are_forgotten_with_time_and_by_number() {
        let idempotency = Idempotency::new(TIME_MAX, 2);
        let (mut answers, start) = (idempotency.answers(), Instant::now());
        let mut give = |name: &str, offset, after_s| {
            let (key, now) = (key("a", name), start + Duration::from_secs(after_s));
            match answers.begin(&key, now) {
                Turn::Made(published) => published.offset,
                Turn::Wait(_) => 0,
                Turn::Make(_) => {
                    answers.end(&key, Some(published(offset)), now);
                    offset
                }
            }
        };
        assert_eq!(give("k", 1, 0), 1);
        assert_eq!(give("k", 2, 9), 1, "asking again does not prolong it");
        assert_eq!(give("k", 3, 10), 3, "its time is over");
        assert_eq!(give("l", 4, 11), 4);
        assert_eq!(give("m", 5, 12), 5, "the oldest goes");
        assert_eq!((give("l", 6, 13), give("m", 6, 13), give("k", 6, 13)), (4, 5, 6));
        assert_eq!(answers.given.len(), 2);
        assert_eq!(answers.entries.len(), 2);
    }
}
