//! The same key for the same room publishes once: whoever repeats a request whose answer was lost gets that answer.
//!
//! An answer is remembered from when the publication has its place in the room's order, for a time and within a number
//! of keys, the oldest out; a publication that failed is not remembered. Whoever comes while the first is still on its
//! way waits for it. Whoever comes with the same key and another message is refused: to answer for the first would lose
//! the second without a word. This node's alone, and gone with the process. Control path: one lock, never held across
//! an await.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
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

/// Why there is no publication.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The engine refuses it.
    #[error(transparent)]
    Engine(#[from] PublishError),
    /// The key has published something else.
    #[error("this idempotency key came with another message into this room: a new message needs a new key")]
    OtherMessage,
}

/// Stands for a message: that two have the same is as likely as a guess of 64 bits.
type Digest = u64;

#[derive(Debug)]
struct Answers {
    time_max: Duration,
    keys_max: usize,
    entries: HashMap<Arc<Key>, (Digest, Entry)>,
    /// With keys of this process: nobody can look for two messages with one digest.
    digests: RandomState,
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
    /// The key stands for another message.
    Refuse,
    /// Make it. Whoever waits is woken by the end of this.
    Make(watch::Sender<()>),
}

impl Idempotency {
    pub(crate) fn new(time_max: Duration, keys_max: usize) -> Arc<Self> {
        let answers = Answers {
            time_max,
            keys_max,
            entries: HashMap::new(),
            given: VecDeque::new(),
            digests: RandomState::new(),
        };
        Arc::new(Self(Mutex::new(answers)))
    }

    /// Publishes, unless the same key has published into this room before.
    ///
    /// With a key, the publication goes on when whoever asked for it goes away: else nobody would know whether it was
    /// made.
    ///
    /// # Errors
    /// The engine refuses it, or the key has published another message into this room.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        engine: &Engine,
        room: RoomName,
        key: Option<&str>,
        publication: Publication,
    ) -> Result<Published, Refused> {
        let Some(key) = key else { return Ok(engine.publish_with(&room, publication).await?) };
        let Publication { kind, payload, tags, keeping, .. } = &publication;
        let digest = self.answers().digests.hash_one((*kind as u8, payload, tags, *keeping as u8));
        let engine = engine.clone();
        let named = Key { room: room.clone(), key: key.into() };
        self.once(Arc::new(named), digest, async move { engine.publish_with(&room, publication).await }).await
    }

    async fn once(
        self: &Arc<Self>,
        key: Arc<Key>,
        digest: Digest,
        publish: impl Future<Output = Result<Published, PublishError>> + Send + 'static,
    ) -> Result<Published, Refused> {
        let woken_by_end = loop {
            let turn = self.answers().begin(&key, digest, Instant::now());
            match turn {
                Turn::Made(published) => return Ok(published),
                Turn::Refuse => return Err(Refused::OtherMessage),
                // An error: the sender is gone, which is what is waited for.
                Turn::Wait(mut end) => drop(end.changed().await),
                Turn::Make(end) => break end,
            }
        };
        let attempt =
            Attempt { idempotency: Arc::clone(self), key, digest, published: None, _woken_by_end: woken_by_end };
        let made = tokio::spawn(async move {
            let mut attempt = attempt;
            let outcome = publish.await;
            attempt.published = outcome.as_ref().ok().copied();
            outcome
        });
        // The runtime ends tasks only when it ends itself.
        Ok(made.await.unwrap_or(Err(PublishError::Ended))?)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// A publication on its way. However it ends, its entry says so before those who wait are woken.
struct Attempt {
    idempotency: Arc<Idempotency>,
    key: Arc<Key>,
    digest: Digest,
    published: Option<Published>,
    _woken_by_end: watch::Sender<()>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let answer = self.published.map(|published| (self.digest, published));
        self.idempotency.answers().end(&self.key, answer, Instant::now());
    }
}

impl Answers {
    fn begin(&mut self, key: &Arc<Key>, digest: Digest, now: Instant) -> Turn {
        self.forget_until(now);
        match self.entries.get(key) {
            Some((first, _)) if *first != digest => Turn::Refuse,
            Some((_, Entry::Given(published))) => Turn::Made(*published),
            Some((_, Entry::OnItsWay(end))) => Turn::Wait(end.clone()),
            None => {
                let (end, watched) = watch::channel(());
                self.entries.insert(Arc::clone(key), (digest, Entry::OnItsWay(watched)));
                Turn::Make(end)
            }
        }
    }

    fn end(&mut self, key: &Arc<Key>, answer: Option<(Digest, Published)>, now: Instant) {
        let Some((digest, published)) = answer else {
            self.entries.remove(key);
            return;
        };
        while self.given.len() >= self.keys_max {
            self.forget_oldest();
        }
        self.entries.insert(Arc::clone(key), (digest, Entry::Given(published)));
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

    const MESSAGE: Digest = 1;
    const ANOTHER: Digest = 2;

    fn key(room: &str, key: &str) -> Arc<Key> {
        Arc::new(Key { room: RoomName::new(room).unwrap(), key: key.into() })
    }

    fn published(offset: u64) -> Published {
        Published { offset, members: 0, epoch: None }
    }

    async fn at_once(idempotency: &Arc<Idempotency>, key: Arc<Key>, offset: u64) -> u64 {
        idempotency.once(key, MESSAGE, async move { Ok(published(offset)) }).await.unwrap().offset
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
            tokio::spawn(async move { idempotency.once(key, MESSAGE, async { Ok(answered.await.unwrap()) }).await })
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
            tokio::spawn(async move { idempotency.once(key, MESSAGE, publish).await })
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
        assert_eq!(first.await.unwrap(), Err(Refused::Engine(PublishError::Ended)));
        assert_eq!(second.await.unwrap(), 2);
        assert_eq!(at_once(&idempotency, key("a", "k"), 3).await, 2);
    }

    #[tokio::test]
    async fn another_message_with_the_same_key_is_refused_until_that_is_forgotten() {
        let idempotency = Idempotency::new(TIME_MAX, 1);
        let another = |name| {
            let (idempotency, key) = (Arc::clone(&idempotency), key("a", name));
            async move { idempotency.once(key, ANOTHER, async { Ok(published(9)) }).await }
        };
        assert_eq!(at_once(&idempotency, key("a", "k"), 1).await, 1);
        assert_eq!(another("k").await, Err(Refused::OtherMessage));
        assert_eq!(at_once(&idempotency, key("a", "k"), 2).await, 1, "the first is still remembered");
        assert_eq!(another("l").await.unwrap().offset, 9);
        assert_eq!(another("k").await.unwrap().offset, 9);
    }

    #[test]
    fn answers_are_forgotten_with_time_and_by_number() {
        let idempotency = Idempotency::new(TIME_MAX, 2);
        let (mut answers, start) = (idempotency.answers(), Instant::now());
        let mut give = |name: &str, offset, after_s| {
            let (key, now) = (key("a", name), start + Duration::from_secs(after_s));
            match answers.begin(&key, MESSAGE, now) {
                Turn::Made(published) => published.offset,
                Turn::Wait(_) | Turn::Refuse => 0,
                Turn::Make(_) => {
                    answers.end(&key, Some((MESSAGE, published(offset))), now);
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
