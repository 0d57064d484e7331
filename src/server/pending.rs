//! Requests of one kind that are under way: so that the server's end can wait for them.

use tokio::sync::watch;

/// How many there are.
#[derive(Clone, Debug)]
pub(crate) struct Requests(watch::Sender<usize>);

impl Requests {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(crate) fn begin(&self) -> Pending {
        self.0.send_modify(|count| *count += 1);
        Pending(self.clone())
    }

    /// Ready when there are none.
    pub(crate) async fn ended(&self) {
        // The sender is here: it cannot be gone.
        self.0.subscribe().wait_for(|count| *count == 0).await.ok();
    }
}

/// One of them, until it is dropped.
pub(crate) struct Pending(Requests);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
