//! The ramp: subscribers start to connect at the scenario's rate, or all at once, with a bound on those in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::subscriber::{Audience, Subscriber};
use crate::clock::Nanos;
use crate::seats::Seats;

/// Starts the subscribers with these numbers; ready when each has become a member or failed once.
pub(super) async fn ramp(audience: &Arc<Audience>, seats: &Seats, numbers: &[u32]) {
    let settings = &audience.scenario.subscribers;
    let at_once = settings.connecting_max.max(1);
    let connecting = Arc::new(Semaphore::new(at_once as usize));
    let began = Nanos::now();
    for (place, number) in numbers.iter().copied().enumerate() {
        if let Some(rate) = settings.connects_per_second {
            // All workers together keep the rate: each starts its subscribers when their number is due.
            let due = began.after(Duration::from_secs_f64(f64::from(number) / rate));
            let early = due.since(Nanos::now());
            if early >= Duration::from_millis(1) {
                tokio::time::sleep(early).await;
            }
        }
        let permit = Arc::clone(&connecting).acquire_owned().await.expect("it is never closed");
        let seat = seats.subscribers()[number as usize];
        let room = room_name(&audience.scenario.rooms.name, seat.room);
        let subscriber = Subscriber { audience: Arc::clone(audience), number, place, kind: seat.kind, room };
        tokio::spawn(subscriber.live(permit));
    }
    // All permits are back when the last attempt is over.
    drop(connecting.acquire_many(at_once).await);
}

/// A room's name.
pub(super) fn room_name(template: &str, room: u32) -> String {
    template.replace("{n}", &room.to_string())
}
