//! The engine: everybody in one room, the first member publishes.

use std::num::NonZeroUsize;
use std::time::Duration;

use shardcast::{Adoption, Counter, Engine, Heartbeat, Membership, RoomName, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::audience::Audience;
use crate::{Subject, messages};

/// See the module.
pub(crate) struct Sharded {
    shards: usize,
    engine: Engine,
    audience: Audience,
    /// For the engine's asynchronous calls, none of which is measured.
    runtime: Runtime,
    bursts: Vec<Vec<u8>>,
}

impl Sharded {
    pub(crate) fn start(shards: usize, members: usize) -> Self {
        // Members neither answer pings nor expect them; nobody is silent for so long.
        let heartbeat =
            Heartbeat { ping_interval: Duration::from_secs(86_400), silence_max: Duration::from_secs(2 * 86_400) };
        let settings = Settings { shards: NonZeroUsize::new(shards), heartbeat, ..Settings::default() };
        let engine = Engine::start(settings).expect("the engine starts");
        let runtime = Builder::new_current_thread().build().expect("a runtime without timers and I/O needs nothing");
        let room = RoomName::new("bench").expect("it is a room's name");
        let (audience, near) = Audience::connect(members);
        for stream in near {
            let adoption = Adoption::new(stream, Membership::raw(room.clone()));
            let permit = engine.admit(None).expect("there may be so many");
            runtime.block_on(engine.adopt(adoption, permit)).expect("the engine runs");
        }
        assert_eq!(usize::try_from(engine.members(&room)), Ok(members), "everybody is in");
        let bursts = crate::BURSTS.map(messages::masked_frames).into();
        Self { shards, engine, audience, runtime, bursts }
    }

    fn total(&self, counter: Counter) -> u64 {
        let snapshots = self.runtime.block_on(self.engine.snapshots());
        snapshots.iter().flatten().map(|snapshot| snapshot.counts.get(counter)).sum()
    }
}

impl Subject for Sharded {
    fn name(&self) -> String {
        format!("{}_shards", self.shards)
    }

    fn audience(&mut self) -> &mut Audience {
        &mut self.audience
    }

    fn burst(&mut self, messages: usize) {
        let index = crate::BURSTS.iter().position(|burst| *burst == messages).expect("it is one of them");
        self.audience.write(&self.bursts[index]);
    }

    fn sends(&self) -> Option<u64> {
        Some(self.total(Counter::Sends))
    }
}

impl Drop for Sharded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What went wrong has been said.
            return self.engine.stop();
        }
        let deliveries = self.total(Counter::Deliveries);
        let publications = self.total(Counter::Publications);
        assert_eq!(deliveries, publications * self.audience.members() as u64, "everybody got everything, once");
        self.engine.stop();
        self.engine.wait().expect("the pollers work");
    }
}
