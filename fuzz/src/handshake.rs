//! Heads of requests: a verdict that more bytes do not change, and answers that are whole.

#![no_main]

use shardcast::fuzzed::{Judged, judge};
use shardcast_fuzz::{SERVER, bounded, fuzz_mutator, fuzz_target, mutate_text, take_u16};

fn whole_answer(answer: &[u8], status: &[u8]) -> usize {
    assert!(answer.starts_with(b"HTTP/1.1 ") && answer[9..].starts_with(status));
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer's head ends");
    end + 4
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_text(SERVER, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let mut head = data;
    let cut = usize::from(take_u16(&mut head)) % (head.len() + 1);
    bounded(8 * head.len() + (64 << 10), || {
        let whole = judge(head);
        let early = judge(&head[..cut]);
        match (&early, &whole) {
            (Judged::Partial, _) | (Judged::Http, Judged::Http) | (Judged::Refused(_), Judged::Refused(_)) => {}
            (Judged::Accepted(_, answer, length), Judged::Accepted(_, later, length_later)) => {
                assert_eq!((answer, length), (later, length_later));
            }
            _ => panic!("{early:?} became {whole:?}"),
        }
        match &whole {
            Judged::Accepted(_, answer, length) => {
                assert!(*length <= head.len() && head[..*length].ends_with(b"\n"), "a head of {length} bytes");
                assert_eq!(whole_answer(answer, b"101"), answer.len());
            }
            Judged::Refused(answer) => {
                let body = whole_answer(answer, b"4");
                let length = format!("\r\nContent-Length: {}\r\n", answer.len() - body);
                let length = length.as_bytes();
                assert!(answer.windows(length.len()).any(|some| some == length), "the length is right");
            }
            Judged::Partial => assert!(head.len() < 8 << 10, "a long head is refused"),
            Judged::Http => {}
        }
    });
});
