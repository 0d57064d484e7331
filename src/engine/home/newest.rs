//! A room's newest publication, as the next one is compared with it, for those who get changes.

#[cfg(test)]
use super::super::command::Keeping;
use super::super::feed::Form;
use super::super::post::Message;
#[cfg(test)]
use super::super::simulation::Planted;
use super::HomeRoom;
use crate::protocol::centrifuge::texts::Texts;
use crate::protocol::frame::MessageKind;

/// A room has one while somebody gets changes.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// `None`: nothing has been published since somebody got changes.
    text: Option<Vec<u8>>,
}

/// Memory for the text that is kept beyond what it needs, bytes.
const SPARE_BYTES_MAX: usize = 4 << 10;

impl Newest {
    /// The next publication: its texts, and what has changed. Every publication has to come here while somebody gets
    /// changes, for that is what clients apply them to.
    pub(super) fn follow(&mut self, kind: MessageKind, payload: &[u8], texts: &mut Texts) {
        texts.set(kind, payload, self.text.as_deref());
        let text = self.text.get_or_insert_default();
        text.clear();
        text.extend_from_slice(texts.text());
        text.shrink_to(text.len() + SPARE_BYTES_MAX);
    }
}

impl HomeRoom {
    /// A publication, for those who get changes, if anybody does.
    pub(super) fn follow(&mut self, message: &Message<'_>, texts: &mut Texts) {
        let Some(newest) = &mut self.newest else { return };
        let (kind, payload) = (message.kind, message.payload.bytes());
        #[cfg(test)]
        if self.planted == Planted::PassingIgnored && message.keeping == Keeping::Passing {
            return texts.set(kind, payload, newest.text.as_deref());
        }
        newest.follow(kind, payload, texts);
    }

    /// Shards came or went: the newest publication is known for as long as somebody gets changes. When the next one
    /// comes, nothing is known of what was published meanwhile: the first is whole.
    pub(super) fn needs_texts(&mut self) {
        if self.feeds.iter().all(|feed| feed.feed.form == Form::Value) {
            self.newest = None;
        } else {
            self.newest.get_or_insert_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::clock::Nanos;
    use super::super::super::compressor::Compressor;
    use super::super::super::directory::Directory;
    use super::super::super::feed::{Encoding, Feed};
    use super::super::super::position::Epoch;
    use super::super::super::post::Payload;
    use super::super::super::room::RoomName;
    use super::super::super::settings::{RoomSettings, Settings};
    use super::super::super::window::Publisher;
    use super::super::{HomeFeed, HomeRoom};
    use super::*;
    use crate::protocol::frame::{Coding, parts};

    /// Numbers a publication; in each feed, whether it was a delta.
    fn publish(home: &mut HomeRoom, number: u32) -> Vec<bool> {
        let payload = format!("{{\"text\":\"so long that a delta of it is shorter than all of it\",\"n\":{number}}}");
        let (kind, payload, publisher) = (MessageKind::Text, Payload::Borrowed(payload.as_bytes()), Publisher::OUTSIDE);
        let (published, keeping) = (Nanos(0), Keeping::Kept);
        let message = Message { kind, payload, publisher, published, tags: None, info: None, keeping };
        let mut compressor = Compressor::new(Settings::default().deflate.compression());
        home.number(&message, &mut Texts::default(), &mut compressor);
        let is_delta = |feed: &mut HomeFeed| {
            let frame = std::mem::take(&mut feed.frames);
            String::from_utf8_lossy(parts(&frame).1).contains("\"delta\":true")
        };
        home.feeds.iter_mut().map(is_delta).collect()
    }

    #[test]
    fn the_newest_text_is_known_while_somebody_gets_changes() {
        let directory = Directory::new(Arc::new(Settings::default()), 1);
        let room = directory.join(&RoomName::new("room").expect("a name")).expect("few rooms");
        let mut home = HomeRoom::new(room, Epoch(1), &RoomSettings::default());
        let plain = Feed::publications(Encoding::Centrifuge, Coding::Plain);
        home.feeds.push(HomeFeed::new(plain));
        home.needs_texts();
        assert_eq!(publish(&mut home, 1), [false]);
        assert!(home.newest.is_none(), "nobody gets changes");
        for _ in 0..2 {
            let forms = [Form::Whole, Form::Changed];
            home.feeds.extend(forms.map(|form| HomeFeed::new(plain.in_form(form))));
            home.needs_texts();
            assert_eq!(publish(&mut home, 2), [false, false, false], "nothing is known of the one before");
            assert_eq!(publish(&mut home, 3), [false, false, true]);
            home.feeds.truncate(1);
            home.needs_texts();
            assert_eq!(publish(&mut home, 2), [false]);
            assert!(home.newest.is_none(), "nobody gets changes any more");
        }
    }
}
