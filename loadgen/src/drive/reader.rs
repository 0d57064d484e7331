//! The thread that reads for normal members: one loop over all their sockets, a clock read and a `recv` per arrival, no
//! task and no allocation. A connection comes here when it is a member, and is here until it ends.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};

use super::connect::kind_of;
use super::hearing::{Reaction, hear_frames};
use super::listen::{End, Parts};
use super::messages::Messages;
use super::subscriber::Audience;
use super::wire::{DelayedAcks, Wire};
use crate::adapter::Session;
use crate::clock::Nanos;

/// What one read takes at most. One that takes less has emptied the socket, so that nobody asks it again.
const READ_BYTES: usize = 64 << 10;
/// Sockets that are looked at before the kernel is asked for further ones.
const EVENTS: usize = 1_024;
/// An answer that the server does not take: pongs of one that only writes.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// There is an end to be read.
const ENDING: epoll::EventFlags = epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// Stands for the call to look up, among the places of connections.
const WAKE: u64 = u64::MAX;

/// Where connections are handed over.
pub(super) struct Intake {
    /// One per subscriber at most.
    new: Mutex<Vec<(usize, Parts<Wire>)>>,
    wake: OwnedFd,
    ends: AtomicBool,
}

impl Intake {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { new: Mutex::default(), wake, ends: AtomicBool::new(false) })
    }

    /// Takes over the connection of the member at `place`.
    pub(super) fn hand_over(&self, place: usize, parts: Parts<Wire>) {
        self.new.lock().expect("nobody panics while holding it").push((place, parts));
        self.wake();
    }

    /// Ends the thread.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Full: then it has been called 2^64 times, and is awake.
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
    }
}

/// One member's.
struct Connection {
    place: usize,
    stream: TcpStream,
    session: Session,
    messages: Messages,
    acks: DelayedAcks,
    /// Answers that the socket has not taken.
    pending: Vec<u8>,
}

/// See the module.
struct Reader {
    audience: Arc<Audience>,
    epoll: OwnedFd,
    /// By the number that the kernel says. None: it has ended.
    connections: Vec<Option<Connection>>,
    buffer: Box<[u8]>,
}

/// Starts the thread.
pub(super) fn start(audience: &Arc<Audience>) -> Result<JoinHandle<()>, String> {
    let failed = |error: io::Error| format!("no reader: {error}");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let wake = epoll::EventData::new_u64(WAKE);
    epoll::add(&epoll, &audience.intake.wake, wake, epoll::EventFlags::IN).map_err(|error| failed(error.into()))?;
    let buffer = vec![0; READ_BYTES].into_boxed_slice();
    let mut reader = Reader { audience: Arc::clone(audience), epoll, connections: Vec::new(), buffer };
    std::thread::Builder::new().name("reader".to_owned()).spawn(move || reader.run()).map_err(failed)
}

impl Reader {
    fn run(&mut self) {
        let audience = Arc::clone(&self.audience);
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        while !audience.intake.ends.load(Ordering::Acquire) {
            events.clear();
            // Interrupted by a signal: then there is nothing.
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).ok();
            for event in &events {
                match event.data.u64() {
                    WAKE => self.welcome(),
                    number => self.attend(number, event.flags),
                }
            }
        }
    }

    fn welcome(&mut self) {
        let audience = Arc::clone(&self.audience);
        rustix::io::read(&audience.intake.wake, &mut [0; 8]).ok();
        let new = std::mem::take(&mut *audience.intake.new.lock().expect("nobody panics while holding it"));
        for (place, Parts { session, stream, messages }) in new {
            let Wire { stream, unread, acks } = stream;
            let stream = match stream.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    self.ended(place, kind_of(&error));
                    continue;
                }
            };
            let mut connection = Connection { place, stream, session, messages, acks, pending: Vec::new() };
            // What came with the answer to the handshake, and what has come since: the kernel tells of that at once.
            let heard = connection.hear(&self.audience, &unread, Nanos::now());
            let number = self.connections.len();
            let data = epoll::EventData::new_u64(number as u64);
            let flags =
                epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            let added = epoll::add(&self.epoll, &connection.stream, data, flags);
            match heard.and_then(|()| added.map_err(|error| kind_of(&error.into()))) {
                Ok(()) => self.connections.push(Some(connection)),
                Err(end) => self.ended(place, end),
            }
        }
    }

    fn ended(&self, place: usize, end: End) {
        let mut desk = self.audience.desk.lock().expect("nobody panics while holding it");
        desk.left(place);
        desk.lost_connection(place, end);
    }

    fn attend(&mut self, number: u64, flags: epoll::EventFlags) {
        let Some(slot) = usize::try_from(number).ok().and_then(|number| self.connections.get_mut(number)) else {
            return;
        };
        let Some(connection) = slot else { return };
        if let Err(end) = connection.attend(&self.audience, flags, &mut self.buffer) {
            let place = connection.place;
            // Closes the socket, and with it what the kernel watches.
            *slot = None;
            self.ended(place, end);
        }
    }
}

impl Connection {
    /// Reads what has come, and writes what could not be written.
    #[inline]
    fn attend(&mut self, audience: &Audience, flags: epoll::EventFlags, buffer: &mut [u8]) -> Result<(), End> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        loop {
            let taken = match self.stream.read(buffer) {
                Ok(0) => return Err(kind_of(&io::Error::from(ErrorKind::UnexpectedEof))),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(kind_of(&error)),
            };
            let now = Nanos::now();
            self.acks.after_read(&self.stream);
            self.hear(audience, &buffer[..taken], now)?;
            // Whatever comes from now on the kernel tells anew; an end that is there already it has told.
            if taken < buffer.len() && !flags.intersects(ENDING) {
                return Ok(());
            }
        }
    }

    #[inline]
    fn hear(&mut self, audience: &Audience, bytes: &[u8], now: Nanos) -> Result<(), End> {
        let mut reaction = Reaction::default();
        let mut desk = audience.desk.lock().expect("nobody panics while holding it");
        let place = self.place;
        let mut ear = |payload: &[u8], now| _ = desk.delivered(place, payload, now);
        let heard = hear_frames((&mut self.messages, &mut self.session), (bytes, now), &mut ear, &mut reaction);
        drop(desk);
        let mut answered = Ok(());
        if !reaction.answer.is_empty() {
            self.pending.extend_from_slice(&reaction.answer);
            answered = self.flush();
        }
        heard?;
        answered?;
        reaction.refusal()
    }

    #[cold]
    fn flush(&mut self) -> Result<(), End> {
        let mut done = 0;
        while done < self.pending.len() {
            match self.stream.write(&self.pending[done..]) {
                Ok(taken) => done += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(kind_of(&error)),
            }
        }
        self.pending.drain(..done);
        if self.pending.len() > PENDING_BYTES_MAX {
            return Err("it takes no answers".to_owned());
        }
        Ok(())
    }
}
