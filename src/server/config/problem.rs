//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// `EX_USAGE` of sysexits(3): the command line is wrong.
pub(crate) const EXIT_USAGE: u8 = 64;
/// `EX_CONFIG` of sysexits(3): the file or the environment is.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Where a value was set. Later variants win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nowhere.
    Default,
    /// In a file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1; `None`: the file as a whole.
        line: Option<usize>,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// By a flag of this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong, as one line: where, what is there, what may be there.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) origin: Origin,
    /// A sentence without its first capital.
    pub(crate) text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are quoted where they are shown; this keeps a key or a path with a line break in it on its line.
        let line = format!("{}: {}", self.origin, self.text);
        line.chars().try_for_each(
            |c| {
                if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
            },
        )
    }
}

/// All that is wrong, in the order of the sources; at least one problem.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problem(s)", .0.len())]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// `Err` with all of `problems`, or `Ok` if there are none.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems, at least one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// What the process exits with: 64 if the command line alone is to blame, else 78.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let usage = self.iter().all(|problem| matches!(problem.origin, Origin::Flag(_)));
        ExitCode::from(if usage { EXIT_USAGE } else { EXIT_CONFIG })
    }
}
