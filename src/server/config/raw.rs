//! A value as it was written, before anybody asked what it means.

use toml::de::DeValue;

/// A value as it was written. No `Debug`: it may be a secret.
pub(super) enum Raw {
    /// A whole number of a file.
    Whole(i64),
    /// A string of a file.
    Text(String),
    /// An array of a file.
    List(Vec<Self>),
    /// What the environment or the command line gives: a number, a text, or a list with commas, as the setting wants.
    Loose(String),
    /// What no setting takes (a float, a date, a table), as it is shown.
    Other(String),
}

impl Raw {
    /// The value of a file.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Self::Whole(number),
                Err(_) => Self::Other(integer.as_str().to_owned()),
            },
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Array(items) => Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect()),
            DeValue::Boolean(flag) => Self::Other(flag.to_string()),
            DeValue::Float(number) => Self::Other(number.as_str().to_owned()),
            DeValue::Datetime(date) => Self::Other(date.to_string()),
            DeValue::Table(_) => Self::Other("a table".to_owned()),
        }
    }

    /// As a number that is not negative.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => u64::try_from(*number).ok(),
            Self::Loose(text) if text.starts_with(|c: char| c.is_ascii_digit()) => text.replace('_', "").parse().ok(),
            _ => None,
        }
    }

    /// As a text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Loose(text) => Some(text),
            _ => None,
        }
    }

    /// Each entry of a list, as `parse` reads it. Commas part the entries of a loose one, blanks around them do not
    /// count.
    pub(super) fn each<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Refused> {
        let entries: Vec<(Option<&str>, String)> = match self {
            Self::List(items) => items.iter().map(|item| (item.text(), item.shown())).collect(),
            Self::Loose(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| (Some(part), quoted(part))).collect()
            }
            _ => return Err(Refused::default()),
        };
        let read: Vec<Result<T, String>> =
            entries.into_iter().map(|(text, shown)| text.and_then(&parse).ok_or(shown)).collect();
        let wrong: Vec<&str> = read.iter().filter_map(|entry| entry.as_ref().err().map(String::as_str)).collect();
        if wrong.is_empty() {
            Ok(read.into_iter().flatten().collect())
        } else {
            Err(Refused { entries: Some(wrong.join(", ")) })
        }
    }

    /// The value as a problem shows it, on one line.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Text(text) | Self::Loose(text) => quoted(text),
            Self::List(items) => list_text(items.iter().map(Self::shown)),
            Self::Other(shown) => shown.clone(),
        }
    }
}

/// A value that a setting does not take.
#[derive(Default)]
pub(super) struct Refused {
    /// The entries of a list that are to blame, as they are shown; `None`: the value as a whole.
    pub(super) entries: Option<String>,
}

/// A text as a TOML string; long ones are cut, so that a problem stays readable.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// An array as TOML writes it.
pub(super) fn list_text(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}
