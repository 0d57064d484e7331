//! Out of files: the server neither spins nor dies, its members hear each other, and it accepts again.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::client::{Member, connect, exchange, handshake, status};
use crate::pair::Pair;
use crate::server::{Server, eventually};

/// Sets the limit of open files of the running server.
fn limit_files(server: &Server, files: u64) {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process number");
    let limit = Rlimit { current: Some(files), maximum: Some(files) };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the limit of a child may be lowered");
}

/// Two thousand connections, as many as fit into the listener's queue besides.
fn crowd(server: &Server) -> Vec<TcpStream> {
    (0..2_000).map(|_| connect(server.address)).collect()
}

#[test]
fn out_of_files() {
    let server = Server::start(&["handshake.timeout=1h"]);
    let pair = Pair::start(server.address);
    let room = server.files() as u64 + 40;
    limit_files(&server, room);
    let crowd = crowd(&server);
    eventually("there is no file left", || server.files() as u64 + 1 >= room);

    // Two looks a second apart: a loop around accept would take all of a core.
    pair.stop();
    let (used, begun) = (server.cpu_time(), Instant::now());
    eventually("a second has passed", || begun.elapsed() >= Duration::from_secs(1));
    let used = server.cpu_time() - used;
    assert!(used < Duration::from_millis(300), "{used:?} of CPU time in a second without files");

    // Files come back with those who leave.
    let freed = Instant::now();
    drop(crowd);
    let mut member = Member::join(server.address, "again");
    println!("out of files: {used:?} CPU in 1 s; joined {:?} after files were free", freed.elapsed());
    member.say("here");
    assert_eq!(member.hear(), "here");
    assert!(server.metric("refused_total") > 0, "some were shed");
    server.stop();
}

#[test]
fn members_do_not_notice_that_files_are_out() {
    let server = Server::start(&["handshake.timeout=1h"]);
    let pair = Pair::start(server.address);
    limit_files(&server, server.files() as u64 + 10);
    let crowd = crowd(&server);
    for _ in 0..20 {
        pair.go_on();
    }
    drop(crowd);
    pair.stop();
    server.stop();
}

#[test]
fn more_than_the_files_allow_are_told_so() {
    let server = Server::start(&["limits.connections_max=50", "handshake.timeout=1h"]);
    let pair = Pair::start(server.address);
    let crowd = crowd(&server);
    assert_eq!(status(&exchange(server.address, handshake("a"))), 503);
    pair.stop();
    drop(crowd);
    eventually("it accepts again", || status(&exchange(server.address, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")) == 200);
    server.stop();
}
