//! Close codes, and what a close frame's body says.

use super::CONTROL_BYTES_MAX;
use super::error::ProtocolError;

/// Longest reason of a close frame, bytes.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Why a connection ends, as a close frame says it (RFC 6455 §7.4 and its IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1007: text is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer broke a rule of the server.
    pub const POLICY: Self = Self(1008);
    /// 1009: the message is too long.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1013: the server is overloaded.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Whether the code may stand in a close frame: 1004 is reserved; 1005, 1006 and 1015 say that there was no frame.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// Code and reason of an unmasked close frame.
pub(super) fn parse_body(body: &[u8]) -> Result<(Option<u16>, &str), ProtocolError> {
    let Some((code, reason)) = body.split_first_chunk::<2>() else {
        return if body.is_empty() { Ok((None, "")) } else { Err(ProtocolError::CloseBodyOfOne) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode(code).is_allowed() {
        return Err(ProtocolError::InvalidCloseCode { code });
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
    Ok((Some(code), reason))
}
