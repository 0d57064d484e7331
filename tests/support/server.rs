//! A server on a free port of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::process::Signal;

use super::{Answer, Client, Http, Joining, Metrics, Process, eventually};

pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    /// The lines that it printed before it served.
    pub(crate) announced: Vec<String>,
}

impl Server {
    /// On 127.0.0.1, with two shards unless the arguments say otherwise.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::listening("127.0.0.1:0", arguments)
    }

    pub(crate) fn listening(listen: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["serve", "--listen", listen, "--log-level", "warn", "--set", "shards=2"];
        if arguments.contains(&"--shards") {
            all.truncate(5);
        }
        all.extend(arguments);
        let process = Process::start(&all);
        let mut announced = Vec::new();
        let address = loop {
            let line = process.line();
            announced.push(line.clone());
            if let Some(address) = url_address(&line) {
                break address;
            }
        };
        // "Every address" is nowhere to connect to.
        let address =
            if address.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, address.port()).into() } else { address };
        let mut server = Self { process, address, announced };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let address = self.address;
        eventually("a server that is ready", || {
            let mut http = Http::try_connect(address).ok()?;
            let answer = http.try_request("GET", "/health/ready", &[], b"").ok()?;
            (answer.status == 200).then_some(())
        });
        while self.announced.last().is_none_or(|line| !line.trim_start().starts_with("connections")) {
            let line = self.process.line();
            self.announced.push(line);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code()
    }

    /// Waits until the address is free. Without a connect, which would wake whoever listens.
    pub(crate) fn until_nobody_listens(&self) {
        eventually("the end of listening", || TcpListener::bind(self.address).ok());
    }

    /// A new member of `/ws/` and this.
    pub(crate) fn join(&self, room: &str) -> Client {
        self.joining(room).join()
    }

    pub(crate) fn joining(&self, room: &str) -> Joining {
        Joining::new(self.address, &format!("/ws/{room}"))
    }

    pub(crate) fn http(&self) -> Http {
        Http::try_connect(self.address).expect("the server accepts")
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.http().request(method, path, headers, body)
    }

    /// Publishes a text over HTTP.
    pub(crate) fn publish(&self, room: &str, text: &str) -> Answer {
        self.http().publish(room, text)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.request("GET", "/metrics", &[], b"");
        assert_eq!(answer.status, 200);
        Metrics::parse(&answer.body)
    }

    /// Waits until the metrics are as expected.
    pub(crate) fn until(&self, what: &str, mut expected: impl FnMut(&Metrics) -> bool) -> Metrics {
        let mut http = self.http();
        eventually(what, || {
            let metrics = Metrics::parse(&http.request("GET", "/metrics", &[], b"").body);
            expected(&metrics).then_some(metrics)
        })
    }
}

/// The address in a line that says which URL to open.
pub(crate) fn url_address(line: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix("open")?.trim().strip_prefix("http://")?.split('/').next()?.parse().ok()
}
