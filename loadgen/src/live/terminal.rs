//! The terminal: taken for the view, given back whatever happens.
//!
//! No raw mode: Ctrl-C stays a signal. The screen of before comes back at the end, at a panic (also one that aborts:
//! the hook runs before) and by [`restore`].

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};

use super::{Snapshot, Turn, Turns, view};
use crate::clock::Nanos;

/// Whether the view has the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What was typed is echoed over the view: so often everything is drawn anew.
const REDRAW_EVERY: Duration = Duration::from_secs(5);

/// Shows snapshots until there are no more, or `out` takes no more.
pub(super) fn show(turns: &Turns, mut out: Box<dyn Write + Send>) {
    restore_at_panic();
    TAKEN.store(true, Ordering::Release);
    if execute!(out, EnterAlternateScreen, Hide).is_ok() {
        // An error means that nobody looks any more; the run goes on.
        drop(draw(turns, &mut out));
    }
    if TAKEN.swap(false, Ordering::AcqRel) {
        drop(execute!(out, LeaveAlternateScreen, Show));
    }
}

fn draw(turns: &Turns, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(out))?;
    let mut shown = Snapshot::default();
    let mut came = Nanos::now();
    let mut redrawn = came;
    loop {
        match turns.next() {
            Turn::New(snapshot) => (shown, came) = (*snapshot, Nanos::now()),
            Turn::Waited => {}
            Turn::End => return Ok(()),
        }
        // Somebody else gave the terminal back: it is no longer ours to draw on.
        if !TAKEN.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = Nanos::now();
        if now.since(redrawn) >= REDRAW_EVERY {
            terminal.clear()?;
            redrawn = now;
        }
        // The clock goes on between two snapshots; everything else is a second's figure.
        let age = now.since(came).min(Duration::from_secs(1));
        terminal.draw(|frame| view::draw(&shown, age, frame))?;
    }
}

/// See [`super::restore`].
pub(super) fn restore() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // Whichever of them is the terminal: for the other it is a few bytes too many at the end of the process.
        drop(if io::IsTerminal::is_terminal(&io::stderr()) {
            execute!(io::stderr(), LeaveAlternateScreen, Show)
        } else {
            execute!(io::stdout(), LeaveAlternateScreen, Show)
        });
    }
}

fn restore_at_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}
