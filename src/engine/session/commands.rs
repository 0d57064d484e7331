//! What each command does.

use uuid::Uuid;

use super::super::asking::{Answer, Answered, Ask, Asker, Question};
use super::super::command::Keeping;
use super::super::history::{History, HistoryQuery, Order, Record};
use super::super::inbound::{is_used_up, refilled};
use super::super::metrics::Counter;
use super::super::outbox::Stamp;
use super::super::position::{Epoch, Position};
use super::super::post::{Message, Payload, ToShard};
use super::super::settings::ClientPublish;
use super::super::shard::{Shard, publication_counter};
use super::super::socket::Socket;
use super::super::window::Publisher;
use super::later::Waiting;
use super::{Phase, Session, Transport, ping_s};
use crate::protocol::centrifuge::code::{Disconnect, Error};
use crate::protocol::centrifuge::reply::{self, ConnectResult, SubscribeResult};
use crate::protocol::centrifuge::{self, Body, Command, Connect, StreamPosition};
use crate::protocol::frame::MessageKind;

/// Bytes of one answer to `history`: a client goes on behind the last publication that it got.
const HISTORY_REPLY_BYTES_MAX: usize = 512 << 10;

/// What the server says it is.
const VERSION: &str = concat!("shardcast ", env!("CARGO_PKG_VERSION"));

impl<S: Socket> Shard<S> {
    /// Does what one command says, which stands in `line`; an error ends the session.
    pub(super) fn command(&mut self, number: u32, command: Command<'_>, line: &[u8]) -> Result<(), Disconnect> {
        let Command { id, body } = command;
        let Some(session) = self.session(number) else { return Ok(()) };
        match (session.phase, &body) {
            (Phase::New, Body::Connect(_)) => {}
            // The server has nothing but `connect` to expect, and nobody says it twice.
            (Phase::New, _) | (_, Body::Connect(_)) => return Err(Disconnect::BAD_REQUEST),
            _ => {}
        }
        if let Some(waiting) = self.waits_for(number, &body) {
            if let Err(error) = self.put_off(number, waiting, line) {
                self.refuse(number, id, &error);
            }
            return Ok(());
        }
        let refused = match body {
            Body::Connect(connect) => {
                self.connect(number, id, &connect);
                None
            }
            Body::Subscribe(subscribe) => self.subscribe(number, id, &subscribe).err(),
            Body::Unsubscribe { channel } => {
                self.unsubscribe_by_client(number, &channel);
                self.say(number, |out| reply::unsubscribe(out, id));
                None
            }
            Body::Publish { channel, data } => self.publish(number, id, &channel, data.get().as_bytes()).err(),
            Body::History(history) => self.ask_history(number, id, &history).err(),
            Body::Presence { channel } => self.ask(number, id, &channel, Ask::Presence).err(),
            Body::PresenceStats { channel } => self.ask(number, id, &channel, Ask::PresenceStats).err(),
            Body::Send { .. } => {
                self.counts.add(Counter::MessagesUnheard, 1);
                None
            }
            Body::Pong => return self.ponged(number),
            Body::Rpc { .. } => Some(Error::NOT_AVAILABLE.because("rpc: this server calls nobody")),
            Body::Refresh { .. } | Body::SubRefresh { .. } => {
                Some(Error::NOT_AVAILABLE.because("nothing here expires"))
            }
            Body::Ping => Some(Error::NOT_AVAILABLE),
            Body::Unknown => Some(Error::METHOD_NOT_FOUND),
        };
        if let Some(error) = refused {
            self.refuse(number, id, &error);
        }
        Ok(())
    }

    fn refuse(&mut self, number: u32, id: u32, error: &Error) {
        self.counts.add(Counter::CommandsRefused, 1);
        self.say(number, |out| reply::error(out, id, error));
    }

    fn connect(&mut self, number: u32, id: u32, connect: &Connect<'_>) {
        let left = self.subscribe_to_server_rooms(number, &connect.subs);
        let Some(session) = self.session(number) else { return };
        session.phase = Phase::Connecting { command: id, left };
        if left == 0 {
            self.answer_connect(number);
        }
    }

