//! The pacer: a thread that publishes each message when it is due, and never waits for anybody who reads.
//!
//! What is due is encoded and handed to the kernel right here. What a socket does not take waits, and what is due
//! behind it too: late, and seen to be late, but not lost. A message counts as sent when the kernel has all of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::publisher::Voice;
use super::sent::{LOOK_AT_LEAST_EVERY, SentBook};
use super::window::Window;
use crate::clock::Nanos;
use crate::payload::Payloads;
use crate::scenario::Format;
use crate::schedule::{Due, Schedule, Span};
use crate::seats::Seats;
use crate::stamp::Stamp;

/// While something waits for a socket, it is tried again this often.
const RETRY: Duration = Duration::from_micros(200);

/// How long, at the end, sockets may take for what waits.
const LAST_FLUSH_MAX: Duration = Duration::from_secs(1);

/// What messages are made of.
pub(super) struct Ink {
    pub(super) run_id: u64,
    pub(super) payloads: Payloads,
    pub(super) seats: Arc<Seats>,
    pub(super) format: Format,
    pub(super) first_due: Mutex<Nanos>,
}

impl Ink {
    /// When a message is due.
    pub(super) fn due_time(&self, due: &Due) -> Nanos {
        self.first_due.lock().expect("nobody panics while holding it").after(Duration::from_nanos(due.offset_ns))
    }

    /// Its payload.
    pub(super) fn fill(&self, due: &Due, payload: &mut Vec<u8>) {
        let stamp = Stamp {
            run_id: self.run_id,
            room: self.seats.room_of_publisher(due.publisher),
            publisher: due.publisher,
            sequence: due.sequence,
            due: self.due_time(due),
        };
        self.payloads.fill(&stamp, payload);
    }
}

/// One publisher as the pacer has it.
struct Pen {
    publisher: u32,
    /// None: its connection is gone.
    voice: Option<Voice>,
    /// Due, and not encoded yet.
    waiting: VecDeque<Due>,
    /// Encoded, and not wholly with the kernel.
    under_way: Vec<Due>,
}

/// See the module.
pub(super) struct Pacer {
    pub(super) ink: Arc<Ink>,
    pub(super) book: Arc<Mutex<SentBook>>,
    pub(super) stop: Arc<AtomicBool>,
    pens: Vec<Pen>,
    /// Place in `pens` by publisher.
    pen_of: Vec<Option<usize>>,
    payload: Vec<u8>,
    message: Vec<u8>,
}

/// When each message of a closed loop was due, by publisher.
pub(super) type ClosedLoopDues = Vec<Vec<Nanos>>;

impl Pacer {
    pub(super) fn new(
        ink: Arc<Ink>,
        book: Arc<Mutex<SentBook>>,
        stop: Arc<AtomicBool>,
        voices: Vec<(u32, Voice)>,
        publishers: u32,
    ) -> Self {
        let mut pen_of = vec![None; publishers as usize];
        let pen =
            |(publisher, voice)| Pen { publisher, voice: Some(voice), waiting: VecDeque::new(), under_way: Vec::new() };
        let pens: Vec<Pen> = voices.into_iter().map(pen).collect();
        for (place, pen) in pens.iter().enumerate() {
            pen_of[pen.publisher as usize] = Some(place);
        }
        Self { ink, book, stop, pens, pen_of, payload: Vec::new(), message: Vec::new() }
    }

    /// Asks for more of the processor than the threads that read: a reader that is behind must not make the pacer late.
    /// Only a privileged user gets it.
    fn hurry() {
        rustix::process::nice(-10).ok();
    }

    /// An open loop: publishes what the schedule says until it ends, or until it is told to stop.
    pub(super) fn run_schedule(&mut self, schedule: Schedule) {
        Self::hurry();
        let (ink, pen_of) = (Arc::clone(&self.ink), self.pen_of.clone());
        let mut schedule = schedule.filter(|due| pen_of[due.publisher as usize].is_some()).peekable();
        while let Some(due) = schedule.peek() {
            if !self.wait_until(ink.due_time(due)) {
                break;
            }
            let now = Nanos::now();
            while let Some(due) = schedule.next_if(|due| ink.due_time(due) <= now) {
                let pen = pen_of[due.publisher as usize].expect("others are filtered out");
                self.pens[pen].waiting.push_back(due);
            }
            self.flush();
        }
        self.flush_last();
    }

