//! What a shard counts: plain numbers of its own, copied out when somebody asks.
//!
//! A shard writes its counters without atomics; who wants to see them sends a command and gets a [`Snapshot`].

use std::time::Duration;

use hdrhistogram::Histogram;

/// Declares the counters: one table for name, help and meaning.
macro_rules! counters {
    ($(#[doc = $doc:literal] $variant:ident => $name:literal, $labels:literal;)*) => {
        /// Everything that a shard counts. Each only grows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Counter {
            $(#[doc = $doc] $variant,)*
        }

        impl Counter {
            /// All counters, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name of the metric, without the project's prefix.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it counts, as the metric's help.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii(),)* }
            }

            /// Labels that tell it from others of the same name, in Prometheus' text form; empty: none.
            #[must_use]
            pub const fn labels(self) -> &'static str {
                match self { $(Self::$variant => $labels,)* }
            }
        }
    };
}

counters! {
    /// Connections that became members.
    Opened => "connections_opened_total", "";
    /// Subscriptions of sessions that began.
    Subscribed => "subscriptions_opened_total", "";
    /// Subscriptions that the server ended.
    Unsubscribed => "subscriptions_ended_total", "";
    /// Commands of sessions that were answered with an error.
    CommandsRefused => "commands_refused_total", "";
    /// Messages of sessions to an application that is not there.
    MessagesUnheard => "messages_unheard_total", "";
    /// Members that resumed from a position, or asked for the newest publications, and got them.
    Recovered => "resumes_total", "outcome=\"recovered\"";
    /// Members that wanted to resume from a position that is not there any more.
    NotRecovered => "resumes_total", "outcome=\"lost\"";
    /// Joins and leaves that were told (counted at the room's home, once each).
    PresenceEvents => "presence_events_total", "";
    /// Joins and leaves that were not told, because a room tells only so many (counted at the room's home).
    PresenceEventsDropped => "presence_events_dropped_total", "";
    /// Publications that got an offset (counted at the room's home).
    Publications => "publications_total", "";
    /// Publications whose room had nobody to get them.
    PublicationsUnheard => "publications_unheard_total", "";
    /// Messages received from connections.
    MessagesReceived => "messages_received_total", "";
    /// Bytes received from connections.
    BytesReceived => "bytes_received_total", "";
    /// Publications handed to the kernel whole, once per member.
    Deliveries => "deliveries_total", "";
    /// Bytes of publications handed to the kernel.
    BytesSent => "bytes_sent_total", "";
    /// Sends of publications: deliveries per send tell how much was coalesced.
    Sends => "sends_total", "";
    /// Sends of publications that the kernel took in part or not at all.
    SendsBlocked => "sends_blocked_total", "";
    /// Publications that a member missed because it lagged (`lag = "skip"`).
    DroppedSkip => "dropped_total", "reason=\"skip\"";
    /// Publications that a member missed because a newer one replaced them (`lag = "latest"`).
    DroppedLatest => "dropped_total", "reason=\"latest\"";
    /// Publications that a member missed because it was disconnected for lagging.
    DroppedSlow => "dropped_total", "reason=\"slow\"";
    /// Pings that were not answered because a newer one came first.
    DroppedPong => "dropped_total", "reason=\"pong\"";
    /// Sessions that did not take the answers to their commands.
    DroppedReplies => "dropped_total", "reason=\"replies\"";
    /// The client closed in order.
    ClosedByClient => "disconnects_total", "reason=\"client\"";
    /// The stream ended without a close frame.
    ClosedLost => "disconnects_total", "reason=\"lost\"";
    /// The client broke the protocol.
    ClosedProtocol => "disconnects_total", "reason=\"protocol\"";
    /// The client sent a longer message, or one in more fragments, than it may.
    ClosedTooLong => "disconnects_total", "reason=\"too_long\"";
    /// The client did not finish a message in time, or all clients together held too much of unfinished ones.
    ClosedUnfinished => "disconnects_total", "reason=\"unfinished\"";
    /// The client lagged behind the window.
    ClosedSlow => "disconnects_total", "reason=\"slow\"";
    /// The client did not answer a ping.
    ClosedSilent => "disconnects_total", "reason=\"silent\"";
    /// The client published where only the server may.
    ClosedListenOnly => "disconnects_total", "reason=\"listen_only\"";
    /// What a raw member asked to resume from is not there any more.
    ClosedNotRecoverable => "disconnects_total", "reason=\"not_recoverable\"";
    /// The server's API closed it.
    ClosedByServer => "disconnects_total", "reason=\"server\"";
    /// The drain closed it.
    ClosedDrain => "disconnects_total", "reason=\"drain\"";
    /// The drain cut it off: its socket took no more until the drain's end.
    ClosedDrainCut => "disconnects_total", "reason=\"drain_cut\"";
    /// The poller did not take the socket.
    ClosedPoller => "disconnects_total", "reason=\"poller\"";
    /// Closing connections that did not end in time and were aborted.
    Aborted => "closes_aborted_total", "";
    /// Turns of the shard's loop.
    Turns => "turns_total", "";
    /// Connections whose reading was put off because publishers had to wait.
    PublishersHeld => "publishers_held_total", "";
}

