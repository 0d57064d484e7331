//! The kinds of values: how each is read, shown and described. Two kinds may read the same type (bytes and counts).

use std::num::NonZeroUsize;
use std::time::Duration;

use shardcast::protocol::deflate::{Level, WindowBits};

use super::raw::{Raw, Refused};
use super::units;

/// What a kind says of itself, whatever its type.
pub(super) trait Describe {
    /// What is allowed, for the reference file and for problems.
    fn allowed(&self) -> String;

    /// The word that stands for `None`, if it has one.
    fn none_word(&self) -> Option<&'static str> {
        None
    }

    /// Whether the value needs a unit.
    fn has_unit(&self) -> bool {
        false
    }

    /// Whether the value is a secret.
    fn hidden(&self) -> bool {
        false
    }

    /// The words of a choice.
    fn words(&self) -> Vec<Word> {
        Vec::new()
    }
}

/// One word of a choice, and the variant whose documentation says what it means.
pub(super) struct Word {
    /// The word.
    pub(super) word: &'static str,
    /// The enum.
    pub(super) owner: &'static str,
    /// Its variant.
    pub(super) variant: &'static str,
}

/// Reads and shows values of type `T`; [`Kind::read`] takes what [`Kind::show`] gives.
pub(super) trait Kind<T>: Describe {
    /// The value of `raw`, or the refusal of what is not [`Describe::allowed`].
    fn read(&self, raw: &Raw) -> Result<T, Refused>;

    /// `value` as TOML writes it; `None`: the key is left out.
    fn show(&self, value: &T) -> Option<String>;
}

/// An unsigned number type.
pub(super) trait Whole: Sized {
    /// `None`: out of the type's range.
    fn from_u64(number: u64) -> Option<Self>;
    /// Saturates.
    fn to_u64(&self) -> u64;
}

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Whole for $type {
            fn from_u64(number: u64) -> Option<Self> {
                Self::try_from(number).ok()
            }
            fn to_u64(&self) -> u64 {
                u64::try_from(*self).unwrap_or(u64::MAX)
            }
        }
    )*};
}
whole!(u32, usize);

impl Whole for Level {
    fn from_u64(number: u64) -> Option<Self> {
        u8::try_from(number).ok().and_then(Self::new)
    }
    fn to_u64(&self) -> u64 {
        self.get().into()
    }
}

impl Whole for WindowBits {
    fn from_u64(number: u64) -> Option<Self> {
        u8::try_from(number).ok().and_then(Self::new)
    }
    fn to_u64(&self) -> u64 {
        self.get().into()
    }
}

impl Whole for NonZeroUsize {
    fn from_u64(number: u64) -> Option<Self> {
        usize::from_u64(number).and_then(Self::new)
    }
    fn to_u64(&self) -> u64 {
        self.get().to_u64()
    }
}

/// A number of things, bounds included.
pub(super) struct Count {
    /// Least.
    pub(super) min: u64,
    /// Most.
    pub(super) max: u64,
}

impl Describe for Count {
    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", units::whole_text(self.min), units::whole_text(self.max))
    }
}

impl<T: Whole> Kind<T> for Count {
    fn read(&self, raw: &Raw) -> Result<T, Refused> {
        let number = raw.whole().filter(|number| (self.min..=self.max).contains(number));
        number.and_then(T::from_u64).ok_or_else(Refused::default)
    }
    fn show(&self, value: &T) -> Option<String> {
        Some(units::whole_text(value.to_u64()))
    }
}

/// A number of bytes, bounds included.
pub(super) struct Bytes {
    /// Least.
    pub(super) min: u64,
    /// Most.
    pub(super) max: u64,
}

impl Describe for Bytes {
    fn allowed(&self) -> String {
        format!(r#"a size from "{}" to "{}""#, units::size_text(self.min), units::size_text(self.max))
    }
}

impl<T: Whole> Kind<T> for Bytes {
    fn read(&self, raw: &Raw) -> Result<T, Refused> {
        let number = raw.whole().or_else(|| raw.text().and_then(units::size));
        let number = number.filter(|number| (self.min..=self.max).contains(number));
        number.and_then(T::from_u64).ok_or_else(Refused::default)
    }
    fn show(&self, value: &T) -> Option<String> {
        Some(format!("\"{}\"", units::size_text(value.to_u64())))
    }
}

/// A length of time, bounds included.
pub(super) struct Time {
    /// Least.
    pub(super) min: Duration,
    /// Most.
    pub(super) max: Duration,
}

impl Describe for Time {
    fn allowed(&self) -> String {
        format!(r#"a duration from "{}" to "{}""#, units::duration_text(self.min), units::duration_text(self.max))
    }
    fn has_unit(&self) -> bool {
        true
    }
}

impl Kind<Duration> for Time {
    fn read(&self, raw: &Raw) -> Result<Duration, Refused> {
        let time = raw.text().and_then(units::duration);
        time.filter(|time| (self.min..=self.max).contains(time)).ok_or_else(Refused::default)
    }
    fn show(&self, value: &Duration) -> Option<String> {
        Some(format!("\"{}\"", units::duration_text(*value)))
    }
}

/// One word of a few. Made by [`words`], which sees to it that each variant has one.
pub(super) struct Choice<T: 'static> {
    /// The name of the enum.
    pub(super) owner: &'static str,
    /// Word, name of the variant, variant.
    pub(super) words: &'static [(&'static str, &'static str, T)],
}

macro_rules! words {
    ($type:ident { $($word:literal => $variant:ident),+ $(,)? }) => {{
        // Does not compile when a variant has no word.
        const _: fn(&$type) = |value| match value { $($type::$variant => ()),+ };
        Choice { owner: stringify!($type), words: &[$(($word, stringify!($variant), $type::$variant)),+] }
    }};
}
pub(super) use words;

impl<T> Describe for Choice<T> {
    fn allowed(&self) -> String {
        self.words.iter().map(|(word, ..)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
    }
    fn words(&self) -> Vec<Word> {
        self.words.iter().map(|(word, variant, _)| Word { word, owner: self.owner, variant }).collect()
    }
}

impl<T: Copy + PartialEq> Kind<T> for Choice<T> {
    fn read(&self, raw: &Raw) -> Result<T, Refused> {
        let text = raw.text().ok_or_else(Refused::default)?;
        self.words.iter().find(|(word, ..)| *word == text).map(|(.., value)| *value).ok_or_else(Refused::default)
    }
    fn show(&self, value: &T) -> Option<String> {
        self.words.iter().find(|(.., other)| other == value).map(|(word, ..)| format!("\"{word}\""))
    }
}

/// What `kind` allows, or a word for `None`.
pub(super) struct OrWord<K> {
    /// The word.
    pub(super) word: &'static str,
    /// Everything else.
    pub(super) kind: K,
}

impl<K: Describe> Describe for OrWord<K> {
    fn allowed(&self) -> String {
        format!("\"{}\", or {}", self.word, self.kind.allowed())
    }
    fn none_word(&self) -> Option<&'static str> {
        Some(self.word)
    }
}

impl<T, K: Kind<T>> Kind<Option<T>> for OrWord<K> {
    fn read(&self, raw: &Raw) -> Result<Option<T>, Refused> {
        if raw.text() == Some(self.word) { Ok(None) } else { self.kind.read(raw).map(Some) }
    }
    fn show(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().map_or_else(|| Some(format!("\"{}\"", self.word)), |value| self.kind.show(value))
    }
}
