//! What is sent: texts of 128 bytes, each different.

use shardcast::MessageKind;
use shardcast::protocol::frame::encode_message;

const MESSAGE_BYTES: usize = 128;

/// A client may choose its mask; nothing depends on which.
const MASK: [u8; 4] = [1, 2, 3, 4];

fn message(number: usize) -> String {
    format!("{number:0>MESSAGE_BYTES$}")
}

/// The first `count` messages as each member gets them.
pub(crate) fn frames(count: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for number in 0..count {
        encode_message(&mut frames, MessageKind::Text, message(number).as_bytes());
    }
    frames
}

/// The first `count` messages as a client sends them.
pub(crate) fn masked_frames(count: usize) -> Vec<u8> {
    /// FIN, text; masked, the length follows in two bytes.
    const FIRST: [u8; 2] = [0x81, 0x80 | 126];
    let length = u16::try_from(MESSAGE_BYTES).expect("a message is short").to_be_bytes();
    let mut frames = Vec::new();
    for number in 0..count {
        frames.extend(FIRST.iter().chain(&length).chain(&MASK));
        frames.extend(message(number).bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    frames
}
