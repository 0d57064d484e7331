//! `shardcast subscribe` against a server of this file's own that speaks `shardcast.v1` and cuts connections wherever
//! the test wants (in the middle of a frame, before the first message, after everything); and against the real one.
#![cfg(feature = "server")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use support::{Process, Server, Signal};

/// What the server has, and what it does to its clients. Position 0 of the log is offset 1.
#[derive(Default)]
struct Plan {
    epoch: String,
    log: Vec<String>,
    /// The oldest offset that can still be replayed.
    oldest: u64,
    /// Bytes behind the handshake after which the next connections are cut, one each; a connection without is kept.
    cuts: Vec<usize>,
    /// Left out of what connections are given.
    skipped: Vec<u64>,
    /// The queries that came, in their order.
    queries: Vec<String>,
    /// Whether the subprotocol is left out of the answer.
    plain: Option<()>,
    /// What is sent to a client as it is, instead.
    instead: Option<Vec<u8>>,
}

struct FakeServer {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    cut: Arc<AtomicUsize>,
}

impl FakeServer {
    fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = Self { address, plan: Arc::new(Mutex::new(plan)), cut: Arc::default() };
        let (plan, cut) = (Arc::clone(&server.plan), Arc::clone(&server.cut));
        // They end with the test's process: a connection that is kept is held open until then.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (plan, cut) = (Arc::clone(&plan), Arc::clone(&cut));
                std::thread::spawn(move || serve(stream, &plan, &cut));
            }
        });
        server
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("nobody panics while holding it")
    }

    fn subscribe(&self, arguments: &[&str]) -> Process {
        let url = format!("ws://{}", self.address);
        Process::start(&[&["subscribe", "news", "--server", &url], arguments].concat())
    }

    /// How many connections were cut.
    fn cuts(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, plan: &Mutex<Plan>, cut: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().expect("there is a file left"));
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let path = head[0].split(' ').nth(1).expect("a request has a path");
    let query = path.split_once('?').map_or("", |(_, query)| query).to_owned();
    let field = |name: &str| {
        let fields = head.iter().filter_map(|line| line.split_once(": "));
        fields.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    let accept = field("sec-websocket-key").expect("a handshake has a key").to_owned();
    let digest = Sha1::new().chain_update(accept).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    let (bytes, keep) = {
        let mut plan = plan.lock().expect("nobody panics while holding it");
        plan.queries.push(query.clone());
        if plan.plain.is_none() && field("sec-websocket-protocol") == Some("shardcast.v1") {
            answer += "Sec-WebSocket-Protocol: shardcast.v1\r\n";
        }
        let mut bytes = plan.instead.clone().unwrap_or_else(|| plan.replay(&query));
        let limit = if plan.cuts.is_empty() { None } else { Some(plan.cuts.remove(0)) };
        bytes.truncate(limit.unwrap_or(usize::MAX));
        (bytes, limit.is_none())
    };
    let mut stream = stream;
    stream.write_all((answer + "\r\n").as_bytes()).and_then(|()| stream.write_all(&bytes)).ok();
    if keep {
        // Until the client goes.
        std::io::copy(&mut reader, &mut std::io::sink()).ok();
    } else {
        cut.fetch_add(1, Ordering::SeqCst);
    }
}

impl Plan {
    fn new(epoch: &str, publications: std::ops::RangeInclusive<u64>) -> Self {
        let log = publications.map(|number| format!("message {number}")).collect();
        Self { epoch: epoch.to_owned(), log, oldest: 1, ..Self::default() }
    }

    fn newest(&self) -> u64 {
        u64::try_from(self.log.len()).expect("it fits")
    }

    /// Frames for a client that asks for this.
    fn replay(&self, query: &str) -> Vec<u8> {
        let newest = self.newest();
        let (from, state) = match query.split_once('=') {
            Some(("last", count)) => (newest.saturating_sub(count.parse().expect("a number")), "recovered"),
            Some(("since", position)) => {
                let (epoch, offset) = position.split_once(':').expect("a position");
                let offset: u64 = offset.parse().expect("a number");
                let replayable = epoch == self.epoch && offset + 1 >= self.oldest && offset <= newest;
                if replayable { (offset, "recovered") } else { (newest, "lost") }
            }
            _ => (newest, "live"),
        };
        let mut bytes = frame(&format!("{}:{from} {state}\n", self.epoch));
        for offset in (from + 1..=newest).filter(|offset| !self.skipped.contains(offset)) {
            let payload = &self.log[usize::try_from(offset - 1).expect("it fits")];
            bytes.extend(frame(&format!("{}:{offset}\n{payload}", self.epoch)));
        }
        bytes
    }
}

