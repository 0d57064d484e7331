//! A person's terminal, or the pipes in its place.
//!
//! On a terminal the prompt is the own name: a typed line looks as it does for everyone else. A message that comes
//! while something is being typed takes the prompt's line, and the prompt follows again; what was typed so far is out
//! of sight but not lost (it is still in the terminal's line buffer).

use std::io;

use bytes::Bytes;

use super::output::{Gone, Output};
use super::pending::Pending;

/// Back to the line's beginning, and clear it.
pub(super) const CLEAR_LINE: &str = "\r\x1b[K";

/// What to expect of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// More lines.
    Open,
    /// None: leave when everything is sent, however long that takes.
    Ended,
    /// None: leave when everything is sent, and soon if there is no connection to send it over.
    Quit,
}

impl Input {
    /// Whether it is time to leave.
    pub(super) fn is_over(self, pending: &Pending) -> bool {
        self != Self::Open && !pending.has_unsent()
    }
}

/// Where lines are shown.
pub(super) struct Console {
    output: Output,
    /// On a terminal.
    prompt: Option<String>,
}

impl Console {
    /// Starts the output; `prompt` on a terminal.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(prompt: Option<String>) -> io::Result<Self> {
        Ok(Self { output: Output::start()?, prompt })
    }

    /// Shows a line, which has to be fit for a terminal.
    pub(super) async fn line(&self, line: &str) -> Result<(), Gone> {
        let shown = match &self.prompt {
            Some(prompt) => format!("{CLEAR_LINE}{line}\n{prompt}"),
            None => format!("{line}\n"),
        };
        self.output.write(Bytes::from(shown)).await
    }

    /// Asks for the next line.
    pub(super) async fn prompt(&self) {
        if let Some(prompt) = &self.prompt {
            // If nobody reads it, the next line finds out.
            drop(self.output.write(Bytes::from(format!("{CLEAR_LINE}{prompt}"))).await);
        }
    }

    /// Whether what was typed stands there already.
    pub(super) fn shows_typed_lines(&self) -> bool {
        self.prompt.is_some()
    }

    /// What the end of the input means: at a terminal, Ctrl-D leaves like `/quit`.
    pub(super) fn at_end_of_input(&self) -> Input {
        if self.prompt.is_some() { Input::Quit } else { Input::Ended }
    }

    /// Waits until everything is written, the prompt's line ended.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) async fn finish(self) -> io::Result<()> {
        if self.prompt.is_some() {
            drop(self.output.write(Bytes::from_static(CLEAR_LINE.as_bytes())).await);
        }
        self.output.finish().await
    }
}
