//! What sessions' clients are answered: to each command once, and nothing else than is due.

use serde_json::Value;

use super::super::client::Temper;
use super::super::reader::Id;
use super::commands::{Asked, Subscribing, Wish};
use super::stay::{Stay, epoch_of, publication_of};
use super::visitor::Visitor;
use crate::engine::clock::Nanos;
use crate::engine::history::HistoryQuery;
use crate::engine::position::Position;
use crate::engine::settings::{ClientPublish, Delta, LagPolicy, Recovery};

/// A part of a room's log, as a session was told it.
pub(in super::super) struct Chapter {
    pub(super) room: usize,
    pub(super) query: HistoryQuery,
    pub(super) told_at: Nanos,
    pub(in super::super) newest: Position,
    pub(in super::super) publications: Vec<(u64, Id)>,
}

impl Visitor {
    pub(super) fn answered(&mut self, id: u32, answer: &Value, now: Nanos) {
        let own = self.who.id;
        let asked = self.unanswered.remove(&id);
        let asked = asked.unwrap_or_else(|| panic!("visitor {own} did not ask for {answer}, or has it already"));
        if let Some(error) = answer.get("error") {
            let code = error["code"].as_u64().expect("an error has a code");
            return self.refused(&asked, code);
        }
        let result = answer.get(asked.wish.method()).unwrap_or_else(|| panic!("{asked:?} was answered {answer}"));
        let sure = !self.standings[asked.room].is_disturbed;
        match asked.wish {
            Wish::Connect => return self.connected(result, now),
            Wish::Subscribe(wish) => return self.subscribed(id, &asked, &wish, result, now),
            Wish::Unsubscribe => return self.leave(asked.room),
            Wish::Publish(publication) => {
                assert_ne!(self.settings(asked.room).publish, ClientPublish::Refused, "a listener published");
                self.published.push((asked.room, id, publication));
            }
            Wish::History(query) => self.history(asked.room, query, result, now),
            Wish::Presence => self.presence(&asked, result),
            Wish::PresenceStats => {
                let (clients, users) = (result["num_clients"].as_u64(), result["num_users"].as_u64());
                assert!(users <= clients, "more users than connections: {result}");
            }
            Wish::Rpc => panic!("nobody is called: {answer}"),
        }
        assert!(asked.was_in || !sure, "visitor {own} was not in the room: {asked:?}, {answer}");
    }

    fn connected(&mut self, result: &Value, now: Nanos) {
        assert_eq!(self.client, None, "connect is answered once");
        self.client = Some(result["client"].as_str().expect("a client has an id").to_owned());
        self.session = result["session"].as_str().unwrap_or_default().to_owned();
        let rooms = self.who.rules.entrance.clone();
        for room in rooms {
            match result["subs"].get(&self.who.rules.names[room]) {
                Some(sub) => {
                    let mut stay = Stay::new(room, sub, now);
                    assert!(!stay.gets_changes, "a client asks for changes, the server does not");
                    stay.missed(sub, self.settings(room));
                    self.begin(stay);
                }
                None => assert!(self.standings[room].is_disturbed, "not in room {room} from the beginning: {result}"),
            }
        }
    }

    fn subscribed(&mut self, id: u32, asked: &Asked, wish: &Subscribing, result: &Value, now: Nanos) {
        let (room, settings, temper) = (asked.room, self.settings(asked.room), self.who.temper);
        let mut stay = Stay::new(room, result, now);
        stay.command = Some(id);
        stay.since = wish.since;
        let grants = settings.delta == Delta::Fossil && settings.lag != LagPolicy::Latest;
        assert_eq!(stay.gets_changes, wish.asks_changes && grants, "asked with {wish:?}, answered {result}");
        assert_eq!(stay.recovered.is_some(), wish.since.is_some(), "asked with {wish:?}, answered {result}");
        assert!(stay.recovered != Some(false) || !wish.rejects_lost, "it wanted an error instead of {result}");
        let goes_on = settings.recovery == Recovery::Stream;
        if let (Some(since), Some(true), Some(began)) = (wish.since, stay.recovered, stay.began)
            && goes_on
        {
            let same = since.any_epoch || since.position.epoch == began.epoch;
            assert!(same && began.offset == since.position.offset, "from {since:?} it goes on at {began}");
        }
        let limit = settings.presence_events_per_second_max;
        stay.hears_all_moves =
            wish.hears_moves && settings.has_presence_events() && temper == Temper::Perfect && limit > 1_000;
        stay.missed(result, settings);
        self.begin(stay);
    }

