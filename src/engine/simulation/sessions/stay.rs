//! A session's time in a room, as its client saw it: from the answer or the push that began it to its end.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::client::Temper;
use super::super::reader::{Id, Kind};
use super::commands::Since;
use crate::engine::clock::Nanos;
use crate::engine::position::{Epoch, Position};
use crate::engine::settings::{LagPolicy, Recovery, RoomSettings};
use crate::protocol::centrifuge::tests::delta::decode;

/// See the module.
pub(in super::super) struct Stay {
    pub(super) room: usize,
    /// Where the room stood, or where the client did; `None`: the room keeps nothing, and says nothing of positions.
    pub(in super::super) began: Option<Position>,
    pub(super) since: Option<Since>,
    /// Whether it was told that it has everything that it had missed; `None`: it had asked for nothing.
    pub(super) recovered: Option<bool>,
    /// The command that asked for it; `None`: the server wanted it.
    pub(super) command: Option<u32>,
    pub(super) told_at: Nanos,
    /// With the offsets that it was told; 0: none.
    pub(in super::super) got: Vec<(u64, Id)>,
    /// Of each person: whether it came last, or left.
    pub(super) moves: BTreeMap<String, Way>,
    /// Whether it is told who comes and goes, without a gap.
    pub(super) hears_all_moves: bool,
    /// Whether it gets what has changed since the publication before.
    pub(super) gets_changes: bool,
    /// The text that the next change applies to.
    base: Option<String>,
    /// How many changes it has applied.
    pub(super) changes: u64,
    pub(super) is_over: bool,
}

/// Which way somebody was seen to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Came,
    Left,
}

impl Stay {
    /// What an answer to `subscribe`, or a push of that, says of its beginning.
    pub(super) fn new(room: usize, result: &Value, told_at: Nanos) -> Self {
        let keeps = result["recoverable"] == true;
        assert_eq!(keeps, result["positioned"] == true, "who can be recovered has a position: {result}");
        let epoch = result["epoch"].as_str().map(epoch_of);
        assert_eq!(keeps, epoch.is_some(), "who can be recovered has an epoch: {result}");
        let offset = result["offset"].as_u64().unwrap_or(0);
        let (asked, recovered) = (result["was_recovering"] == true, result["recovered"] == true);
        assert!(asked || !recovered, "what was not asked for was recovered: {result}");
        Self {
            room,
            began: epoch.map(|epoch| Position { epoch, offset }),
            since: None,
            recovered: asked.then_some(recovered),
            command: None,
            told_at,
            got: Vec::new(),
            moves: BTreeMap::new(),
            hears_all_moves: false,
            gets_changes: result["delta"] == true,
            base: None,
            changes: 0,
            is_over: false,
        }
    }

    /// Where its client stands, if the room has positions.
    pub(in super::super) fn position(&self) -> Option<Position> {
        let began = self.began?;
        Some(Position { offset: self.got.last().map_or(began.offset, |(offset, _)| *offset), ..began })
    }

    /// Whether nothing may be left out without a word.
    pub(super) fn is_complete(&self, settings: &RoomSettings, temper: Temper) -> bool {
        match settings.lag {
            LagPolicy::Disconnect => true,
            LagPolicy::Skip => temper == Temper::Perfect || settings.has_history(),
            LagPolicy::Latest => false,
        }
    }

    /// A publication came.
    pub(super) fn publication(&mut self, value: &Value, settings: &RoomSettings) {
        let (offset, id) = self.read(value);
        assert_eq!(offset > 0, settings.has_history(), "a room with a history says offsets: {value}");
        if let Some(Position { offset: before, .. }) = self.position() {
            // Whether what is missing may be: see `judge`.
            assert!(offset > before, "{offset} came after {before} in room {}: {:?}", self.room, self.recovered);
        }
        self.got.push((offset, id));
    }

    /// A publication as it was published, whatever of it came.
    fn read(&mut self, value: &Value) -> (u64, Id) {
        let is_change = value["delta"] == true;
        assert!(self.gets_changes || !is_change, "nobody asked for changes: {value}");
        let data = value["data"].as_str().expect("everything that is published here is a string");
        if !self.gets_changes {
            return publication_with(value, data);
        }
        let text = if is_change {
            self.changes += 1;
            let base = self.base.as_ref().unwrap_or_else(|| panic!("nothing that a change applies to: {value}"));
            String::from_utf8(decode(base.as_bytes(), data.as_bytes())).expect("a text is UTF-8")
        } else {
            data.to_owned()
        };
        let whole: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(whole.to_string(), text, "a text is what others get, to the byte");
        self.base = Some(text);
        publication_with(value, whole.as_str().expect("everything that is published here is a string"))
    }

    /// The publications that stand in the answer that began it.
    pub(super) fn missed(&mut self, result: &Value, settings: &RoomSettings) {
        let Some(publications) = result.get("publications") else { return };
        let publications = publications.as_array().expect("publications are an array");
        assert_eq!(self.recovered, Some(true), "what was missed is there, and not recovered");
        assert!(settings.recovery == Recovery::Stream || publications.len() <= 1, "of prices, the newest");
        for publication in publications {
            assert!(publication.get("delta").is_none(), "what was missed is whole: {publication}");
            self.publication(publication, settings);
        }
    }

    /// Somebody was seen to come or go.
    pub(super) fn moved(&mut self, person: String, way: Way) {
        let before = self.moves.insert(person.clone(), way);
        assert!(
            !self.hears_all_moves || before != Some(way),
            "{person} {way:?} twice in room {}, as it was told",
            self.room
        );
    }
}

pub(super) fn epoch_of(text: &str) -> Epoch {
    Epoch(u64::from_str_radix(text, 16).expect("an epoch is hexadecimal"))
}

/// A publication's offset, 0 if it has none, and which it is.
pub(super) fn publication_of(value: &Value) -> (u64, Id) {
    publication_with(value, value["data"].as_str().expect("everything that is published here is a string"))
}

fn publication_with(value: &Value, data: &str) -> (u64, Id) {
    let id = if value["tags"]["encoding"] == "base64" {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        Id::of(Kind::Binary, &bytes)
    } else if value.get("info").is_some() {
        // A session's: JSON goes out as it came in.
        Id::of(Kind::Text, format!("\"{data}\"").as_bytes())
    } else {
        Id::of(Kind::Text, data.as_bytes())
    };
    (value["offset"].as_u64().unwrap_or(0), id)
}