/// A shard's counters.
#[derive(Clone, Debug)]
pub struct Counts([u64; Counter::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Counts {
    pub(crate) const fn add(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] += count;
    }

    /// Counts a publication as handed over whose last `rest_bytes` the connection carries itself from now on.
    pub(crate) const fn add_carried(&mut self, rest_bytes: u64) {
        self.add(Counter::Deliveries, 1);
        self.add(Counter::BytesSent, rest_bytes);
    }

    /// What `counter` stands at.
    #[must_use]
    pub const fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Connections that did not end in order.
    pub(crate) const fn aborted(&self) -> u64 {
        self.get(Counter::Aborted) + self.get(Counter::ClosedDrainCut)
    }

    /// Adds what another shard counted.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// The distributions that a shard keeps, in microseconds, two significant digits, up to a minute.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// From the publication to the moment when the last member of this shard that keeps up had been offered it.
    pub publish_to_last_send: Histogram<u64>,
    /// From its arrival at this shard to the same moment.
    pub fan_out: Histogram<u64>,
}

/// Longest latency that is told from longer ones.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

impl Default for Latencies {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 2).expect("the bounds are in order");
        Self { publish_to_last_send: histogram(), fan_out: histogram() }
    }
}

/// Records `count` times `latency`; what is longer than the histogram reaches counts as its longest.
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration, count: u64) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_MICROS_MAX);
    histogram.saturating_record(micros);
    if count > 1 {
        histogram.record_n(micros, count - 1).expect("the value was clamped into the histogram's bounds");
    }
}

/// How things stand on one shard.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Number of the shard.
    pub shard: usize,
    /// What it counted.
    pub counts: Counts,
    /// How long things took.
    pub latencies: Latencies,
    /// Connections it owns.
    pub connections: usize,
    /// Subscriptions of sessions, on their way in included. (A connection without a session is one member.)
    pub subscriptions: usize,
    /// Sessions whose clients say what they have to say by requests of their own.
    pub posting_sessions: usize,
    /// Rooms it has members of.
    pub rooms: usize,
    /// Rooms whose home it is.
    pub homes: usize,
    /// Members that the kernel does not take more for.
    pub blocked_members: usize,
    /// The farthest that a member lags behind its room, bytes.
    pub lag_bytes_max: u64,
    /// Memory of the windows, bytes.
    pub window_bytes: u64,
    /// Memory of what rooms with their home here keep for those who come back, bytes.
    pub history_bytes: u64,
    /// Bytes of unfinished messages.
    pub unfinished_bytes: usize,
}
