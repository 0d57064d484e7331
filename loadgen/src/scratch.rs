//! A temporary folder of this process.

use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Nanos;

/// A folder in the system's temporary one that nobody else uses. Removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    /// The system's, with the folder's path.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("loadgen-{}-{}", std::process::id(), Nanos::now().0));
        std::fs::create_dir(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}
