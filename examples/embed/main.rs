//! A web server with live rooms in it: hyper answers requests, shardcast has the WebSockets.
//!
//! ```text
//! cargo run --example embed -- --listen 127.0.0.1:8081
//! ```
//! Then open a WebSocket to `/live/clock` for a tick a second, or to `/live/ANYTHING` for a room of your own. Ctrl-C
//! ends it in order.
#![expect(clippy::print_stdout, reason = "this is a command: what it prints is what it is for")]

mod server;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use shardcast::{Drain, Engine, Settings};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen_address()?).await?;
    let engine = Engine::start(Settings::default())?;
    println!("ws://{0}/live/clock ticks, ws://{0}/live/ANYTHING is a room. Ctrl-C ends.", listener.local_addr()?);

    let stop = async { tokio::signal::ctrl_c().await.expect("the signal can be waited for") };
    let drain = Drain { spread: Duration::from_secs(1), code: 1001 };
    let report = |ticked: shardcast::Published, totals: shardcast::Totals| {
        println!(
            "ticked: offset {}, {} members; {} connections, {} rooms, {} shards",
            ticked.offset, ticked.members, totals.connections, totals.rooms, totals.shards
        );
    };
    let drained = server::run(listener, &engine, report, stop, drain).await?;
    println!("{} connections closed in order, {} cut off", drained.closed, drained.aborted);
    Ok(())
}

/// Where to listen: `--listen ADDRESS:PORT`, or a free port of this machine.
fn listen_address() -> Result<SocketAddr, String> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(SocketAddr::from(([127, 0, 0, 1], 0))),
        (Some("--listen"), Some(address), None) => address.parse().map_err(|error| format!("{address}: {error}")),
        _ => Err("usage: embed [--listen ADDRESS:PORT]".to_owned()),
    }
}
