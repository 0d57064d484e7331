//! Tag filters.

use super::{body, command};
use crate::protocol::centrifuge::filter::{Filter, TERMS_MAX, Tags};
use crate::protocol::centrifuge::{Body, CommandError};

fn line(filter: &str) -> String {
    format!(r#"{{"id":1,"subscribe":{{"channel":"a","tf":{filter}}}}}"#)
}

fn filter(filter: &str) -> Filter {
    let line = line(filter);
    let Body::Subscribe(subscribe) = body(&line) else { panic!("subscribe") };
    subscribe.filter.expect("a filter was sent")
}

#[test]
fn leaves() {
    // Value of the tag, comparison, whether it holds for that value, whether for a missing one.
    for (value, test, holds, holds_missing) in [
        ("b", r#""cmp":"eq","val":"b""#, true, false),
        ("c", r#""cmp":"eq","val":"b""#, false, false),
        ("c", r#""cmp":"neq","val":"b""#, true, true),
        ("b", r#""cmp":"neq","val":"b""#, false, true),
        ("b", r#""cmp":"in","vals":["a","b"]"#, true, false),
        ("c", r#""cmp":"in","vals":["a","b"]"#, false, false),
        ("c", r#""cmp":"nin","vals":["a","b"]"#, true, true),
        ("b", r#""cmp":"nin","vals":["a","b"]"#, false, true),
        ("", r#""cmp":"ex""#, true, false),
        ("", r#""cmp":"nex""#, false, true),
        ("abc", r#""cmp":"sw","val":"ab""#, true, false),
        ("abc", r#""cmp":"ew","val":"bc""#, true, false),
        ("abc", r#""cmp":"ct","val":"b""#, true, false),
        ("abc", r#""cmp":"ct","val":"ac""#, false, false),
        ("9", r#""cmp":"lt","val":"10""#, true, false),
        ("10", r#""cmp":"lt","val":"10.0""#, false, false),
        ("10", r#""cmp":"lte","val":"10.0""#, true, false),
        ("-1.5", r#""cmp":"gt","val":"-2""#, true, false),
        ("9007199254740993", r#""cmp":"gt","val":"9007199254740992""#, true, false),
        ("10", r#""cmp":"gte","val":"10""#, true, false),
        ("ten", r#""cmp":"gte","val":"10""#, false, false),
        ("inf", r#""cmp":"gte","val":"10""#, false, false),
    ] {
        let filter = filter(&format!(r#"{{"key":"k",{test}}}"#));
        assert_eq!(filter.matches(&Tags::parse(&format!(r#"{{"k":"{value}","x":"b"}}"#))), holds, "{value} {test}");
        assert_eq!(filter.matches(&Tags::default()), holds_missing, "missing {test}");
    }
}

#[test]
fn trees() {
    let tags = Tags::parse(r#"{"a":"1","b":"2"}"#);
    let (yes, no) = (r#"{"key":"a","cmp":"ex"}"#, r#"{"key":"c","cmp":"ex"}"#);
    for (op, nodes, expected) in [
        ("and", format!("{yes},{yes}"), true),
        ("and", format!("{yes},{no}"), false),
        ("or", format!("{no},{yes}"), true),
        ("or", format!("{no},{no}"), false),
        ("not", no.to_owned(), true),
        ("not", format!(r#"{{"op":"or","nodes":[{no},{yes}]}}"#), false),
    ] {
        let filter = filter(&format!(r#"{{"op":"{op}","nodes":[{nodes}]}}"#));
        assert_eq!(filter.matches(&tags), expected, "{op} {nodes}");
    }
    assert_eq!(Tags::parse("[1]"), Tags::default());
}

#[test]
fn refusals() {
    let many = format!(r#"{{"op":"or","nodes":[{}]}}"#, vec![r#"{"key":"a","cmp":"ex"}"#; TERMS_MAX].join(","));
    let values = format!(r#"{{"key":"a","cmp":"in","vals":[{}]}}"#, vec!["\"x\""; TERMS_MAX].join(","));
    for bad in [
        "{}",
        r#"{"key":"a"}"#,
        r#"{"cmp":"ex"}"#,
        r#"{"key":"a","cmp":"x"}"#,
        r#"{"key":"a","cmp":"in"}"#,
        r#"{"key":"a","cmp":"lt","val":"x"}"#,
        r#"{"key":"a","cmp":"lt","val":"nan"}"#,
        r#"{"op":"xor","nodes":[{"key":"a","cmp":"ex"}]}"#,
        r#"{"op":"and"}"#,
        r#"{"op":"not","nodes":[]}"#,
        r#"{"op":"not","nodes":[{"key":"a","cmp":"ex"},{"key":"a","cmp":"ex"}]}"#,
        &many,
        &values,
    ] {
        let line = line(bad);
        let error = command(&line).expect_err(bad);
        assert!(matches!(error, CommandError::Filter { id: 1, .. }), "{bad}: {error}");
    }
    let deep = format!("{}{}", r#"{"op":"not","nodes":["#.repeat(10_000), "]}".repeat(10_000));
    assert!(matches!(command(&line(&deep)), Err(CommandError::TooDeep { .. })));
}
