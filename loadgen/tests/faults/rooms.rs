//! Who is in which room, and what each message becomes: the faults are made here, and counted.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use loadgen::clock::Nanos;
use tokio::sync::mpsc;

use crate::dialect::Dialect;
use crate::plan::{DeliveryFault, Did, Door, End, Event, Happening, Kind, Plan};

/// What a connection is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Write this.
    Write(Vec<u8>),
    /// Write nothing for that long.
    Hold(Duration),
    /// End.
    End(End),
}

/// Orders that a connection may be behind; it fails the server.
pub(crate) const ORDERS_MAX: usize = 65_536;
/// What pings hold.
pub(crate) const PINGED: &[u8] = b"are you there?";
/// What nobody published.
pub(crate) const FOREIGN: &[u8] = b"the server itself says this";
/// The corrupt byte, from the end: filler in every format.
pub(crate) const CORRUPT_FROM_END: usize = 8;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// The connection of that number.
    Connection(u64),
    /// Somebody who posted it.
    Post,
}

/// What becomes of a handshake.
pub(crate) enum Admission {
    /// It succeeds; the connection has this number and these orders.
    Member(u64, mpsc::Receiver<Order>),
    Refused,
    Ignored,
}

/// Whether the server goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    GoesOn,
    Ends,
}

struct Member {
    id: u64,
    dialect: Dialect,
    orders: mpsc::Sender<Order>,
    sent: u64,
    /// Deliveries until it sent something itself.
    owed: u64,
    /// Deliveries that wait for the sender's next one.
    held: HashMap<Sender, Vec<u8>>,
}

impl Member {
    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order) {
            panic!("a connection does not read: {ORDERS_MAX} orders");
        }
    }
}

#[derive(Default)]
struct Room {
    /// In order of their coming.
    members: Vec<Member>,
    posted: u64,
    ended: u64,
}

/// See the module.
pub(crate) struct Rooms {
    rooms: BTreeMap<String, Room>,
    faults: Vec<(DeliveryFault, u64)>,
    events: Vec<Event>,
    door: Door,
    refused_posts: Range<u64>,
    held_posts: (Range<u64>, Duration),
    posts: u64,
    refused_messages: Range<u64>,
    asked: u64,
    announced_max: u64,
    next_id: u64,
    pub(crate) did: Did,
}

