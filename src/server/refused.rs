//! Why sockets and handshakes are refused, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reason: the label of `refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// `limits.connections_max`, or the files that the process may open.
    Connections,
    /// `limits.connections_per_address_max`.
    Address,
    /// A request that is no handshake, or cannot be taken now.
    Handshake,
    /// A page that `allowed_origins` does not list.
    Origin,
    /// `limits.rooms_max`.
    Rooms,
    /// No request came in time: `handshake.timeout`.
    Timeout,
    /// The process had no file left for an accept (counted once for each time that it waits for one).
    OutOfFiles,
}

impl Why {
    const ALL: [Self; 7] =
        [Self::Connections, Self::Address, Self::Handshake, Self::Origin, Self::Rooms, Self::Timeout, Self::OutOfFiles];

    const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Handshake => "handshake",
            Self::Origin => "origin",
            Self::Rooms => "rooms",
            Self::Timeout => "timeout",
            Self::OutOfFiles => "out_of_files",
        }
    }
}

/// How often each; each only grows.
#[derive(Debug, Default)]
pub(crate) struct Refused([AtomicU64; Why::ALL.len()]);

impl Refused {
    pub(crate) fn count(&self, why: Why) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a page's refusal. The first one is logged: browsers do not show pages why.
    pub(crate) fn count_page(&self, reason: &str) {
        if self.0[Why::Origin as usize].fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(?reason, "a page was refused; later ones are counted in refused_total only");
        }
    }

    /// Each reason's label and count.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Why::ALL.iter().map(|why| (why.label(), self.0[*why as usize].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, Why};

    #[test]
    fn each_reason_has_its_own_count() {
        let refused = Refused::default();
        for (index, why) in Why::ALL.iter().enumerate() {
            assert_eq!(*why as usize, index, "the order of the declaration");
            refused.count(*why);
        }
        refused.count_page("Origin http://example.com");
        for (label, count) in refused.counts() {
            assert_eq!(count, if label == "origin" { 2 } else { 1 }, "{label}");
        }
    }
}
