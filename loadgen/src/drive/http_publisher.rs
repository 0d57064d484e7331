//! Publishing by posts: one request at a time per publisher, over a connection that is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::connect::{Failure, kind_of_http, within};
use super::pacer::Ink;
use super::sent::SentBook;
use super::subscriber::Audience;
use crate::adapter::HttpPublish;
use crate::clock::Nanos;
use crate::schedule::Due;

/// One publisher's.
pub(super) struct Posts {
    pub(super) publish: HttpPublish,
    pub(super) due: mpsc::Receiver<Due>,
    pub(super) ink: Arc<Ink>,
    pub(super) book: Arc<Mutex<SentBook>>,
    /// Nothing more is to be published, but for what is just late.
    pub(super) stop: Arc<AtomicBool>,
}

/// After the end, a message that is later than this is given up.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Posts what is due until nothing more can be, and all is answered or given up.
pub(super) async fn run(posts: Posts, audience: Arc<Audience>, number: u32, timeout: Duration) {
    let book = Arc::clone(&posts.book);
    post_all(posts, audience, number, timeout).await;
    book.lock().expect("nobody panics while holding it").posting -= 1;
}

async fn post_all(mut posts: Posts, audience: Arc<Audience>, number: u32, timeout: Duration) {
    let mut sender: Option<SendRequest<Full<Bytes>>> = None;
    let (mut payload, mut body) = (Vec::new(), Vec::new());
    // What the server refuses was not published: the next message gets its number, or it would look like a loss.
    let mut sequence = 0;
    while let Some(due) = posts.due.recv().await {
        let due = Due { sequence, ..due };
        if posts.stop.load(Ordering::Relaxed) && Nanos::now() > posts.ink.due_time(&due).after(LATE_MAX) {
            let mut book = posts.book.lock().expect("nobody panics while holding it");
            book.error("publisher: due, and not taken by the server until the end");
            continue;
        }
        let mut posted = false;
        posts.ink.fill(&due, &mut payload);
        posts.publish.body(&payload, &mut body);
        let url = posts.publish.url(&body).into_owned();
        let exchange = async {
            let uri: Uri = url.parse().map_err(|error| format!("url: {error}"))?;
            let mut ready = match sender.take() {
                Some(kept) if !kept.is_closed() => kept,
                _ => connect(&audience, &uri, number).await?,
            };
            ready.ready().await.map_err(|error| kind_of_http(&error))?;
            let at = Nanos::now();
            posted = true;
            let answer = post(&mut ready, &posts.publish, &uri, body.clone()).await?;
            sender = Some(ready);
            Ok((at, answer))
        };
        let outcome = within(timeout, exchange).await;
        let mut book = posts.book.lock().expect("nobody panics while holding it");
        match outcome {
            Ok((at, (status, answer))) => match posts.publish.refusal(status, &answer) {
                None => {
                    sequence += 1;
                    book.sent(due.publisher, due.phase, posts.ink.due_time(&due), at);
                }
                Some(why) => book.error(format!("publisher: {why}")),
            },
            Err(why) => {
                // Without an answer nobody knows whether it was published: its number is not used again.
                if posted {
                    sequence += 1;
                    book.unanswered(due.publisher);
                }
                book.error(format!("publisher: {why}"));
            }
        }
    }
}

async fn connect(audience: &Audience, uri: &Uri, number: u32) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = audience.route.connect_to(uri, number).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| kind_of_http(&error))?;
    // Its error comes to the request as well.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    publish: &HttpPublish,
    uri: &Uri,
    body: Vec<u8>,
) -> Result<(u16, Bytes), Failure> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut builder = Request::builder().method(Method::POST).uri(path);
    if !publish.headers().iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        builder = builder.header(HOST, uri.authority().map_or("", |authority| authority.as_str()));
    }
    let builder = publish.headers().iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let request = builder.body(Full::new(Bytes::from(body))).map_err(|error| format!("request: {error}"))?;
    let response = sender.send_request(request).await.map_err(|error| kind_of_http(&error))?;
    let status = response.status().as_u16();
    let answer = response.into_body().collect().await.map_err(|error| kind_of_http(&error))?.to_bytes();
    Ok((status, answer))
}
