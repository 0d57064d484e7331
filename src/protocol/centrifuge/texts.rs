//! A payload as subscriptions with deltas have it: its text, and what makes that out of the text before.

use super::delta;
use super::publication::Data;
use crate::protocol::frame::MessageKind;
use crate::protocol::json;

/// One payload's text in each form in which it goes out. Made once for all who get it; the memory is used again.
///
/// The text of a payload is what others get as its `data`: see [`json::payload`]. So it is one JSON value in one line,
/// whatever was published: JSON as it is, other text with its quotes, bytes in base64 with theirs.
#[derive(Debug, Default)]
pub struct Texts {
    text: Vec<u8>,
    /// The text as a JSON string.
    whole: Vec<u8>,
    /// The delta, and the same as a JSON string: empty if there is none that is worth it.
    patch: Vec<u8>,
    delta: Vec<u8>,
}

/// Memory for each form that is kept from one payload to the next, bytes.
const BYTES_KEPT_MAX: usize = 64 << 10;

/// What the field `delta` costs.
const FLAG_BYTES: usize = ",\"delta\":true".len();

impl Texts {
    /// Takes a payload, and the text of the one before if there is one.
    ///
    /// # Panics
    /// Never: JSON is UTF-8, and so is a delta of two texts.
    pub fn set(&mut self, kind: MessageKind, payload: &[u8], base: Option<&[u8]>) {
        for form in [&mut self.text, &mut self.whole, &mut self.patch, &mut self.delta] {
            form.clear();
            form.shrink_to(BYTES_KEPT_MAX);
        }
        json::payload(&mut self.text, kind, payload);
        string(&mut self.whole, &self.text);
        let Some(base) = base else { return };
        delta::encode(base, &self.text, &mut self.patch);
        string(&mut self.delta, &self.patch);
        if self.delta.len() + FLAG_BYTES >= self.whole.len() {
            self.delta.clear();
        }
    }

    /// The text: what the next delta is made against.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// For who has no publication yet.
    #[must_use]
    pub fn whole(&self) -> Data<'_> {
        Data::Whole(&self.whole)
    }

    /// For who has the publication before: the delta, or the whole text where that is no longer.
    #[must_use]
    pub fn changed(&self) -> Data<'_> {
        if self.delta.is_empty() { self.whole() } else { Data::Delta(&self.delta) }
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    json::string(out, std::str::from_utf8(text).expect("JSON is UTF-8, and so is a delta of two texts"));
}
