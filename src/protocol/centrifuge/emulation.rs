//! What a client of a stream sends: commands of a session, in a request of their own.

use std::borrow::Cow;

use serde::Deserialize;

/// The body of `POST /emulation`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Emulation<'a> {
    /// The session, as the answer to `connect` said it.
    pub session: Cow<'a, str>,
    /// The node, as the answer to `connect` said it.
    pub node: Cow<'a, str>,
    /// Commands in lines, for [`super::commands`].
    pub data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    session: Cow<'a, str>,
    #[serde(borrow, default)]
    node: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// Reads a body. Unknown fields are ignored, `node` may be missing.
///
/// # Errors
/// It is not such an object.
pub fn parse(body: &[u8]) -> Result<Emulation<'_>, serde_json::Error> {
    let Fields { session, node, data } = serde_json::from_slice(body)?;
    Ok(Emulation { session, node, data })
}
