//! A value that must not leak: not into a log, not through the time that a comparison takes.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A secret text. `Debug` shows nothing of it; there is no `Display`, and [`Secret::matches`] instead of `==`.
#[derive(Clone)]
pub(crate) struct Secret(Box<str>);

impl Secret {
    /// Wraps `text`.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether `candidate` is the secret; takes as long for a nearly right one as for a wrong one (of equal length).
    pub(crate) fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn matches_only_itself_and_hides() {
        let secret = Secret::new("0123456789abcdef");
        assert!(secret.matches(b"0123456789abcdef"));
        for wrong in [&b"0123456789abcdeF"[..], b"0123456789abcde", b"", b"0123456789abcdef0"] {
            assert!(!secret.matches(wrong));
        }
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
