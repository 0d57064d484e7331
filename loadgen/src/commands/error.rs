//! Why a command failed.

use std::io;
use std::path::PathBuf;

use crate::compare::CompareError;
use crate::exit::Exit;
use crate::record::RecordError;
use crate::record::index::IndexError;
use crate::run::RunError;
use crate::scenario::load::LoadError;
use crate::search::SearchError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A command line that can be understood, but not be followed.
    #[error("{0}")]
    Usage(String),
    /// There is no scenario.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no outcome.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Nothing was compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// Nothing was found.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The table of results could not be made, or is not up to date.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A folder of runs cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The outcome could not be written.
    #[error("{path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The outcome could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Standard output takes nothing.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// What the command ends with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Load(_) => Exit::Usage,
            Self::Compare(error) => error.exit(),
            Self::Search(SearchError::Unreachable { .. }) => Exit::Invalid,
            _ => Exit::Internal,
        }
    }

    /// Whether nobody reads standard output any more, as in `loadgen report x | head`.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let (Self::Output(source) | Self::Compare(CompareError::Out(source))) = self else { return false };
        source.kind() == io::ErrorKind::BrokenPipe
    }
}
