//! What the server speaks over a WebSocket: payloads as they are, or as much of two dialects as refusals need.

use crate::wire::{BINARY, TEXT, close_frame, frame};

/// By the first folder of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/ws/ROOM`: a refusal closes the connection, as in a room that members may only listen to.
    Raw,
    /// `/centrifuge/…`: a refusal is the reply to the publication, with its id.
    Centrifuge,
    /// `/nats/…`: a refusal does not say of what.
    Nats,
}

/// What a client said.
#[derive(Debug)]
pub(crate) enum Said {
    /// Something to answer.
    Ask(Vec<u8>),
    /// A publication, and what answers it if it is refused.
    Publication { payload: Vec<u8>, refusal: Refusal },
}

/// How a publication is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Answer(Vec<u8>),
    /// After this frame.
    Close(Vec<u8>),
}

impl Dialect {
    pub(crate) fn of(folder: &str) -> Option<Self> {
        match folder {
            "ws" => Some(Self::Raw),
            "centrifuge" => Some(Self::Centrifuge),
            "nats" => Some(Self::Nats),
            _ => None,
        }
    }

    /// The frame that delivers a payload.
    pub(crate) fn delivery(self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Raw => frame(opcode, payload),
            Self::Centrifuge => {
                let data = std::str::from_utf8(payload).unwrap();
                let push = serde_json::json!({ "push": { "channel": "any", "pub": { "data": data } } });
                frame(TEXT, push.to_string().as_bytes())
            }
            Self::Nats => {
                let head = format!("MSG any 1 {}\r\n", payload.len());
                frame(BINARY, &[head.as_bytes(), payload, b"\r\n"].concat())
            }
        }
    }

    /// What a message of a client says.
    pub(crate) fn said(self, payload: Vec<u8>) -> Said {
        match self {
            Self::Raw => {
                let refusal = Refusal::Close(close_frame(1008, "listen only"));
                Said::Publication { payload, refusal }
            }
            Self::Centrifuge => centrifuge(&payload),
            Self::Nats => nats(&payload),
        }
    }
}

fn centrifuge(said: &[u8]) -> Said {
    let said = std::str::from_utf8(said).unwrap();
    let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let Some(publish) = first.get("publish") else {
        return Said::Ask(frame(TEXT, b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}"));
    };
    let refusal = serde_json::json!({ "id": first["id"], "error": { "code": 103, "message": "no" } });
    Said::Publication {
        payload: publish["data"].as_str().unwrap().as_bytes().to_vec(),
        refusal: Refusal::Answer(frame(TEXT, refusal.to_string().as_bytes())),
    }
}

fn nats(said: &[u8]) -> Said {
    let end = said.iter().position(|&byte| byte == b'\r').unwrap();
    if !said.starts_with(b"PUB ") {
        return Said::Ask(frame(BINARY, b"INFO {}\r\nPONG\r\n"));
    }
    Said::Publication {
        payload: said[end + 2..said.len() - 2].to_vec(),
        refusal: Refusal::Answer(frame(BINARY, b"-ERR 'Permissions Violation for Publish to \"any\"'\r\n")),
    }
}
