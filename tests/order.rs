//! The design case: one room over all shards, everybody publishing at once, one order for all.
#![cfg(feature = "server")]

mod support;

use std::collections::BTreeMap;

use support::{Client, Http, Server, Writer, at_once};

const SHARDS: &str = "4";
/// Nobody is to lag here, however slow the machine.
const NEVER_SLOW: [&str; 4] = ["--set", "room.window_count_max=1000000", "--set", "room.window_age_max=1h"];

fn server() -> Server {
    Server::start(&[&["--shards", SHARDS][..], &NEVER_SLOW].concat())
}

/// Who does something at the same time as others.
enum Part {
    /// Reads so many publications.
    Reader(Client, usize),
    /// Publishes so many over a member's connection.
    Member(Writer, String, usize),
    /// Publishes so many over HTTP.
    Outside(Http, String, usize),
    /// Joins in the middle and reads until the last publication.
    Late(Client),
}

/// What it saw.
enum Saw {
    Read(Client, Vec<String>),
    Answered(Vec<(u64, String)>),
    ReadLate(Vec<String>),
    Nothing,
}

const LAST: &str = "the last";

fn play(part: Part) -> Saw {
    match part {
        Part::Reader(mut client, count) => {
            let sequence = client.texts(count);
            Saw::Read(client, sequence)
        }
        Part::Member(writer, name, count) => {
            (0..count).for_each(|number| writer.text(&format!("{name} {number}")));
            Saw::Nothing
        }
        Part::Outside(mut http, name, count) => {
            let publish = |number| {
                let text = format!("{name} {number}");
                (http.publish("room", &text).published().0, text)
            };
            Saw::Answered((0..count).map(publish).collect())
        }
        Part::Late(mut client) => {
            let mut read = vec![client.text_of()];
            while read.last().is_some_and(|last| last != LAST) {
                read.push(client.text_of());
            }
            Saw::ReadLate(read)
        }
    }
}

/// Every publisher's numbers, in the order in which they were seen, begin at 0 and go up by one.
fn assert_order_of_each_publisher(sequence: &[String]) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for text in sequence.iter().filter(|text| *text != LAST) {
        let (name, number) = text.rsplit_once(' ').expect("name and number");
        let expected = next.entry(name).or_default();
        assert_eq!(number.parse(), Ok(*expected), "{name} out of order");
        *expected += 1;
    }
}

#[test]
fn one_room_over_all_shards_has_one_order_for_everybody() {
    let (members, per_member, outsiders, per_outsider) = (16, 250, 4, 400);
    let total = members * per_member + outsiders * per_outsider;
    let server = server();
    let clients: Vec<Client> = (0..members).map(|_| server.join("room")).collect();
    let metrics = server.metrics();
    for shard in 0..4 {
        let connections = metrics.sum("shard_connections", &[("shard", &shard.to_string())]);
        assert!(connections >= 1, "shard {shard} has no member");
    }
    assert_eq!(metrics.get("shard_connections"), members as u64);

    let mut parts: Vec<Part> = Vec::new();
    for (number, client) in clients.into_iter().enumerate() {
        parts.push(Part::Member(client.writer(), format!("member {number}"), per_member));
        parts.push(Part::Reader(client, total));
    }
    parts.extend((0..outsiders).map(|number| Part::Outside(server.http(), format!("http {number}"), per_outsider)));
    let saw = at_once(parts, play);

    let (mut sequences, mut answered, mut stay) = (Vec::new(), Vec::new(), Vec::new());
    for one in saw {
        match one {
            Saw::Read(client, sequence) => {
                sequences.push(sequence);
                stay.push(client);
            }
            Saw::Answered(answers) => answered.extend(answers),
            Saw::ReadLate(_) | Saw::Nothing => {}
        }
    }
    let sequence = &sequences[0];
    assert_eq!((sequences.len(), sequence.len()), (members, total));
    for (member, other) in sequences.iter().enumerate() {
        let differs = sequence.iter().zip(other).position(|(one, other)| one != other);
        assert_eq!(differs, None, "member {member} sees another order than member 0");
    }
    assert_order_of_each_publisher(sequence);
    assert_eq!(answered.len(), outsiders * per_outsider);
    for (offset, text) in answered {
        let position = usize::try_from(offset).expect("an offset is small here") - 1;
        assert_eq!(sequence.get(position), Some(&text), "offset {offset}");
    }
    assert_eq!(server.publish("room", LAST).published(), (total as u64 + 1, members as u64), "offsets are dense");
    let metrics = server.metrics();
    assert_eq!(metrics.get("publications_total"), total as u64 + 1);
}

#[test]
fn who_comes_in_the_middle_sees_the_rest_of_the_same_order() {
    let server = server();
    let (count, publishers) = (1_000, 6);
    let total = count * publishers;
    let clients: Vec<Client> = (0..publishers).map(|_| server.join("room")).collect();
    let writers: Vec<(usize, Writer)> = clients.iter().map(Client::writer).enumerate().collect();
    let (all, late) = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            at_once(writers, |(number, writer)| play(Part::Member(writer, format!("member {number}"), count)));
        });
        let readers = clients.into_iter().map(|client| Part::Reader(client, total + 1)).collect();
        let reading = scope.spawn(move || at_once(readers, play));
        let late: Vec<Part> = (0..12).map(|_| Part::Late(server.join("room"))).collect();
        let late = scope.spawn(move || at_once(late, play));
        publishing.join().expect("publishing works");
        // Behind everything that was sent: everything has come back before.
        server.until("all publications", |metrics| metrics.get("publications_total") == total as u64);
        assert_eq!(server.publish("room", LAST).status, 200);
        (reading.join().expect("reading works"), late.join().expect("reading works"))
    });
    let all: Vec<_> = all.into_iter().map(|saw| if let Saw::Read(_, all) = saw { all } else { Vec::new() }).collect();
    assert!(all.iter().all(|other| *other == all[0]), "members see different orders");
    assert_order_of_each_publisher(&all[0]);
    for saw in late {
        let Saw::ReadLate(rest) = saw else { panic!("a late reader reads") };
        assert_eq!(rest[..], all[0][total + 1 - rest.len()..], "a late member sees a gap or another order");
    }
}

#[test]
fn rooms_keep_their_orders_apart() {
    let server = server();
    let (rooms, members, count) = (8, 4, 100);
    let mut parts = Vec::new();
    for room in 0..rooms {
        for member in 0..members {
            let client = server.join(&format!("room-{room}"));
            parts.push(Part::Member(client.writer(), format!("{room} {member}"), count));
            parts.push(Part::Reader(client, members * count));
        }
    }
    let mut sequences = at_once(parts, play).into_iter().filter_map(|saw| match saw {
        Saw::Read(_, sequence) => Some(sequence),
        _ => None,
    });
    for room in 0..rooms {
        let seen: Vec<Vec<String>> = sequences.by_ref().take(members).collect();
        assert!(seen.iter().all(|other| *other == seen[0]), "room {room} has more than one order");
        assert!(seen[0].iter().all(|text| text.starts_with(&format!("{room} "))), "room {room} hears another");
        assert_order_of_each_publisher(&seen[0]);
    }
    assert_eq!(server.metrics().get("publications_total"), (rooms * members * count) as u64);
}
