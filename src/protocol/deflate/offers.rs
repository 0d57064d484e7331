//! The handshake's part: what a client offers in `Sec-WebSocket-Extensions`, and what is agreed (RFC 7692 §5, §7.1).

use std::borrow::Cow;

use super::WindowBits;
use crate::protocol::frame::Coding;

/// What server and client have agreed on. That no context is taken over, in either direction, is always part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// What the client gets: compressed frames, the same for everybody; or plain ones, because its window is smaller
    /// than the one that those are compressed with. It may send compressed messages in either case.
    pub outgoing: Coding,
    /// The offer's limit to the server's window, as the answer repeats or lowers it. `None`: there was none.
    server_window_bits: Option<WindowBits>,
}

impl Agreed {
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    #[must_use]
    pub fn answer(&self) -> String {
        let mut answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        if let Some(bits) = self.server_window_bits {
            answer.push_str("; server_max_window_bits=");
            answer.push_str(&bits.get().to_string());
        }
        answer
    }
}

/// Chooses from the offers in the values of a request's `Sec-WebSocket-Extensions` fields: the first that takes frames
/// compressed with the window `shared`, else the first that takes smaller windows only. `None`: no compression.
///
/// A client's limit to its own window needs no answer: any window is inflated. What RFC 7692 does not know (a parameter
/// or a value, a parameter twice) declines the offer it stands in; so does a server's window of 8 bits, which zlib does
/// not have. A field that breaks the grammar offers nothing. O(bytes of the values).
#[must_use]
pub fn negotiate<'v>(values: impl IntoIterator<Item = &'v str>, shared: WindowBits) -> Option<Agreed> {
    let mut narrow = None;
    for offer in values.into_iter().filter_map(offers).flatten() {
        match offer.server_window_bits {
            None => return Some(Agreed { outgoing: Coding::Deflated, server_window_bits: None }),
            Some(bits) if bits >= shared => {
                return Some(Agreed { outgoing: Coding::Deflated, server_window_bits: Some(shared) });
            }
            smaller => {
                let plain = Agreed { outgoing: Coding::Plain, server_window_bits: smaller };
                narrow.get_or_insert(plain);
            }
        }
    }
    narrow
}

/// An offer of permessage-deflate that can be accepted.
struct Offer {
    server_window_bits: Option<WindowBits>,
}

/// The acceptable offers of a field's value, in their order (RFC 6455 §9.1). `None`: it is not a list of extensions.
fn offers(value: &str) -> Option<Vec<Offer>> {
    let mut rest = Rest(value);
    let mut offers = Vec::new();
    loop {
        // Elements of a list may be empty.
        while rest.eat(',') {}
        if rest.is_end() {
            return Some(offers);
        }
        let name = rest.token()?;
        let mut parameters = Parameters::default();
        while rest.eat(';') {
            let name = rest.token()?;
            let value = if rest.eat('=') { Some(rest.value()?) } else { None };
            parameters.add(name, value.as_deref());
        }
        if !rest.is_end() && !rest.eat(',') {
            return None;
        }
        if name == "permessage-deflate" {
            offers.extend(parameters.offer());
        }
    }
}

/// The parameters of one offer, as they come.
#[derive(Default)]
struct Parameters<'p> {
    seen: Vec<&'p str>,
    server_window_bits: Option<WindowBits>,
    declined: bool,
}

impl<'p> Parameters<'p> {
    /// Those that were seen are at most the four that there are: an offer with another is declined.
    fn add(&mut self, name: &'p str, value: Option<&str>) {
        if self.declined {
            return;
        }
        let known = match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => window_bits(bits).is_some(),
            ("server_max_window_bits", Some(bits)) => {
                self.server_window_bits = window_bits(bits).and_then(WindowBits::new);
                self.server_window_bits.is_some()
            }
            _ => false,
        };
        self.declined = !known || self.seen.contains(&name);
        self.seen.push(name);
    }

    fn offer(self) -> Option<Offer> {
        (!self.declined).then_some(Offer { server_window_bits: self.server_window_bits })
    }
}

/// 8 to 15 in decimal, without leading zeros (§7.1.2).
fn window_bits(text: &str) -> Option<u8> {
    let canonical = !text.starts_with(['0', '+']);
    text.parse().ok().filter(|bits| canonical && (8..=15).contains(bits))
}

/// What is left of a field's value. Each look skips blanks first.
struct Rest<'v>(&'v str);

impl<'v> Rest<'v> {
    fn is_end(&mut self) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        self.0.is_empty()
    }

    fn eat(&mut self, mark: char) -> bool {
        let rest = if self.is_end() { None } else { self.0.strip_prefix(mark) };
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A token (RFC 9110 §5.6.2).
    fn token(&mut self) -> Option<&'v str> {
        if self.is_end() {
            return None;
        }
        let (token, rest) = self.0.split_at(self.0.find(|c| !is_token(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, plain or quoted.
    fn value(&mut self) -> Option<Cow<'v, str>> {
        if !self.eat('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut characters = self.0.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                character => value.push(character),
            }
        }
        self.0 = characters.as_str();
        (!value.is_empty() && value.chars().all(is_token)).then_some(Cow::Owned(value))
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}
