//! The floor: one thread, one `send` per member and round, nothing else.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::audience::Audience;
use crate::{Subject, cpu, messages};

/// See the module.
pub(crate) struct Floor {
    audience: Audience,
    /// Number of messages of the next round; dropped to end.
    bursts: Option<mpsc::SyncSender<usize>>,
    sender: Option<JoinHandle<()>>,
}

impl Floor {
    pub(crate) fn start(members: usize) -> Self {
        let (audience, near) = Audience::connect(members);
        let (bursts, asked) = mpsc::sync_channel(1);
        let sender = std::thread::spawn(move || {
            cpu::pin_to_first_core();
            send(near, &asked);
        });
        Self { audience, bursts: Some(bursts), sender: Some(sender) }
    }
}

fn send(mut members: Vec<TcpStream>, asked: &mpsc::Receiver<usize>) {
    for member in &members {
        // As the engine's.
        member.set_nodelay(true).and_then(|()| member.set_nonblocking(true)).expect("the stream is open");
    }
    let most = crate::BURSTS.into_iter().max().unwrap_or(0);
    let frames = messages::frames(most);
    for count in asked {
        let burst = &frames[..frames.len() / most * count];
        for member in &mut members {
            let sent = member.write(burst).expect("the member is there");
            assert_eq!(sent, burst.len(), "whoever reads everything has room for a burst");
        }
    }
}

impl Subject for Floor {
    fn name(&self) -> String {
        "floor".to_owned()
    }

    fn audience(&mut self) -> &mut Audience {
        &mut self.audience
    }

    fn burst(&mut self, messages: usize) {
        self.bursts.as_ref().and_then(|bursts| bursts.send(messages).ok()).expect("the sender runs");
    }

    fn sends(&self) -> Option<u64> {
        None
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.bursts = None;
        if let Some(sender) = self.sender.take() {
            sender.join().expect("the sender does not panic");
        }
    }
}
