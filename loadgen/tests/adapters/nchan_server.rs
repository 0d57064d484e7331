//! An nginx process with nchan: rooms as event streams and as raw WebSockets, with a log to resume from.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::UnixStream;

use crate::server_process::{ServerProcess, skipped};

const PROGRAM: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Logged when the listeners are open.
const READY: &str = "event method";

/// A running server. It listens on a socket in its own directory, so that no port can be taken.
pub(crate) struct NchanServer {
    socket: PathBuf,
    _process: ServerProcess,
    _directory: tempfile::TempDir,
}

impl NchanServer {
    /// Starts one; nothing, with a word on standard error, if there is none to start.
    pub(crate) fn start() -> Option<Self> {
        if !Path::new(PROGRAM).exists() || !Path::new(MODULE).exists() {
            skipped("nginx with nchan", "libnginx-mod-nchan");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration(directory.path())).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(&file).arg("-p").arg(directory.path());
        let (process, ()) = ServerProcess::start(&mut command, |line| line.contains(READY).then_some(()));
        Some(Self { socket: directory.path().join("socket"), _process: process, _directory: directory })
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }
}

fn configuration(directory: &Path) -> String {
    let at = directory.display();
    format!(
        r#"
        daemon off; master_process off; pid {at}/pid; error_log stderr notice;
        load_module {MODULE};
        events {{ worker_connections 100; }}
        http {{
            access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
            fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
            server {{
                listen unix:{at}/socket;
                location ~ ^/sub/(.+)$ {{
                    nchan_subscriber websocket eventsource; nchan_channel_id $1; nchan_subscriber_first_message oldest;
                }}
                location ~ ^/pub/(.+)$ {{ nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 100; }}
            }}
        }}
        "#
    )
}
