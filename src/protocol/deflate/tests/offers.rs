//! What clients offer, and what they are answered.

use proptest::prelude::*;

use super::WindowBits;
use crate::protocol::deflate::negotiate;
use crate::protocol::frame::Coding;

const PLAIN_ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The outgoing frames and the answer's limit to the window.
fn agreed(values: &[&str], shared: u8) -> Option<(Coding, Option<u8>)> {
    let agreed = negotiate(values.iter().copied(), WindowBits::new(shared).unwrap())?;
    let answer = agreed.answer();
    let limit = answer.strip_prefix(PLAIN_ANSWER).expect("the answer begins as ever");
    let limit = (!limit.is_empty()).then(|| limit.strip_prefix("; server_max_window_bits=").unwrap().parse().unwrap());
    Some((agreed.outgoing, limit))
}

#[test]
fn offers_and_answers() {
    use Coding::{Deflated, Plain};
    let open = Some((Deflated, None));
    for (value, expected) in [
        ("permessage-deflate", open),
        ("permessage-deflate; client_max_window_bits", open),
        ("permessage-deflate;client_max_window_bits=8", open),
        ("permessage-deflate ; client_max_window_bits = \"10\" ", open),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", open),
        ("permessage-deflate; server_max_window_bits=15", Some((Deflated, Some(15)))),
        ("permessage-deflate; server_max_window_bits=\"1\\5\"", Some((Deflated, Some(15)))),
        ("permessage-deflate; server_max_window_bits=9", Some((Plain, Some(9)))),
        ("permessage-deflate; server_max_window_bits=14; client_max_window_bits=9", Some((Plain, Some(14)))),
        // The first that takes the shared frames, else the first.
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", open),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=11",
            Some((Plain, Some(10))),
        ),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", open),
        ("x-webkit-deflate-frame, permessage-bzip2; level=3, permessage-deflate", open),
        (",, permessage-deflate ,", open),
        ("other; a=\"b c\", permessage-deflate", None),
        // Declined: values, names, twice.
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; server_max_window_bits=+9", None),
        ("permessage-deflate; server_max_window_bits=9x", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=010", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=\"\"", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflat", None),
        ("Permessage-Deflate", None),
        ("", None),
        // Not a list of extensions.
        ("permessage-deflate;", None),
        ("permessage-deflate; =9", None),
        ("permessage-deflate client_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=\"9", None),
        ("permessage-deflate; server_max_window_bits=\"9\\", None),
        ("permessage-deflate, ;", None),
        ("permessage-deflate, ü", None),
    ] {
        assert_eq!(agreed(&[value], 15), expected, "{value}");
    }
}

#[test]
fn several_fields_are_one_list() {
    let shared = Some((Coding::Deflated, None));
    assert_eq!(agreed(&["x-other", "permessage-deflate"], 15), shared);
    assert_eq!(agreed(&["permessage-deflate; server_max_window_bits=12", "permessage-deflate"], 15), shared);
    assert_eq!(agreed(&["permessage-deflate;;", "permessage-deflate"], 15), shared, "a broken field is no other's");
    assert_eq!(agreed(&[], 15), None);
}

#[test]
fn a_window_of_our_own() {
    let offer = ["permessage-deflate; server_max_window_bits=12"];
    assert_eq!(agreed(&offer, 12), Some((Coding::Deflated, Some(12))));
    assert_eq!(agreed(&offer, 11), Some((Coding::Deflated, Some(11))), "the answer may be lower");
    assert_eq!(agreed(&offer, 13), Some((Coding::Plain, Some(12))));
    assert_eq!(WindowBits::new(8), None);
    assert_eq!(WindowBits::new(16), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text(
        value in "\\PC{0,60}",
        nearly in "(permessage-deflate|;|,|=| |\"|\\\\|server_max_window_bits|9|1){0,20}",
    ) {
        for value in [value, nearly] {
            if let Some((outgoing, limit)) = agreed(&[&value], 12) {
                prop_assert!(limit.is_none_or(|limit| (9..=12).contains(&limit)));
                prop_assert!(outgoing == Coding::Deflated || limit.is_some());
            }
        }
    }
}
