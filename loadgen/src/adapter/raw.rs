//! Adapter `raw`: the URL names the room, who connects is a member, each message is a publication, unchanged.

use super::Kind;
use crate::scenario::Format;

pub(super) fn publication(format: Format, payload: &[u8], out: &mut Vec<u8>) -> Kind {
    out.extend_from_slice(payload);
    Kind::from(format)
}