fn frame(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).ok().filter(|len| *len < 126).expect("the test's messages are short");
    [&[0x81, len], text.as_bytes()].concat()
}

fn messages(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| format!("message {number}")).collect()
}

#[test]
fn each_message_is_printed_once_over_many_connections() {
    // Cut everywhere: in the first frame's head, behind the state, in the middle of publications, between two.
    let state_len = frame("0a1:0 recovered\n").len();
    let cuts = vec![[0, 1, 5], [state_len, state_len + 1, state_len + 30], [100, 333, 1_000], [1_000, 2, 0]];
    support::at_once(cuts, |cuts| {
        let mut plan = Plan::new("0a1", 1..=200);
        plan.cuts = cuts.to_vec();
        let server = FakeServer::start(plan);
        let mut subscriber = server.subscribe(&["--since", "0a1:0", "--count", "200"]);
        assert_eq!(subscriber.rest(), messages(1..=200));
        assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
        assert_eq!(server.cuts(), cuts.len());
        assert!(!subscriber.errors().contains("lost: what"), "{}", subscriber.errors());
        let queries = server.plan().queries.clone();
        assert_eq!(queries.len(), cuts.len() + 1);
        assert!(queries.iter().all(|query| query.starts_with("since=0a1:")), "{queries:?}");
    });
}

#[test]
fn last_begins_and_then_goes_on() {
    let mut plan = Plan::new("f", 1..=20);
    plan.cuts = vec![frame("f:10 recovered\n").len() + frame("f:11\nmessage 11").len() + 3];
    let server = FakeServer::start(plan);
    let mut subscriber = server.subscribe(&["--last", "10", "--positions", "--count", "10"]);
    let expected: Vec<String> = (11..=20).map(|number| format!("f:{number}\tmessage {number}")).collect();
    assert_eq!(subscriber.rest(), expected);
    assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
    assert_eq!(server.plan().queries, ["last=10", "since=f:11"]);
}

#[test]
fn a_loss_is_one_line_with_the_position() {
    let mut plan = Plan::new("b", 1..=9);
    plan.oldest = 5;
    let server = FakeServer::start(plan);
    // Too old, of another epoch, from the future; the connection is kept.
    for since in ["b:2", "a:9", "b:10"] {
        let subscriber = server.subscribe(&["--since", since]);
        support::eventually("word of the loss", || subscriber.errors().contains("lost: ").then_some(()));
        let errors = subscriber.errors();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(&format!("after {since} cannot be replayed; going on at b:9")), "{errors}");
    }
}

#[test]
fn a_gap_is_told() {
    let mut plan = Plan::new("b", 1..=9);
    plan.skipped = vec![3, 4, 7];
    let server = FakeServer::start(plan);
    let mut subscriber = server.subscribe(&["--last", "9", "--count", "6"]);
    assert_eq!(subscriber.rest(), [messages(1..=2), messages(5..=6), messages(8..=9)].concat());
    assert_eq!(subscriber.exit_code(), Some(0));
    let errors = subscriber.errors_to_end();
    assert!(errors.contains("left out 2 messages before b:5"), "{errors}");
    assert_eq!(errors.matches("left out").count(), 1, "{errors}");
}

