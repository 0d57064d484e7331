//! The server: `/` and whatever else it answers itself; `/live/ROOM` becomes a connection of the engine.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use shardcast::{
    Adoption, Drain, Drained, Engine, Membership, MessageKind, Permit, PublishError, Published, RoomName, Totals,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

type Answer = Response<Full<Bytes>>;

/// The room that the server itself publishes into.
pub(crate) const CLOCK: &str = "clock";

/// Serves, and ticks, until `stop` is ready; then says goodbye to everyone. `report` is told of each tick.
pub(crate) async fn run(
    listener: TcpListener,
    engine: &Engine,
    report: impl Fn(Published, Totals),
    stop: impl Future<Output = ()>,
    drain: Drain,
) -> Result<Drained, Box<dyn Error>> {
    tokio::select! {
        never = serve(listener, engine) => match never {},
        ended = tick(engine, report) => match ended? {},
        () = stop => {}
    }
    let drained = engine.shutdown(drain).await;
    engine.wait()?;
    Ok(drained)
}

async fn serve(listener: TcpListener, engine: &Engine) -> Infallible {
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            // No file descriptor is left, most likely: until some connection ends, there is nothing to be done.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let engine = engine.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, engine.clone(), client));
            let http = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // An error here is a client that broke off, or that does not speak HTTP.
            http.with_upgrades().await.ok();
        });
    }
}

async fn tick(engine: &Engine, report: impl Fn(Published, Totals)) -> Result<Infallible, Box<dyn Error>> {
    let room = RoomName::new(CLOCK)?;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for ticks in 1u64.. {
        seconds.tick().await;
        let published = engine.publish(&room, MessageKind::Text, format!("tick {ticks}").into()).await?;
        report(published, engine.totals());
    }
    Err(PublishError::Ended.into())
}

async fn answer(request: Request<Incoming>, engine: Engine, client: SocketAddr) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    Ok(match path.strip_prefix("/live/").map(RoomName::new) {
        Some(Ok(room)) => enter(request, engine, client, room),
        Some(Err(error)) => text(StatusCode::BAD_REQUEST, error.to_string()),
        None if path == "/" => text(StatusCode::OK, format!("{:?}", engine.totals())),
        None => text(StatusCode::NOT_FOUND, "there is / and there is /live/ROOM"),
    })
}

/// Answers the handshake. Who may come in (cookies, `Origin`) is for the embedding server to decide: here is the place.
fn enter(mut request: Request<Incoming>, engine: Engine, client: SocketAddr, room: RoomName) -> Answer {
    if !is_upgrade_request(&request) {
        return text(StatusCode::UPGRADE_REQUIRED, "this is a room: connect with a WebSocket client");
    }
    let permit = match engine.admit(Some(client.ip())) {
        Ok(permit) => permit,
        Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    match upgrade(&mut request) {
        Ok((answer, upgraded)) => {
            // The stream is free once hyper has sent the answer. If it does not come to that, the client has gone.
            tokio::spawn(async move { hand_over(upgraded, engine, room, permit).await.ok() });
            answer.map(|_| Full::default())
        }
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// Takes the bare stream, and what hyper has already read from it, out of its wrappings, and gives it to the engine.
async fn hand_over(
    upgraded: UpgradeFut,
    engine: Engine,
    room: RoomName,
    permit: Permit,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let upgraded = upgraded.await?.into_inner().into_inner();
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| "hyper was given another kind of stream")?;
    let stream = parts.io.into_inner().into_std()?;
    let unread = parts.read_buf.to_vec();
    let adoption = Adoption { unread, ..Adoption::new(stream, Membership::raw(room)) };
    engine.adopt(adoption, permit).await?;
    Ok(())
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer
}
