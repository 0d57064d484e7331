//! Exit codes. Distinct, so that a script can tell a slow server from a bad command line.

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything as asked; `compare`: no worse than the bounds (or inconclusive, without `--strict`).
    Ok = 0,
    /// Something failed inside loadgen or on its machine (a full disk, say).
    Internal = 1,
    /// Bad usage: a flag, a scenario, an unknown metric name.
    Usage = 2,
    /// `compare`: a confirmed regression.
    Regression = 10,
    /// `compare --strict`: the pairs do not suffice to tell.
    Inconclusive = 11,
    /// The run says nothing about the server: unannounced loss, a server that could not be reached or died, or a
    /// generator that was late or busy.
    Invalid = 12,
    /// `compare`: recorded on unlike machines or with unlike scenarios.
    Incomparable = 13,
    /// A threshold of the scenario is not met.
    Threshold = 14,
    /// Interrupted; the report is written nevertheless.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