#[test]
fn a_position_file_joins_runs() {
    let path = std::env::temp_dir().join(format!("shardcast-subscribe-{}.position", std::process::id()));
    let file = path.to_str().expect("the path is text");
    std::fs::remove_file(&path).ok();
    let server = FakeServer::start(Plan::new("c", 1..=9));
    let saved = || std::fs::read_to_string(&path).unwrap_or_default();
    // There is no file yet: --last says where to begin. Every run after that goes on where the one before was.
    for (run, expected) in [(1, 1..=3), (2, 4..=6), (3, 7..=9)] {
        let mut subscriber = server.subscribe(&["--position-file", file, "--last", "9", "--count", "3"]);
        assert_eq!(subscriber.rest(), messages(expected), "run {run}");
        assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
        assert_eq!(saved(), format!("c:{}\n", run * 3));
    }
    // Ended by a signal: the file tells what was printed, all of it.
    server.plan().log.extend(messages(10..=12));
    for (signal, code, end) in [(Signal::INT, 130, 12), (Signal::TERM, 143, 15)] {
        let mut subscriber = server.subscribe(&["--position-file", file]);
        assert_eq!([(); 3].map(|()| subscriber.line()).to_vec(), messages(end - 2..=end));
        subscriber.signal(signal);
        assert_eq!(subscriber.exit_code(), Some(code), "{}", subscriber.errors());
        assert_eq!(subscriber.rest(), [""; 0]);
        assert_eq!(saved(), format!("c:{end}\n"));
        server.plan().log.extend(messages(end + 1..=end + 3));
    }
    std::fs::write(&path, "not a position\n").expect("the folder can be written");
    let mut subscriber = server.subscribe(&["--position-file", file]);
    assert_eq!(subscriber.exit_code(), Some(1));
    assert!(subscriber.errors_to_end().contains("EPOCH:OFFSET"), "{}", subscriber.errors());
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn servers_that_do_not_speak_it_are_told_from_those_that_do() {
    let mut plan = Plan::new("d", 1..=3);
    plan.plain = Some(());
    let server = FakeServer::start(plan);
    let mut subscriber = server.subscribe(&["--follow"]);
    assert_eq!(subscriber.exit_code(), Some(1));
    assert!(subscriber.errors_to_end().contains("shardcast.v1"), "{}", subscriber.errors());
    // Without any of the options, nothing is asked for and messages are as they are.
    server.plan().instead = Some([frame("e:1 live\n"), frame("hello")].concat());
    let mut subscriber = server.subscribe(&["--count", "2"]);
    assert_eq!(subscriber.rest(), ["e:1 live", "", "hello"]);
    assert_eq!(subscriber.exit_code(), Some(0));
    // A server that says that it speaks it and does not.
    server.plan().plain = None;
    server.plan().instead = Some(frame("hello"));
    let mut subscriber = server.subscribe(&["--follow"]);
    assert_eq!(subscriber.exit_code(), Some(1));
    assert!(subscriber.errors_to_end().contains("no header line"), "{}", subscriber.errors());
}

#[test]
fn arguments_that_make_no_sense() {
    for arguments in [
        &["--since", "nonsense"][..],
        &["--since", "a:1", "--last", "2"],
        &["--follow", "--no-reconnect"],
        &["--positions", "--raw"],
        &["--last", "-1"],
    ] {
        let mut subscriber = Process::start(&[&["subscribe", "news"], arguments].concat());
        assert_eq!(subscriber.exit_code(), Some(64), "{arguments:?}: {}", subscriber.errors());
    }
}

/// Between a client and a server; cuts every connection that there is when told to.
struct Proxy {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let proxy = Self { address, streams: Arc::default() };
        let streams = Arc::clone(&proxy.streams);
        // They end with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                for (mut from, mut to) in [(&client, &server), (&server, &client)].map(|(from, to)| {
                    (from.try_clone().expect("there is a file left"), to.try_clone().expect("there is a file left"))
                }) {
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to).ok());
                }
                streams.lock().expect("nobody panics while holding it").extend([client, server]);
            }
        });
        proxy
    }

    fn cut(&self) {
        for stream in self.streams.lock().expect("nobody panics while holding it").drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

#[test]
fn nothing_is_missed_or_doubled_while_connections_are_cut() {
    let server = Server::start(&["--set", "room.history_count_max=100000"]);
    let proxy = Proxy::before(server.address());
    let url = format!("ws://{}", proxy.address);
    let subscriber = Process::start(&["subscribe", "news", "--server", &url, "--follow", "--count", "2000"]);
    server.until("a member", |metrics| metrics.get("connections_opened_total") == 1);
    let mut http = server.http();
    for number in 1..=2_000 {
        assert_eq!(http.publish("news", &format!("message {number}")).status, 200);
        if number % 450 == 0 {
            proxy.cut();
        }
    }
    let mut subscriber = subscriber;
    assert_eq!(subscriber.rest(), messages(1..=2_000));
    assert_eq!(subscriber.exit_code(), Some(0), "{}", subscriber.errors());
    assert!(!subscriber.errors().contains("lost: "), "{}", subscriber.errors());
}

#[test]
fn a_restart_loses_the_history_and_says_so() {
    let settings = ["--set", "room.history_count_max=100", "--drain", "0s"];
    let mut server = Server::listening("127.0.0.5:0", &settings);
    let address = server.address().to_string();
    let url = format!("ws://{address}");
    for number in 1..=3 {
        server.publish("news", &format!("message {number}"));
    }
    let mut late =
        Process::start(&["subscribe", "news", "--server", &url, "--last", "2", "--positions", "--count", "2"]);
    let epoch = late.line().split_once(':').expect("a position").0.to_owned();
    assert_eq!(late.line(), format!("{epoch}:3\tmessage 3"));
    assert_eq!(late.exit_code(), Some(0), "{}", late.errors());
    let position = format!("{epoch}:1");
    let subscriber = Process::start(&["subscribe", "news", "--server", &url, "--since", &position]);
    assert_eq!([subscriber.line(), subscriber.line()], ["message 2", "message 3"]);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
    drop(server);
    let server = Server::listening(&address, &settings);
    let lost =
        || subscriber.errors().contains(&format!("lost: what was published after {epoch}:3 cannot")).then_some(());
    support::eventually("word of the loss", lost);
    server.publish("news", "after");
    assert_eq!(subscriber.line(), "after");
}

/// Publishes numbers from `first` on, in the middle of which the server gets a signal, until it takes no more. Returns
/// the last that it took.
fn publish_until_the_end(server: &mut Server, first: u64, signal: Signal) -> u64 {
    let mut http = server.http();
    for number in first.. {
        let body = format!("message {number}");
        let answer = http.try_request("POST", "/rooms/news", &[("Content-Type", "text/plain")], body.as_bytes());
        if !answer.is_ok_and(|answer| answer.status == 200) {
            return number - 1;
        }
        if number == first + 300 {
            server.signal(signal);
        }
    }
    unreachable!("the server ends")
}

/// A follower comes back by itself, whichever way the server ended. A drain takes nothing from it that was accepted;
/// what a kill took, or may have taken, it is told.
#[test]
fn a_follower_outlives_servers() {
    let settings = ["--set", "room.history_count_max=100", "--drain", "1s"];
    let mut server = Server::listening("127.0.0.6:0", &settings);
    let address = server.address().to_string();
    let subscriber =
        Process::start(&["subscribe", "news", "--server", &format!("ws://{address}"), "--follow", "--positions"]);
    server.until("a member", |metrics| metrics.get("connections_opened_total") == 1);
    let mut number = 0;
    for (round, (signal, code)) in [(Signal::TERM, Some(0)), (Signal::KILL, None)].into_iter().enumerate() {
        let first = number + 1;
        let last = publish_until_the_end(&mut server, first, signal);
        assert_eq!(server.exit_code(), code, "{}", server.process().errors());
        drop(server);
        server = Server::listening(&address, &settings);
        let lost = || {
            let told = subscriber.errors().lines().filter(|line| line.contains("lost: ")).count();
            (told == round + 1).then_some(())
        };
        support::eventually("word of the loss", lost);
        // What the next server has comes behind all of the last one's.
        number = last + 10;
        server.publish("news", &format!("message {number}"));
        let (mut before, mut epoch) = (first - 1, None);
        loop {
            let line = subscriber.line();
            let (position, message) = line.split_once('\t').expect("a position");
            let (of, offset) = position.split_once(':').expect("an epoch and an offset");
            let got: u64 = message.strip_prefix("message ").and_then(|text| text.parse().ok()).expect("a number");
            if got == number {
                assert!(epoch.as_deref() != Some(of) && offset == "1", "{line}: another epoch");
                break;
            }
            assert_eq!(got, before + 1, "none twice, none left out");
            assert!(epoch.get_or_insert_with(|| of.to_owned()) == of, "{line}");
            before = got;
        }
        // The answer to one more may have been lost, not the publication.
        let all = before == last || before == last + 1;
        assert!(all || signal == Signal::KILL, "{before} of {last} that were accepted");
        let told = format!("lost: what was published after {}:", epoch.expect("some came"));
        assert!(subscriber.errors().contains(&told), "{}", subscriber.errors());
    }
}
