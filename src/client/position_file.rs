//! A position that outlives the process: a file with one line, replaced as a whole.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::position::Position;

/// No position is longer; what is, is another file given by mistake. Bytes.
const FILE_BYTES_MAX: u64 = 64;

/// Where a position is kept.
#[derive(Debug)]
pub(super) struct PositionFile {
    path: PathBuf,
    /// Written first, then renamed: whoever reads sees one position or the other.
    new: PathBuf,
}

impl PositionFile {
    /// At `path`, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        let mut new = path.clone().into_os_string();
        new.push(".new");
        Self { path, new: new.into() }
    }

    /// The position in the file; `None` if there is no file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub(super) fn load(&self) -> io::Result<Option<Position>> {
        let file = match fs::File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| self.explained(&error))?,
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| self.explained(&error))?;
        let position = text.trim_end().parse().map_err(|error| self.explained(&io::Error::other(error)))?;
        Ok(Some(position))
    }

    /// Whether a position could be saved: better told before the first message than instead of it.
    ///
    /// # Errors
    /// The file or its folder cannot be written.
    pub(super) fn try_out(&self) -> io::Result<()> {
        let tried = fs::write(&self.new, "").and_then(|()| fs::remove_file(&self.new));
        tried.map_err(|error| self.explained(&error))
    }

    /// Replaces the file. It survives the end of this process; the end of the machine it may survive as an older one.
    ///
    /// # Errors
    /// The file or its folder cannot be written.
    pub(super) fn save(&self, position: Position) -> io::Result<()> {
        let saved = fs::write(&self.new, format!("{position}\n")).and_then(|()| fs::rename(&self.new, &self.path));
        saved.map_err(|error| self.explained(&error))
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("the position file {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = std::env::temp_dir().join(format!("shardcast-position-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = PositionFile::new(folder.join("position"));
        file.try_out().unwrap();
        assert_eq!(file.load().unwrap(), None, "trying leaves nothing behind");
        for text in ["a:1", "0a:99"] {
            file.save(text.parse().unwrap()).unwrap();
            assert_eq!(file.load().unwrap().unwrap().to_string(), text);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside the file");
        for other in ["", "hello", &"a".repeat(1000)] {
            fs::write(&file.path, other).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains("EPOCH:OFFSET") && error.contains("position"), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(file.save("a:1".parse().unwrap()).is_err(), "no folder");
        assert!(file.try_out().is_err(), "no folder");
    }
}
