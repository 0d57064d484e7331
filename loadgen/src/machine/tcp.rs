//! Memory that the kernel holds for TCP: buffers of all sockets of the machine. A process's own memory shows none of
//! it.

use super::Kernel;

/// Memory of all TCP sockets of this machine (of this network namespace), bytes; none if the kernel does not say.
#[must_use]
pub fn memory_bytes(kernel: &Kernel) -> Option<u64> {
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    pages(&kernel.proc_text("net/sockstat")?)?.checked_mul(page_bytes)
}

/// `TCP: inuse 3 orphan 0 tw 1 alloc 3 mem 187`: the pages.
fn pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_tcp() {
        let table = [
            ("sockets: used 21\nTCP: inuse 3 orphan 0 tw 1 alloc 3 mem 187\nUDP: inuse 0 mem 4\n", Some(187)),
            ("sockets: used 1602\nTCP: inuse 35 orphan 0 tw 4 alloc 59 mem 22\nUDP: inuse 12 mem 62\n", Some(22)),
            ("sockets: used 3\nUDP: inuse 0 mem 9\n", None),
            ("TCP: inuse 3 orphan 0 tw 1 alloc 3\n", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(pages(text), wanted, "{text}");
        }
    }

    #[test]
    fn this_machine_says() {
        assert!(memory_bytes(&Kernel::default()).is_some());
    }
}