    /// A closed loop: whenever there is a free place in the window, the next message is due.
    pub(super) fn run_window(&mut self, window: &Window, spans: &[Span], timeout: Duration) -> ClosedLoopDues {
        Self::hurry();
        let mut dues = vec![Vec::new(); self.pen_of.len()];
        let first_due = *self.ink.first_due.lock().expect("nobody panics while holding it");
        let end_ns = spans.last().map_or(0, |span| span.end_ns);
        first_due.sleep_until();
        let mut turn = 0;
        while !self.pens.is_empty() && !self.stop.load(Ordering::Relaxed) {
            window.wait(LOOK_AT_LEAST_EVERY);
            let now = Nanos::now();
            let free = window.take(now, timeout);
            let offset_ns = now.since_ns(first_due);
            if offset_ns >= end_ns {
                break;
            }
            let phase = spans.iter().position(|span| offset_ns < span.end_ns).unwrap_or(0);
            for _ in 0..free {
                let pen = turn % self.pens.len();
                turn += 1;
                let publisher = self.pens[pen].publisher;
                let list: &mut Vec<Nanos> = &mut dues[publisher as usize];
                let phase = u32::try_from(phase).unwrap_or(0);
                let due = Due { offset_ns, publisher, sequence: list.len() as u64, phase };
                list.push(now);
                self.pens[pen].waiting.push_back(due);
            }
            self.flush();
        }
        self.flush_last();
        dues
    }

    /// Waits, and keeps on flushing what waits for a socket. False: it was told to stop.
    fn wait_until(&mut self, at: Nanos) -> bool {
        loop {
            // First the time: what was due before it was told to stop is published, late as it may be.
            let now = Nanos::now();
            if now >= at {
                return true;
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let step = if self.is_idle() { LOOK_AT_LEAST_EVERY } else { RETRY };
            at.min(now.after(step)).sleep_until();
            if !self.is_idle() {
                self.flush();
            }
        }
    }

    /// Whether nothing waits for a socket.
    fn is_idle(&self) -> bool {
        self.pens.iter().all(|pen| pen.waiting.is_empty() && pen.under_way.is_empty())
    }

    fn flush(&mut self) {
        for pen in &mut self.pens {
            if pen.waiting.is_empty() && pen.under_way.is_empty() {
                continue;
            }
            if let Err(problem) = pen.flush(&self.ink, &self.book, (&mut self.payload, &mut self.message)) {
                // What it had to say is not said: it counts as not published.
                self.book.lock().expect("nobody panics while holding it").error(format!("publisher: {problem}"));
                pen.voice = None;
                pen.waiting.clear();
                pen.under_way.clear();
            }
        }
    }

    fn flush_last(&mut self) {
        let end = Nanos::now().after(LAST_FLUSH_MAX);
        while !self.is_idle() && Nanos::now() < end {
            self.flush();
            Nanos::now().after(RETRY).sleep_until();
        }
        let left: usize = self.pens.iter().map(|pen| pen.waiting.len() + pen.under_way.len()).sum();
        let mut book = self.book.lock().expect("nobody panics while holding it");
        for _ in 0..left {
            book.error("publisher: due, and not taken by the server until the end");
        }
    }
}

impl Pen {
    /// Hands over as much as is taken.
    fn flush(
        &mut self,
        ink: &Ink,
        book: &Mutex<SentBook>,
        (payload, message): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<(), String> {
        match &self.voice {
            None => self.waiting.clear(),
            Some(Voice::Posts(sender)) => {
                while let Some(due) = self.waiting.front() {
                    match sender.try_send(*due) {
                        Ok(()) => drop(self.waiting.pop_front()),
                        Err(_) if sender.is_closed() => return Err("its task has ended".to_owned()),
                        Err(_) => break,
                    }
                }
            }
            Some(Voice::Connection { outlet, session }) => {
                let mut outlet = outlet.lock().expect("nobody panics while holding it");
                while !outlet.is_full()
                    && let Some(due) = self.waiting.pop_front()
                {
                    ink.fill(&due, payload);
                    let mut session = session.lock().expect("nobody panics while holding it");
                    let kind = session.publication(ink.format, payload, message);
                    drop(session);
                    outlet.push_message(kind, message);
                    self.under_way.push(due);
                }
                if outlet.flush().map_err(|error| super::connect::kind_of(&error))? {
                    let now = Nanos::now();
                    let mut book = book.lock().expect("nobody panics while holding it");
                    for due in self.under_way.drain(..) {
                        book.sent(due.publisher, due.phase, ink.due_time(&due), now);
                    }
                }
            }
        }
        Ok(())
    }
}
