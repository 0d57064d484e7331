//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Exit;

/// Asks a run to end early. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Asked for by the first SIGINT or SIGTERM from now on; a second one ends the process at once.
    ///
    /// # Panics
    /// If the system gives neither a thread nor signals.
    #[must_use]
    pub fn on_signals() -> Self {
        let interrupt = Self::default();
        let told = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system gives a poller");
        let listen = move || {
            runtime.block_on(async move {
                use tokio::signal::unix::{SignalKind, signal};
                let mut interrupts = signal(SignalKind::interrupt()).expect("signals can be listened to");
                let mut ends = signal(SignalKind::terminate()).expect("signals can be listened to");
                loop {
                    tokio::select! {
                        _ = interrupts.recv() => {}
                        _ = ends.recv() => {}
                    }
                    if told.asked.swap(true, Ordering::Relaxed) {
                        crate::live::restore();
                        std::process::exit(Exit::Interrupted as i32);
                    }
                }
            });
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).expect("the system gives a thread");
        interrupt
    }

    /// Asks.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
