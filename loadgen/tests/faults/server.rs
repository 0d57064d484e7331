//! A room server that makes known mistakes: who connects to `/ws/ROOM` is a member, each message goes to all members,
//! the sender included; `POST /rooms/ROOM` publishes. Faults hit subscribers only: members that have sent nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};

use crate::dialect::{Dialect, Refusal, Said};
use crate::plan::{Did, End, Plan};
use crate::rooms::{Admission, Life, Order, PINGED, Rooms, Sender};
use crate::wire;

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull";

struct Shared {
    rooms: Mutex<Rooms>,
    /// Messages so far, for who waits for one.
    messages: watch::Sender<u64>,
    end: Notify,
}

impl Shared {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().expect("the server's thread has not failed")
    }

    fn publish(&self, room: &str, sender: Sender, opcode: u8, payload: &[u8]) {
        let (life, messages) = {
            let mut rooms = self.rooms();
            (rooms.publish(room, sender, opcode, payload), rooms.did.messages)
        };
        if life == Life::Ends {
            self.end.notify_one();
        }
        self.messages.send_replace(messages);
    }
}

/// A running server, on a thread of its own; dropping it ends it.
pub(crate) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(plan: Plan) -> Self {
        let shared =
            Arc::new(Shared { rooms: Mutex::new(Rooms::new(plan)), messages: watch::channel(0).0, end: Notify::new() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // The standard library asks for a backlog of 128: a thousand connections come at once here.
        rustix::net::listen(&listener, 4_096).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, &of_thread) => {}
                    () = of_thread.end.notified() => {}
                }
            });
            // Dropping the runtime closes all that is open.
        });
        Self { shared, address, thread: Some(thread) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where subscribers connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws/{{room}}", self.address)
    }

    /// Where subscribers connect that speak a dialect: to one room, whatever they call it.
    pub(crate) fn url_of(&self, dialect: &str) -> String {
        format!("ws://{}/{dialect}/room", self.address)
    }

    /// Where publishers post.
    pub(crate) fn post_url(&self) -> String {
        format!("http://{}/rooms/{{room}}", self.address)
    }

    /// Where it says what it dropped.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    pub(crate) fn did(&self) -> Did {
        self.shared.rooms().did
    }

    /// Until it has received so many messages.
    pub(crate) async fn received(&self, messages: u64) {
        let mut so_far = self.shared.messages.subscribe();
        so_far.wait_for(|so_far| *so_far >= messages).await.expect("the server has the other end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.end.notify_one();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server's thread failed");
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(shared);
        // A client that goes away is no failure of the server's.
        tokio::spawn(async move { serve(stream, &shared).await.ok() });
    }
}

/// Requests of one connection, until it is a WebSocket.
async fn serve(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(head) = wire::Head::read(&mut reader).await? {
        let (folder, room) = head.path.trim_start_matches('/').split_once('/').unwrap_or_default();
        match (head.method.as_str(), folder, head.acceptance()) {
            ("POST", "rooms", _) => {
                let length = head.header("content-length").and_then(|length| length.parse().ok());
                let mut body = vec![0; length.expect("a post says its length")];
                reader.read_exact(&mut body).await?;
                let (is_taken, held) = shared.rooms().takes_post();
                tokio::time::sleep(held).await;
                if is_taken {
                    shared.publish(room, Sender::Post, wire::TEXT, &body);
                    writer.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await?;
                } else {
                    writer.write_all(UNAVAILABLE).await?;
                }
            }
            ("GET", folder, Some(acceptance)) if let Some(dialect) = Dialect::of(folder) => {
                let admission = shared.rooms().admit(room, dialect);
                return match admission {
                    Admission::Member(id, orders) => {
                        writer.write_all(acceptance.as_bytes()).await?;
                        member((reader, writer), (room, id, dialect), orders, shared).await
                    }
                    Admission::Refused => writer.write_all(UNAVAILABLE).await,
                    // Until the client gives up.
                    Admission::Ignored => reader.read_to_end(&mut Vec::new()).await.map(drop),
                };
            }
            ("GET", _, None) if head.path == "/metrics" => {
                let page = shared.rooms().metrics();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
                writer.write_all(answer.as_bytes()).await?;
            }
            _ => writer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?,
        }
    }
    Ok(())
}

/// A WebSocket, to its end.
async fn member(
    (mut reader, writer): (BufReader<OwnedReadHalf>, OwnedWriteHalf),
    (room, id, dialect): (&str, u64, Dialect),
    orders: mpsc::Receiver<Order>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let reading = async {
        while let Some((opcode, payload)) = wire::read_frame(&mut reader).await? {
            match opcode {
                wire::TEXT | wire::BINARY => match dialect.said(payload) {
                    Said::Ask(answer) => shared.rooms().answer(room, id, answer),
                    Said::Publication { payload, refusal } => {
                        let is_taken = shared.rooms().takes_message();
                        match refusal {
                            _ if is_taken => shared.publish(room, Sender::Connection(id), opcode, &payload),
                            Refusal::Answer(answer) => shared.rooms().answer(room, id, answer),
                            Refusal::Close(frame) => {
                                shared.rooms().answer(room, id, frame);
                                break;
                            }
                        }
                    }
                },
                wire::PING => shared.rooms().answer(room, id, wire::frame(wire::PONG, &payload)),
                wire::PONG => shared.rooms().did.pongs += u64::from(payload == PINGED),
                wire::CLOSE => {
                    shared.rooms().answer(room, id, wire::frame(wire::CLOSE, &payload));
                    break;
                }
                _ => {}
            }
        }
        shared.rooms().leave(room, id);
        io::Result::Ok(())
    };
    // The writer ends when the room has let the connection go and all is written; a reset does not wait for the reader.
    let (mut reading, mut writing) = (std::pin::pin!(reading), std::pin::pin!(write(writer, orders)));
    tokio::select! {
        read = &mut reading => {
            read?;
            writing.await.map(drop)
        }
        written = &mut writing => match written? {
            Written::Rest => reading.await,
            Written::Reset => Ok(()),
        },
    }
}

enum Written {
    Rest,
    Reset,
}

/// Carries orders out. What has piled up goes out at once: after a pause, the server is to add next to nothing to it.
async fn write(mut writer: OwnedWriteHalf, mut orders: mpsc::Receiver<Order>) -> io::Result<Written> {
    let mut piled = Vec::new();
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(_) => {
                writer.write_all(&piled).await?;
                piled.clear();
                let Some(order) = orders.recv().await else { return Ok(Written::Rest) };
                order
            }
        };
        match order {
            Order::Write(bytes) => piled.extend_from_slice(&bytes),
            Order::Hold(duration) => {
                writer.write_all(&piled).await?;
                piled.clear();
                tokio::time::sleep(duration).await;
            }
            Order::End(End::Close(code, reason)) => piled.extend_from_slice(&wire::close_frame(code, reason)),
            Order::End(End::Reset) => {
                writer.write_all(&piled).await?;
                writer.as_ref().set_zero_linger()?;
                writer.forget();
                return Ok(Written::Reset);
            }
        }
    }
}