    fn history(&mut self, room: usize, query: HistoryQuery, result: &Value, now: Nanos) {
        let chapter = chapter(result, (room, query, now));
        let offsets: Vec<u64> = chapter.publications.iter().map(|(offset, _)| *offset).collect();
        assert!(offsets.len() <= query.limit, "more than was asked for: {result}");
        assert!(offsets.iter().all(|offset| *offset <= chapter.newest.offset), "it is yet to come: {result}");
        assert!(self.settings(room).has_history(), "the room keeps nothing: {result}");
        self.chapters.push(chapter);
    }

    fn presence(&self, asked: &Asked, result: &Value) {
        let room = asked.room;
        let is_in = asked.was_in && !self.standings[room].is_disturbed;
        let settings = self.settings(room);
        assert!(settings.has_presence(), "the room tells nobody: {result}");
        let presence = result["presence"].as_object().expect("who is there, by client");
        assert!(presence.len() <= settings.presence_members_max as usize, "more than may be listed: {result}");
        let own = self.client.as_deref().expect("connect is answered first");
        let finds_itself = !is_in || settings.presence_members_max < 1_000 || presence.contains_key(own);
        assert!(finds_itself, "visitor {} does not find itself in room {room}: {result}", self.who.id);
    }

    fn refused(&mut self, asked: &Asked, code: u64) {
        let (sure, settings) = (!self.standings[asked.room].is_disturbed, self.settings(asked.room));
        let not_in = !(asked.was_in && sure);
        let due = match (asked.wish, code) {
            (Wish::Subscribe(_), 105) => asked.was_in || !sure,
            (Wish::Subscribe(wish), 112) => wish.rejects_lost && wish.since.is_some(),
            // It was out again before it was in.
            (Wish::Subscribe(_), 110) => true,
            (Wish::Publish(_), 103) => settings.publish == ClientPublish::Refused || not_in,
            (Wish::Publish(_), 111) => true,
            (Wish::History(_), 108) => !settings.has_history(),
            (Wish::History(query), 112) => query.since.is_some(),
            (Wish::Presence, 108) => !settings.has_presence(),
            (Wish::History(_) | Wish::Presence | Wish::PresenceStats, 103) => not_in,
            (Wish::Rpc, 108) => true,
            // It said more than fits, while it waited for a home.
            (Wish::Subscribe(_) | Wish::Unsubscribe | Wish::History(_) | Wish::Presence | Wish::PresenceStats, 111) => {
                true
            }
            _ => false,
        };
        assert!(due, "visitor {} was refused with {code}: {asked:?}", self.who.id);
        if matches!(asked.wish, Wish::Subscribe(_) | Wish::Unsubscribe) {
            self.standings[asked.room].is_disturbed = true;
        }
    }
}

/// Reads an answer to `history`.
fn chapter(result: &Value, (room, query, told_at): (usize, HistoryQuery, Nanos)) -> Chapter {
    let epoch = epoch_of(result["epoch"].as_str().expect("a log has an epoch"));
    let newest = Position { epoch, offset: result["offset"].as_u64().unwrap_or(0) };
    let publications = result.get("publications").and_then(Value::as_array);
    let publications = publications.into_iter().flatten().map(publication_of).collect();
    Chapter { room, query, told_at, newest, publications }
}