impl Rooms {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            rooms: BTreeMap::new(),
            faults: plan.deliveries.into_iter().map(|fault| (fault, 0)).collect(),
            events: plan.events,
            door: plan.door,
            refused_posts: plan.refused_posts,
            held_posts: plan.held_posts,
            posts: 0,
            refused_messages: plan.refused_messages,
            asked: 0,
            announced_max: plan.announced_max,
            next_id: 0,
            did: Did::default(),
        }
    }

    pub(crate) fn admit(&mut self, room: &str, dialect: Dialect) -> Admission {
        match self.door {
            Door::Refuse(first) if self.did.refused < first => {
                self.did.refused += 1;
                return Admission::Refused;
            }
            Door::Ignore(first) if self.did.ignored < first => {
                self.did.ignored += 1;
                return Admission::Ignored;
            }
            _ => {}
        }
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let id = self.next_id;
        self.next_id += 1;
        self.did.joined += 1;
        let member = Member { id, dialect, orders, sent: 0, owed: 0, held: HashMap::new() };
        self.rooms.entry(room.to_owned()).or_default().members.push(member);
        Admission::Member(id, receiver)
    }

    /// Whether a post is taken, and how long it is held.
    pub(crate) fn takes_post(&mut self) -> (bool, Duration) {
        self.posts += 1;
        let (held, duration) = &self.held_posts;
        let duration = if held.contains(&self.posts) { *duration } else { Duration::ZERO };
        let is_refused = self.refused_posts.contains(&self.posts);
        self.did.refused_posts += u64::from(is_refused);
        (!is_refused, duration)
    }

    /// Whether a publication over WebSocket is taken.
    pub(crate) fn takes_message(&mut self) -> bool {
        self.asked += 1;
        let is_refused = self.refused_messages.contains(&self.asked);
        self.did.refused_messages += u64::from(is_refused);
        !is_refused
    }

    /// The drops that it announces, as shardcast does.
    pub(crate) fn metrics(&self) -> String {
        let announced = self.did.dropped.min(self.announced_max);
        format!(
            "# TYPE shardcast_dropped_total counter\n\
             shardcast_dropped_total{{shard=\"0\",reason=\"skip\"}} {announced}\n"
        )
    }

    pub(crate) fn leave(&mut self, room: &str, id: u64) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.members.retain(|member| member.id != id);
        }
    }

    /// Writes to one connection alone: an answer to a ping, say.
    pub(crate) fn answer(&self, room: &str, id: u64, bytes: Vec<u8>) {
        if let Some(member) = self.rooms[room].members.iter().find(|member| member.id == id) {
            member.order(Order::Write(bytes));
        }
    }

    /// A message came.
    pub(crate) fn publish(&mut self, name: &str, sender: Sender, opcode: u8, payload: &[u8]) -> Life {
        self.did.messages += 1;
        let room = self.rooms.entry(name.to_owned()).or_default();
        let sequence = match sender {
            Sender::Connection(id) => {
                let member = room.members.iter_mut().find(|member| member.id == id).expect("who sends is a member");
                // It turns out to be a publisher: what it got was not owed to a subscriber.
                self.did.owed -= std::mem::take(&mut member.owed);
                member.sent += 1;
                member.sent - 1
            }
            Sender::Post => {
                room.posted += 1;
                room.posted - 1
            }
        };
        let now: Vec<Event> = self.events.iter().filter(|event| event.at == self.did.messages).copied().collect();
        for event in now {
            match event.what {
                Happening::Pause(duration) => stand_still(duration),
                Happening::Lose { subscribers, end } => self.lose(name, subscribers, end),
                Happening::Ping => {
                    for member in &self.rooms[name].members {
                        member.order(Order::Write(crate::wire::frame(crate::wire::PING, PINGED)));
                    }
                }
                Happening::Die => return Life::Ends,
            }
        }
        let room = self.rooms.get_mut(name).expect("it was there above");
        self.did.missed_by_ended += room.ended;
        let mut stray = Vec::new();
        for member in &mut room.members {
            if member.sent > 0 {
                member.order(Order::Write(member.dialect.delivery(opcode, payload)));
                continue;
            }
            self.did.owed += 1;
            member.owed += 1;
            let held = member.held.remove(&sender);
            // Who waits for this one gets it in any case.
            let kind = if held.is_none() { hit(&mut self.faults, sequence) } else { None };
            if deliver(member, sender, (kind, opcode, payload), &mut self.did) == Delivered::ElsewhereToo {
                stray.push(member.dialect.delivery(opcode, payload));
            }
            if let Some(held) = held {
                member.order(Order::Write(held));
            }
        }
        self.misroute(name, stray);
        Life::GoesOn
    }

    fn lose(&mut self, name: &str, subscribers: usize, end: End) {
        let room = self.rooms.get_mut(name).expect("a message came to it");
        for _ in 0..subscribers {
            let first = room.members.iter().position(|member| member.sent == 0).expect("there are so many subscribers");
            room.members.remove(first).order(Order::End(end));
            room.ended += 1;
            self.did.ended += 1;
        }
    }

    fn misroute(&mut self, from: &str, frames: Vec<Vec<u8>>) {
        for bytes in frames {
            let others = self.rooms.iter().filter(|(name, _)| *name != from);
            let mut members = others.flat_map(|(_, room)| &room.members);
            members.find(|member| member.sent == 0).expect("there is another room").order(Order::Write(bytes));
            self.did.misrouted += 1;
        }
    }
}

/// The fault of a delivery.
fn hit(faults: &mut [(DeliveryFault, u64)], sequence: u64) -> Option<Kind> {
    for (fault, passed) in faults {
        if fault.messages.contains(&sequence) {
            *passed += 1;
            if passed.is_multiple_of(fault.every) {
                return Some(fault.kind);
            }
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Here,
    ElsewhereToo,
}

fn deliver(
    member: &mut Member,
    sender: Sender,
    (kind, opcode, payload): (Option<Kind>, u8, &[u8]),
    did: &mut Did,
) -> Delivered {
    let bytes = member.dialect.delivery(opcode, payload);
    match kind {
        Some(Kind::Drop) => {
            did.dropped += 1;
            return Delivered::Here;
        }
        Some(Kind::Reorder) => {
            member.held.insert(sender, bytes);
            did.reordered += 1;
            return Delivered::Here;
        }
        Some(Kind::Corrupt) => {
            let mut other = payload.to_vec();
            let at = other.len() - CORRUPT_FROM_END;
            // Letters, digits and the blank have an ASCII neighbour that JSON takes as it is.
            other[at] ^= 1;
            member.order(Order::Write(member.dialect.delivery(opcode, &other)));
            did.corrupted += 1;
            return Delivered::Here;
        }
        Some(Kind::Duplicate) => {
            member.order(Order::Write(bytes.clone()));
            did.duplicated += 1;
        }
        Some(Kind::Delay(duration)) => {
            member.order(Order::Hold(duration));
            did.delayed += 1;
        }
        Some(Kind::Foreign) => {
            member.order(Order::Write(member.dialect.delivery(crate::wire::TEXT, FOREIGN)));
            did.foreign += 1;
        }
        Some(Kind::Misroute) | None => {}
    }
    member.order(Order::Write(bytes));
    if matches!(kind, Some(Kind::Misroute)) { Delivered::ElsewhereToo } else { Delivered::Here }
}

/// Holds the server's only thread.
fn stand_still(duration: Duration) {
    let end = Nanos::now().after(duration);
    loop {
        let left = end.since(Nanos::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
