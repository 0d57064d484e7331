//! What clients of sessions send: centrifuge commands, tag filters, and the bodies of `POST /emulation`.

#![no_main]

use serde_json::Value;
use shardcast::MessageKind;
use shardcast::protocol::centrifuge::filter::Tags;
use shardcast::protocol::centrifuge::publication::{PublicationView, object};
use shardcast::protocol::centrifuge::{Body, CHANNEL_BYTES_MAX, Command, Verdict, commands, emulation};
use shardcast_fuzz::{Corpus, PROTOCOL, bounded, fuzz_mutator, fuzz_target, mutate_text, one_value};

const COMMANDS_MAX: usize = 64;

fn check(command: &Command<'_>) {
    let channel = match &command.body {
        Body::Subscribe(subscribe) => {
            if let Some(filter) = &subscribe.filter {
                let data = subscribe.data.map_or(r#"{"a":"1","b":"x"}"#, |data| data.get());
                std::hint::black_box(filter.matches(&Tags::parse(data)));
            }
            &subscribe.channel
        }
        Body::Publish { channel, data } => {
            // What a client publishes reaches others within a line of JSON.
            let mut out = Vec::new();
            let payload = data.get().as_bytes();
            let (offset, kind, time_ms) = (1, MessageKind::Text, 0);
            object(&mut out, &PublicationView { offset, kind, payload, time_ms, tags: None, info: None });
            if let Some(whole) = one_value(&out) {
                let data: Value = serde_json::from_str(data.get()).expect("it was read within the whole");
                assert_eq!(whole["data"], data);
            }
            channel
        }
        Body::Unsubscribe { channel }
        | Body::Presence { channel }
        | Body::PresenceStats { channel }
        | Body::SubRefresh { channel, .. } => channel,
        Body::History(history) => &history.channel,
        _ => return,
    };
    assert!((1..=CHANNEL_BYTES_MAX).contains(&channel.len()), "a channel of {} bytes", channel.len());
}

/// Reads a message; how many of its commands are good.
fn read(text: &[u8]) -> usize {
    let mut good = 0;
    let mut read = 0;
    let mut over = false;
    for result in commands(text, COMMANDS_MAX) {
        assert!(!over, "something comes behind an error that closes");
        read += 1;
        match result {
            Ok(command) => {
                check(&command);
                good += 1;
            }
            Err(error) => over = matches!(error.verdict(), Verdict::Close(_)),
        }
    }
    assert!((1..=COMMANDS_MAX + 1).contains(&read), "{read} commands");
    good
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(PROTOCOL, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    // A node of a filter takes 2 bytes and some 200 of memory until the filter is refused for having too many.
    let good = bounded(256 * data.len() + (64 << 10), || {
        let good = read(data);
        good + emulation::parse(data).map_or(0, |emulation| read(emulation.data.as_bytes()))
    });
    // Broken JSON is tried, for it is what mutations make, but has no offspring: it would be most of the corpus.
    if good > 0 { Corpus::Keep } else { Corpus::Reject }
});
