//! How many connections there may be: in the process, and from one address.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::settings::Limits;

/// Counts connections against their limits. One for the process; shared by the front door and the shards.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: AtomicUsize,
    connections_max: usize,
    by_address: DashMap<NonZeroU64, usize>,
    per_address_max: usize,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The process has as many connections as it may have.
    #[error("connections: {actual}, limits.connections_max is {limit}")]
    Connections {
        /// Connections there are.
        actual: usize,
        /// Connections there may be.
        limit: usize,
    },
    /// The address has as many connections as it may have.
    #[error("connections from this address: {actual}, limits.connections_per_address_max is {limit}")]
    ConnectionsPerAddress {
        /// Connections there are.
        actual: usize,
        /// Connections there may be.
        limit: usize,
    },
}

/// One connection's share of the limits, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Option<Arc<Admission>>,
    /// What it was counted under, if at all.
    address: Option<NonZeroU64>,
    /// Connections of the shard that it was given to.
    load: Option<Arc<AtomicUsize>>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
            connections_max: limits.connections_max,
            by_address: DashMap::new(),
            per_address_max: limits.connections_per_address_max,
        })
    }

    /// Connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection from `address`, if both limits allow it.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, AdmissionError> {
        let actual = self.connections.fetch_add(1, Ordering::Relaxed);
        if actual >= self.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmissionError::Connections { actual, limit: self.connections_max });
        }
        let address = address.and_then(counted_address);
        if let Some(address) = address {
            let mut count = self.by_address.entry(address).or_insert(0);
            if *count >= self.per_address_max {
                let actual = *count;
                drop(count);
                self.connections.fetch_sub(1, Ordering::Relaxed);
                return Err(AdmissionError::ConnectionsPerAddress { actual, limit: self.per_address_max });
            }
            *count += 1;
        }
        Ok(Permit { admission: Some(Arc::clone(self)), address, load: None })
    }
}

/// What is counted together: an IPv4 address, an IPv6 /64. Loopback is not counted: proxies stand there.
fn counted_address(address: IpAddr) -> Option<NonZeroU64> {
    /// Above it no IPv6 address is a host's (RFC 4291 §2.7: multicast), so IPv4 addresses find room there.
    const MULTICAST: u64 = 0xff00 << 48;
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => NonZeroU64::new(MULTICAST | u64::from(address.to_bits())),
        IpAddr::V6(address) => NonZeroU64::new(u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)),
    }
}

impl Permit {
    /// Counts the connection for its shard as well.
    pub(crate) fn on_shard(mut self, load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        self.load = Some(Arc::clone(load));
        self
    }

    /// A share of nothing: for connections that no limit counts (simulation, fuzzing).
    #[cfg(any(test, fuzzing))]
    pub(crate) const fn uncounted() -> Self {
        Self { admission: None, address: None, load: None }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(load) = &self.load {
            load.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(admission) = &self.admission else { return };
        admission.connections.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        admission.by_address.remove_if_mut(&address, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_permits_come_back() {
        let limits = Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let admission = Admission::new(&limits);
        let address = |text: &str| Some(text.parse().unwrap());
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(address("::ffff:192.0.2.1")).unwrap();
        let refused = admission.admit(address("192.0.2.1")).unwrap_err();
        assert_eq!(refused, AdmissionError::ConnectionsPerAddress { actual: 2, limit: 2 });
        let _third = admission.admit(address("192.0.2.2")).unwrap();
        let refused = admission.admit(address("127.0.0.1")).unwrap_err();
        assert_eq!(refused, AdmissionError::Connections { actual: 3, limit: 3 });
        drop(first);
        assert!(admission.admit(address("192.0.2.1")).is_ok());
        assert_eq!(admission.by_address.len(), 2);
    }

    #[test]
    fn one_ipv6_host_network_is_one_address() {
        let counted = |text: &str| counted_address(text.parse().unwrap());
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:2"));
        assert_ne!(counted("2001:db8:0:1::1"), counted("2001:db8:0:2::1"));
        assert_eq!(counted("::1"), None);
        assert_eq!(counted("127.1.2.3"), None);
    }
}
