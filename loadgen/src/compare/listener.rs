//! Which process listens on a port, as `/proc` tells: a server's command may be a shell, a launcher, a chain of both.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Pid;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The first process of the group that listens on this port; none if there is none, or `/proc` does not tell.
#[must_use]
pub fn listening_pid(group: Pid, port: u16) -> Option<u32> {
    let inodes: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut members: Vec<i32> = processes.filter(|pid| is_of(*pid, group)).collect();
    members.sort_unstable();
    members.into_iter().find(|pid| holds_socket(*pid, &inodes)).and_then(|pid| u32::try_from(pid).ok())
}

/// Inodes of the sockets that listen on this port, of a table like `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(local_port, 16).ok()? == port && *columns.get(3)? == LISTENING;
        if here { columns.get(9).map(|inode| (*inode).to_owned()) } else { None }
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Whether the process is of the group. Its name may hold anything, so that what follows begins at the last bracket.
fn is_of(pid: i32, group: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let process_group = after_name.split_whitespace().nth(2).and_then(|text| text.parse::<i32>().ok());
    process_group == Some(group.as_raw_nonzero().get())
}

fn holds_socket(pid: i32, inodes: &BTreeSet<String>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let link = fs::read_link(file.path()).unwrap_or_default();
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.contains(inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "sl local_address rem_address st queues tr retransmits uid timeout inode\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n\
                     1: 0100007F:1F90 0100007F:A001 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n\
                     2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4713 1\n";
        assert_eq!(listening_inodes(table, 8080), ["4711"]);
        assert_eq!(listening_inodes(table, 8081), ["4713"]);
        assert_eq!(listening_inodes(table, 80), [""; 0]);
        assert_eq!(listening_inodes("head\nnonsense\n1: x:y z 0A\n", 8080), [""; 0]);
    }
}
