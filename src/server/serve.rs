//! Runs the server until it is told to stop: `serve` as a story.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shardcast::engine::settings::Pinning;
use shardcast::engine::{Drain, Drained, Engine};
use socket2::{Domain, Socket, Type};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::accept::Gate;
use super::config::{Config, duration_text};
use super::front_door::{Door, Reach, Stage};
use super::machine::{self, BACKLOG, Machine};

/// The drain did not get every connection closed in order.
const EXIT_ABORTED: u8 = 3;

/// How long the answers to long polls may take when everything else has ended.
const POLLS_TIME_MAX: Duration = Duration::from_secs(1);

/// How long publications that were let in may take before a drain begins.
const PUBLISHES_TIME_MAX: Duration = Duration::from_secs(1);

/// How long the shards may take to say who is still there.
const SHARDS_TIME_MAX: Duration = Duration::from_secs(1);

/// During a drain, how often they are asked.
const HEARING_CHECKED_EVERY: Duration = Duration::from_secs(1);

/// Files that the process needs beside connections: pollers, wakers, standard streams, the spare one of each listener.
const FILES_PER_SHARD: usize = 4;
const FILES_PER_LISTENER: usize = 2;
const FILES_OF_PROCESS: usize = 16;

/// Serves as `config` says; returns when the server has stopped.
pub(crate) fn run(config: &Config) -> ExitCode {
    match serve(config.clone()) {
        Ok(code) => code,
        Err(error) => {
            // The chain of causes on one line; if nobody reads it, the exit code has to do.
            writeln!(io::stderr(), "shardcast: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config) -> anyhow::Result<ExitCode> {
    let machine = Machine::prepare();
    let shards = config.engine.shards.map_or(machine.cores, usize::from);
    let reserved =
        config.files_reserved + shards * FILES_PER_SHARD + config.listen.len() * FILES_PER_LISTENER + FILES_OF_PROCESS;
    let limits = &mut config.engine.limits;
    limits.connections_max = limits.connections_max.min(machine.connections_max(reserved));
    machine.make_room_for_files(limits.connections_max.saturating_add(reserved));
    let shards_to_avoid = if config.engine.pinning == Pinning::Cores { shards } else { 0 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((machine.cores / 4).max(1))
        .thread_name("control")
        .on_thread_start(move || machine::leave_cores_to_shards(shards_to_avoid))
        .enable_all()
        .build()
        .context("the control runtime cannot be started")?;
    let code = runtime.block_on(serve_until_told(config, machine, shards_to_avoid))?;
    // Requests that are still being answered are not worth waiting for.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve_until_told(config: Config, machine: Machine, shards_to_avoid: usize) -> anyhow::Result<ExitCode> {
    // Before anything is announced: from then on a signal means a drain.
    let mut signals = Signals::new().context("signals cannot be handled")?;
    let listeners = listen(&config.listen)?;
    let engine = Engine::start(config.engine.clone()).context("the engine cannot be started")?;
    let (tell_stage, stage) = watch::channel(Stage::Serving);
    let config = Arc::new(config);
    let door = Door::new(engine.clone(), Arc::clone(&config), stage);
    let (polls, publishing) = (door.polls.clone(), door.publishing.clone());
    announce(&listeners, &engine, &machine, &config)?;
    for (listener, address) in listeners {
        let gate = Gate::new(listener, door.clone()).with_context(|| format!("cannot accept on {address}"))?;
        open(gate, shards_to_avoid).context("no thread for a listener")?;
    }
    let mut watched = engine_end(&engine);
    let code = tokio::select! {
        code = signals.next() => code,
        ended = &mut watched => {
            ended.context("nobody watches the shards")?.context("a shard failed")?;
            anyhow::bail!("the shards ended by themselves");
        }
    };
    tell_stage.send(stage_of_drain(&engine).await).ok();
    let spread = duration_text(config.drain);
    tracing::info!(close_code = code.close, spread, "draining; a second signal ends at once");
    let drained = tokio::select! {
        drained = async {
            // Too slow: it is not answered yet, and may be accepted when some have gone.
            tokio::time::timeout(PUBLISHES_TIME_MAX, publishing.ended()).await.ok();
            engine.shutdown(Drain { spread: config.drain, code: code.close }).await
        } => drained,
        code = signals.next() => {
            tracing::warn!("ended at once by a second signal");
            return Ok(ExitCode::from(code.exit));
        }
        never = stop_listening(&engine, &tell_stage) => match never {},
    };
    // Too late or gone: it has been told that the connection ends.
    tokio::time::timeout(POLLS_TIME_MAX, polls.ended()).await.ok();
    Ok(report(drained))
}

/// Whether somebody is still to be heard who says things by requests of their own: pongs above all. If the shards do
/// not say so in time, somebody may be.
async fn stage_of_drain(engine: &Engine) -> Stage {
    match tokio::time::timeout(SHARDS_TIME_MAX, engine.snapshots()).await {
        Ok(shards) if shards.iter().flatten().all(|shard| shard.posting_sessions == 0) => Stage::Closed,
        _ => Stage::Hearing,
    }
}

/// During a drain, stops listening when the last of them has gone.
async fn stop_listening(engine: &Engine, stage: &watch::Sender<Stage>) -> Infallible {
    while *stage.borrow() != Stage::Closed {
        tokio::time::sleep(HEARING_CHECKED_EVERY).await;
        stage.send(stage_of_drain(engine).await).ok();
    }
    std::future::pending().await
}

fn report(drained: Drained) -> ExitCode {
    tracing::info!(closed = drained.closed, aborted = drained.aborted, "drained");
    if drained.aborted == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ABORTED) }
}

/// Resolves when a shard ends.
fn engine_end(engine: &Engine) -> tokio::sync::oneshot::Receiver<io::Result<()>> {
    let (tell, ended) = tokio::sync::oneshot::channel();
    let engine = engine.clone();
    std::thread::spawn(move || tell.send(engine.wait()));
    ended
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy)]
struct Told {
    /// Close code of the drain (RFC 6455 §7.4.1 and IANA's registry).
    close: u16,
    /// Exit code if it is the second one.
    exit: u8,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// SIGTERM comes from whatever will start the server again: 1012, service restart. SIGINT from somebody who ends
    /// it:
    /// 1001, going away.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told { close: 1012, exit: 128 + 15 },
            _ = self.interrupt.recv() => Told { close: 1001, exit: 128 + 2 },
        }
    }
}

fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut listeners = Vec::new();
    for address in addresses {
        match bind(*address) {
            Ok(listener) => {
                let bound = listener.local_addr().with_context(|| format!("cannot listen on {address}"))?;
                listeners.push((listener, bound));
            }
            // A machine without IPv6 is no reason not to serve on IPv4.
            Err(error) if address.ip().is_ipv6() && addresses.len() > 1 && is_no_such_address(&error) => {
                tracing::warn!(%address, %error, "not listening there");
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let hint = "--listen ADDR:PORT names another";
                return Err(error).with_context(|| format!("cannot listen on {address} ({hint})"));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}")),
        }
    }
    anyhow::ensure!(!listeners.is_empty(), "cannot listen on any address");
    Ok(listeners)
}

fn is_no_such_address(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // [::] beside 0.0.0.0: each listener has its own family.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts a listener's thread. It ends with the process, or when the server begins to end.
fn open(gate: Gate, shards_to_avoid: usize) -> io::Result<()> {
    let run = move || {
        machine::leave_cores_to_shards(shards_to_avoid);
        gate.run();
    };
    std::thread::Builder::new().name("door".to_owned()).spawn(run).map(drop)
}

/// An address that this machine's own clients reach a listener by.
fn shown(listener: SocketAddr) -> SocketAddr {
    let mut shown = listener;
    if listener.ip().is_unspecified() {
        shown.set_ip(if listener.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    shown
}

/// Where to publish over HTTP: a loopback listener is open to everybody on this machine.
fn how_to_publish(listeners: &[(TcpListener, SocketAddr)], config: &Config) -> String {
    let addresses = || listeners.iter().map(|(_, address)| *address);
    if let Some(address) = addresses().find(|address| Reach::of(*address) == Reach::Loopback) {
        return format!("curl -d hello http://{address}/rooms/lobby");
    }
    match addresses().next().filter(|_| config.api_key.is_some()).map(shown) {
        Some(address) => format!("curl -H \"X-API-Key: $KEY\" -d hello http://{address}/rooms/lobby"),
        None => "not over HTTP before api_key is set (members of a room may; anybody may read /metrics)".to_owned(),
    }
}

/// Says where to go and what was found, to standard output.
fn announce(
    listeners: &[(TcpListener, SocketAddr)],
    engine: &Engine,
    machine: &Machine,
    config: &Config,
) -> anyhow::Result<()> {
    let mut text = format!("shardcast {}\n", env!("CARGO_PKG_VERSION"));
    for (_, address) in listeners {
        let (shown, all) = (shown(*address), address.ip().is_unspecified());
        let all = if all { "; also at every other address of this machine" } else { "" };
        text += &format!("  open         http://{shown}/   (rooms: ws://{shown}/ws/ROOM{all})\n");
    }
    text += &format!("  publish      {}\n", how_to_publish(listeners, config));
    text += &format!("  shards       {}\n", engine.totals().shards);
    for line in machine.lines() {
        text += &format!("  {line}\n");
    }
    let connections_max = config.engine.limits.connections_max;
    text += &format!("  connections  at most {connections_max} (files for other things are kept back)\n");
    let mut out = io::stdout().lock();
    // Nobody may be reading; that is no reason not to serve.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    tracing::info!(shards = engine.totals().shards, connections_max, "serving");
    Ok(())
}
