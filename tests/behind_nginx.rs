//! Streams through a proxy that buffers: nginx as it comes, but for HTTP/1.1. Skipped where there is no nginx.
#![cfg(feature = "server")]

mod support;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use support::{Http, Server, Signal, Stream, eventually};

const PROGRAM: &str = "/usr/sbin/nginx";

struct Nginx {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Nginx {
    /// In front of `upstream`. `None`: there is none to start.
    fn start(upstream: SocketAddr) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            writeln!(io::stderr(), "skipped: there is no {PROGRAM} (Debian: nginx-light)").ok();
            return None;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", address.port()));
        std::fs::create_dir_all(&directory).expect("the directory can be made");
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration(&directory, address, upstream)).expect("the directory takes a file");
        let process = Command::new(PROGRAM).arg("-c").arg(&file).arg("-p").arg(&directory).spawn().expect("it starts");
        let nginx = Self { process, address, directory };
        eventually("nginx", || Http::try_connect(address).ok());
        Some(nginx)
    }

    fn http(&self) -> Http {
        Http::try_connect(self.address).expect("nginx accepts")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn configuration(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let at = directory.display();
    format!(
        r#"
        daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
        events {{ worker_connections 100; }}
        http {{
            access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
            fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
            upstream shardcast {{ server {upstream}; keepalive 4; }}
            server {{
                listen {address};
                location / {{ proxy_pass http://shardcast; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}
        }}
        "#
    )
}

/// nginx writes a head of its own: it keeps the connection, and does not pass `X-Accel-Buffering` on.
fn open(nginx: &Nginx, method: &str, path: &str, body: &[u8]) -> Stream {
    Stream::open_through_proxy(nginx.http(), method, path, body)
}

#[test]
fn events_and_sessions_come_at_once() {
    let mut server = Server::start(&["--drain", "100ms"]);
    let Some(nginx) = Nginx::start(server.address()) else { return };
    // Requests that nginx keeps the connection of, so that a stream is not its first.
    for _ in 0..3 {
        assert_eq!(nginx.http().request("GET", "/health/live", &[], b"").status, 200);
    }
    let mut events = open(&nginx, "GET", "/sse/room", b"");
    assert_eq!(events.block().as_deref(), Some("retry: 2000"));
    assert_eq!(events.event().expect("it begins").name, "live");
    let connect = br#"{"connect":{},"id":1}"#;
    let mut lines = open(&nginx, "POST", "/connection/http_stream", connect);
    let reply: serde_json::Value = serde_json::from_str(&lines.line().expect("a reply")).expect("an object");
    let body = serde_json::json!({
        "session": reply["connect"]["session"], "node": "", "data": "{\"subscribe\":{\"channel\":\"room\"},\"id\":2}",
    });
    assert_eq!(nginx.http().request("POST", "/emulation", &[], body.to_string().as_bytes()).status, 204);
    assert!(lines.line().expect("a reply").contains("\"id\":2"));
    let mut session = open(&nginx, "POST", "/connection/sse", connect);
    assert_eq!(session.piece("\r\n").as_deref(), Some(""));
    assert!(session.text().contains("\"connect\""));
    // Each comes before the next is published: nothing waits for a buffer to fill.
    for number in 0..5 {
        let text = format!("\"{number}\"");
        assert_eq!(nginx.http().publish("room", &text).status, 200);
        assert_eq!(events.text(), text);
        assert!(lines.line().expect("a push").contains(&format!("\"data\":{text}")));
    }
    let polled = nginx.http().request("GET", "/rooms/room/messages?after=0", &[], b"");
    assert_eq!(polled.status, 200);
    server.signal(Signal::TERM);
    assert_eq!(events.event(), None);
    assert!(lines.line().expect("a push").contains("\"code\":3001"));
    assert_eq!(lines.line(), None);
    assert_eq!(server.exit_code(), Some(0), "{}", server.process().errors());
}
