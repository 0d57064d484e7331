//! Publications with `skip_history`: for those who are there, neither the newest nor counted for those who come later.

use serde_json::json;

use super::support::{Event, Joining};
use super::{next, result, server, session, start};

#[test]
fn what_skips_history_is_for_those_who_are_there() {
    let server = server();
    let publish = |data: u64, skips: bool| {
        let params = json!({"channel": "h-p", "data": data, "skip_history": skips});
        result(&server, "publish", &params)["offset"].as_u64().expect("an offset")
    };
    let offsets = [publish(1, false), publish(2, true), publish(3, false), publish(4, true)];
    assert_eq!(offsets, [1, 2, 3, 4]);
    let history = result(&server, "history", &json!({"channel": "h-p", "limit": 2}));
    let kept: Vec<_> = history["publications"].as_array().expect("a list").iter().map(|it| &it["offset"]).collect();
    assert_eq!((kept, &history["offset"]), (vec![&json!(1), &json!(3)], &json!(4)));
    let epoch = history["epoch"].as_str().expect("an epoch");

    let mut member = Joining::new(server.address(), &format!("/ws/h-p?since={epoch}:0")).join();
    let nothing = Event::Pong(Vec::new());
    for expected in [Event::Text("1".to_owned()), nothing.clone(), Event::Text("3".to_owned()), nothing] {
        assert_eq!(member.next(), expected);
    }
    let (mut late, _) = session(&server, "ann");
    late.text(&format!(r#"{{"id":2,"subscribe":{{"channel":"h-p","recover":true,"epoch":"{epoch}","offset":0}}}}"#));
    let subscribed = next(&mut late)["subscribe"].clone();
    assert_eq!(subscribed["recovered"], json!(true), "{subscribed}");
    let publications = subscribed["publications"].as_array().expect("a list");
    assert_eq!(publications.iter().map(|it| &it["offset"]).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(publish(5, true), 5);
    assert_eq!(member.text_of(), "5");
    assert_eq!(next(&mut late)["push"]["pub"]["offset"], 5);
}

/// Whoever gets only the newest gets the newest that there is for it, not what stands in the place of one that passed.
#[test]
fn what_skips_history_is_not_the_newest_of_those_who_come_later() {
    let server = server();
    for (data, skips) in [(1, false), (2, false), (3, true), (4, true)] {
        result(&server, "publish", &json!({"channel": "latest-p", "data": data, "skip_history": skips}));
    }
    let mut member = Joining::new(server.address(), "/ws/latest-p?last=9").join();
    assert_eq!(member.text_of(), "2");
    result(&server, "publish", &json!({"channel": "latest-p", "data": 5, "skip_history": true}));
    let got = std::iter::from_fn(|| match member.next() {
        Event::Pong(_) => Some(None),
        Event::Text(text) => Some(Some(text)),
        other => panic!("{other:?}"),
    });
    assert_eq!(got.flatten().next().as_deref(), Some("5"), "who is there gets it");
}

/// Of prices, whoever comes back gets the newest that was kept, once.
#[test]
fn what_skips_history_is_no_price() {
    let server = server();
    let publish = |data: u64, skips: bool| {
        result(&server, "publish", &json!({"channel": "cache-p", "data": data, "skip_history": skips}));
    };
    let recovered = |since: u64, epoch: &str| {
        let (mut client, _) = session(&server, "ann");
        let subscribe = json!({"channel": "cache-p", "recover": true, "epoch": epoch, "offset": since});
        client.text(&json!({"id": 2, "subscribe": subscribe}).to_string());
        let subscribed = next(&mut client)["subscribe"].clone();
        assert_eq!(subscribed["recovered"], true, "{subscribed}");
        let datas = subscribed["publications"].as_array().into_iter().flatten().map(|it| it["data"].clone());
        datas.collect::<Vec<_>>()
    };
    for (data, skips) in [(1, false), (2, false), (3, true)] {
        publish(data, skips);
    }
    let history = result(&server, "history", &json!({"channel": "cache-p"}));
    let epoch = history["epoch"].as_str().expect("an epoch");
    let there = Joining::new(server.address(), "/ws/cache-p").join();
    for epoch in [epoch, ""] {
        assert_eq!([recovered(0, epoch), recovered(1, epoch)], [[2], [2]]);
        assert_eq!([recovered(2, epoch), recovered(3, epoch)], [[0; 0]; 2], "it has that");
    }
    publish(4, true);
    assert_eq!([recovered(1, epoch), recovered(2, epoch)], [vec![2], vec![]]);
    publish(5, false);
    assert_eq!([recovered(2, epoch), recovered(5, epoch)], [vec![5], vec![]]);
    drop(there);
}

/// Whoever asks for the newest gets the newest that was kept, whatever passed since: from a shard that was there when
/// it did as from one that comes now.
#[test]
fn what_skips_history_takes_no_place_among_the_newest() {
    let server = start(&["--set", "shards=1"]);
    let publish = |room: &str, data: u64, skips: bool| {
        result(&server, "publish", &json!({"channel": room, "data": data, "skip_history": skips}));
    };
    let mut there = Joining::new(server.address(), "/ws/h-c").join();
    for room in ["h-c", "h-p"] {
        for (data, skips) in [(1, false), (2, false), (3, true), (4, false), (5, true), (6, true)] {
            publish(room, data, skips);
        }
    }
    assert_eq!(there.texts(6), ["1", "2", "3", "4", "5", "6"]);
    // The last of a room's window, as it stands on a shard that was there, and on one that was not.
    let (all, kept) = (["1", "2", "3", "4", "5", "6"].as_slice(), ["1", "2", "4"].as_slice());
    for (room, last, expected) in [
        ("h-c", 2, &all[1..]),
        ("h-c", 1, &all[3..]),
        ("h-c", 3, all),
        ("h-p", 0, &[]),
        ("h-p", 1, &kept[2..]),
        ("h-p", 2, &kept[1..]),
        ("h-p", 3, kept),
        ("h-p", 9, kept),
    ] {
        let mut member = Joining::new(server.address(), &format!("/ws/{room}?last={last}")).join();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            match member.next() {
                Event::Text(text) => got.push(text),
                Event::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, expected, "{room} {last}");
    }
}