    /// Answers `connect`: everything that belongs to it is there.
    pub(super) fn answer_connect(&mut self, number: u32) {
        let results = self.begin_server_rooms(number);
        let ping_s = ping_s(&self.settings);
        let (shard, time_ms) = (self.own_number, self.unix.milliseconds_at(self.now));
        let Some(connection) = self.connections.get_mut(number) else { return };
        let serial = connection.serial;
        let Some(session) = self.session(number) else { return };
        let Phase::Connecting { command, .. } = session.phase else { return };
        session.phase = Phase::Connected;
        let (client, token) = (session.client, session.token(shard, number, serial));
        let mut buffer = Uuid::encode_buffer();
        let subs: Vec<(&str, SubscribeResult<'_>)> =
            results.iter().map(|result| (result.channel(), result.to_reply())).collect();
        let result = ConnectResult {
            client: client.as_hyphenated().encode_lower(&mut buffer),
            version: VERSION,
            subs: &subs,
            ping_s,
            pong: true,
            session: if session.transport == Transport::WebSocket { "" } else { &token },
            node: if session.transport == Transport::WebSocket { "" } else { super::NODE },
            time_ms,
            ..ConnectResult::default()
        };
        session.say(|out| reply::connect(out, command, &result));
        self.schedule_first_ping(number);
        self.send_replies(number);
        self.hear_later(number, Waiting::Connect);
    }

    /// Publishes for a client; it is told when the publication has its place in the room's order.
    fn publish(&mut self, number: u32, id: u32, channel: &str, data: &[u8]) -> Result<(), Error> {
        let Some(subscription) = self.subscription_to(number, channel) else {
            return Err(Error::PERMISSION_DENIED.because("publishing needs a subscription"));
        };
        let Some(room) = self.subscriptions.get(subscription).and_then(|it| self.rooms.get(it.room)) else {
            return Err(Error::INTERNAL);
        };
        if room.settings.publish == ClientPublish::Refused {
            return Err(Error::PERMISSION_DENIED.because("this room is listen-only: room.publish is \"refused\""));
        }
        let (room_id, home) = (room.room.id, room.room.home);
        self.take_allowance(number)?;
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let publisher = Publisher::connection(self.own_number, connection.serial);
        let Some(session) = self.session(number) else { return Ok(()) };
        let info = session.info();
        let (kind, published) = (MessageKind::Text, self.now);
        if home == self.own_number {
            let (payload, info) = (Payload::Borrowed(data), Some(&info));
            let message = Message { kind, payload, publisher, published, tags: None, info, keeping: Keeping::Kept };
            let published = self.homes.publish(room_id, &message);
            self.counts.add(publication_counter(published), 1);
        } else {
            self.outbox.publish(home, (kind, data), Some(&info), Stamp { room_id, publisher, published });
        }
        self.ask_home(number, id, (room_id, home), Ask::Published);
        Ok(())
    }

    /// Counts a message against the rate that a connection may publish at.
    fn take_allowance(&mut self, number: u32) -> Result<(), Error> {
        let Some(rate) = self.settings.limits.publish_per_second_max else { return Ok(()) };
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let extra = connection.extra();
        let mut allowance = refilled(extra.allowance, rate, now);
        let refused = is_used_up(&allowance);
        if !refused {
            allowance.micro_messages -= 1_000_000;
        }
        extra.allowance = Some(allowance);
        if refused { Err(Error::TOO_MANY_REQUESTS) } else { Ok(()) }
    }

    fn ask_history(&mut self, number: u32, id: u32, asked: &centrifuge::History<'_>) -> Result<(), Error> {
        let since = asked.since.as_ref().map(|since| position(since, self.epoch_of(number, &asked.channel)));
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let order = if asked.reverse { Order::Backward } else { Order::Forward };
        self.ask(number, id, &asked.channel, Ask::History(HistoryQuery { since, limit, order }))
    }

    /// The epoch of a room that a session is in.
    fn epoch_of(&mut self, number: u32, channel: &str) -> Epoch {
        let subscription = self.subscription_to(number, channel);
        let room = subscription.and_then(|it| self.subscriptions.get(it)).and_then(|it| self.rooms.get(it.room));
        room.map_or(Epoch::NONE, |room| room.position().epoch)
    }

    /// Asks a room's home, for a client that is in the room.
    fn ask(&mut self, number: u32, id: u32, channel: &str, ask: Ask) -> Result<(), Error> {
        let Some(subscription) = self.subscription_to(number, channel) else {
            return Err(Error::PERMISSION_DENIED.because("this needs a subscription"));
        };
        let room = self.subscriptions.get(subscription).and_then(|it| self.rooms.get(it.room));
        let (room_id, home) = room.map(|room| (room.room.id, room.room.home)).ok_or(Error::INTERNAL)?;
        self.ask_home(number, id, (room_id, home), ask);
        Ok(())
    }

    fn ask_home(&mut self, number: u32, command: u32, (room_id, home): (u64, usize), ask: Ask) {
        let Some(connection) = self.connections.get(number) else { return };
        let asker = Asker { shard: self.own_number, number, serial: connection.serial, command };
        let question = Question { room_id, asker, ask };
        if matches!(ask, Ask::Presence | Ask::PresenceStats) {
            // Behind the moves of this shard's members: whoever asks finds itself.
            self.outbox.deliver(home, ToShard::Asked(question));
        } else if home == self.own_number {
            self.homes.asked(question, &mut self.outbox);
        } else {
            self.outbox.ask(home, question);
        }
    }

    /// A home's answer to a question of one of this shard's sessions.
    pub(in crate::engine) fn answered(&mut self, answered: Answered) {
        let Answered { asker, answer } = answered;
        let same = self.connections.get(asker.number).is_some_and(|it| it.serial == asker.serial && !it.is_ending());
        if !same {
            return;
        }
        let id = asker.command;
        self.say(asker.number, |out| match answer {
            Answer::Published => reply::publish(out, id),
            Answer::History(Some(history)) => write_history(out, id, &history),
            Answer::History(None) => reply::error(out, id, &Error::NOT_AVAILABLE.because("the room keeps no history")),
            Answer::Presence(Some(members)) => reply::presence(out, id, members.iter().map(|it| it.view())),
            Answer::PresenceStats(stats) => reply::presence_stats(out, id, stats.clients, stats.users),
            Answer::Presence(None) => {
                reply::error(out, id, &Error::NOT_AVAILABLE.because("the room keeps no presence"));
            }
            Answer::Forgotten => {}
        });
        self.send_replies(asker.number);
    }

    /// The client's answer to a ping.
    fn ponged(&mut self, number: u32) -> Result<(), Disconnect> {
        let now_s = self.now.seconds();
        let Some(session) = self.session(number) else { return Ok(()) };
        session.pings_unanswered = session.pings_unanswered.checked_sub(1).ok_or(Disconnect::BAD_REQUEST)?;
        session.unanswered_since_s = (session.pings_unanswered > 0).then_some(now_s);
        Ok(())
    }
}

impl Session {
    /// What the client shows with each request that goes beside its stream.
    pub(super) fn token(&self, shard: usize, number: u32, serial: u32) -> String {
        format!("{shard:x}-{number:x}-{serial:x}-{}", self.secret.as_simple())
    }
}

/// A client's position; an epoch that is none of ours is an unknown one, and an empty one the room's present one.
pub(super) fn position(stream: &StreamPosition<'_>, present: Epoch) -> Position {
    let epoch = if stream.epoch.is_empty() { present } else { Epoch::parse(&stream.epoch).unwrap_or(Epoch::NONE) };
    Position { epoch, offset: stream.offset }
}

fn write_history(out: &mut Vec<u8>, id: u32, history: &History) {
    if !history.complete {
        return reply::error(out, id, &Error::UNRECOVERABLE_POSITION);
    }
    let mut bytes = 0;
    let records = history.records.iter().take_while(|record| {
        let fits = bytes < HISTORY_REPLY_BYTES_MAX;
        bytes += record.payload.len() + 128;
        fits
    });
    reply::history(out, id, records.map(Record::view), history.epoch.text().as_str(), history.offset);
}
