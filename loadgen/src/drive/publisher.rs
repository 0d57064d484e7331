//! Publishers' connections: opened before the schedule begins, then read (and answered) for as long as they last.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::connect::{Carrier, Failure, within};
use super::http_publisher::{self, Posts};
use super::listen::{Line, Refusal, Refused};
use super::outlet::Outlet;
use super::pacer::Ink;
use super::ramp::room_name;
use super::sent::SentBook;
use super::subscriber::Audience;
use super::wire::PublisherWire;
use crate::adapter::{Role, Session};
use crate::clock::Nanos;
use crate::scenario::PublishVia;
use crate::schedule::Due;
use crate::seats::Seats;

/// Messages that wait for a publisher whose post is outstanding, before further ones wait in the schedule.
const POSTS_WAITING_MAX: usize = 65_536;

/// How the pacer speaks as a publisher.
pub(super) enum Voice {
    /// Over a connection.
    Connection {
        /// Where its frames go.
        outlet: Arc<Mutex<Outlet>>,
        /// Makes frames of payloads.
        session: Arc<Mutex<Session>>,
    },
    /// By posts, which a task makes.
    Posts(mpsc::Sender<Due>),
}

/// Opens the connection of publisher `number`.
pub(super) async fn open(
    audience: &Arc<Audience>,
    seats: &Seats,
    number: u32,
    (ink, book, stop): (&Arc<Ink>, &Arc<Mutex<SentBook>>, &Arc<AtomicBool>),
) -> Result<Voice, Failure> {
    let room = room_name(&audience.scenario.rooms.name, seats.room_of_publisher(number));
    if audience.scenario.target.publish == PublishVia::Http {
        let format = audience.scenario.payload.format;
        let publish = audience.dialect.http_publish(&room, format).ok_or("target.publish_url is missing")?;
        let (sender, receiver) = mpsc::channel(POSTS_WAITING_MAX);
        let posts =
            Posts { publish, due: receiver, ink: Arc::clone(ink), book: Arc::clone(book), stop: Arc::clone(stop) };
        let timeout = audience.scenario.subscribers.handshake_timeout;
        book.lock().expect("nobody panics while holding it").posting += 1;
        tokio::spawn(http_publisher::run(posts, Arc::clone(audience), number, timeout));
        return Ok(Voice::Posts(sender));
    }
    let session = Session::new(&audience.dialect, &room, Role::Publisher, None);
    let opening = async {
        let opened = audience.route.open(&session.request(), number, None).await?;
        let Carrier::Messages(wire) = opened.carrier else {
            return Err("an event stream cannot publish: target.publish = \"http\"".to_owned());
        };
        let (read, write) = wire.stream.into_split();
        let outlet = Arc::new(Mutex::new(Outlet::new(write)));
        let mut line =
            Line::over_messages(session, PublisherWire { read, unread: wire.unread, outlet: Arc::clone(&outlet) });
        line.join(&mut |_: &[u8], _| ()).await?;
        Ok((line, outlet))
    };
    let (line, outlet) = within(audience.scenario.subscribers.handshake_timeout, opening).await?;
    let session = Arc::clone(&line.session);
    tokio::spawn(read(line, number, Arc::clone(audience), Arc::clone(book)));
    Ok(Voice::Connection { outlet, session })
}

/// Takes whatever comes (where publishers are members, a copy of every message), so that the server does not find it
/// slow. Each refusal counts.
async fn read(mut line: Line<PublisherWire>, number: u32, audience: Arc<Audience>, book: Arc<Mutex<SentBook>>) {
    let mut copy = |_: &[u8], now: Nanos| audience.desk.lock().expect("nobody panics while holding it").unaudited(now);
    loop {
        if let Err(end) = line.next(&mut copy).await {
            let mut book = book.lock().expect("nobody panics while holding it");
            if line.refused().is_empty() {
                book.error(format!("publisher: {end}"));
                book.sent[number as usize].ended = true;
                return;
            }
            for Refusal { what, words } in line.refused() {
                match what {
                    Refused::Publication(which) => book.refused(number, *which, words),
                    Refused::Connection => book.error(format!("publisher: refused: {words}")),
                }
            }
        }
    }
}
