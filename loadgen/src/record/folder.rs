//! Writes a folder of files so that it is there whole or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::RecordError;
use crate::clock::Nanos;

/// So many records of one revision: then something else is wrong.
const SAME_NAME_MAX: u32 = 10_000;
/// Begins the names of folders that are being written; the index passes them over.
const UNFINISHED: &str = ".recording-";

/// Why a folder could not be written.
#[derive(Debug, Error)]
#[error("{path}: cannot {action}: {source}{advice}")]
pub struct FolderError {
    path: PathBuf,
    action: &'static str,
    #[source]
    source: io::Error,
    advice: &'static str,
}

impl FolderError {
    fn new(path: &Path, action: &'static str, source: io::Error) -> Self {
        let advice = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space, or record into another folder",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "; record into a folder that is yours",
            _ => "",
        };
        Self { path: path.to_owned(), action, source, advice }
    }

    /// What the system said.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

/// Whether `name` is fit for a folder or file, on any system, and not hidden.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), RecordError> {
    let fit = |letter: char| letter.is_ascii_alphanumeric() || ".-_+".contains(letter);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fit) {
        return Err(RecordError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

/// Removes the folder, unless it got its name.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // There is nobody to tell: the error that led here is on its way.
            let _gone_or_left = std::fs::remove_dir_all(path);
        }
    }
}

/// Writes `files` into a new folder `name` in `parent`; if there is one, into `name-2`, `name-3`, … Returns its path.
pub(super) fn write(parent: &Path, name: &str, files: &[(String, Vec<u8>)]) -> Result<PathBuf, FolderError> {
    std::fs::create_dir_all(parent).map_err(|error| FolderError::new(parent, "make the folder", error))?;
    let path = parent.join(format!("{UNFINISHED}{}-{}", std::process::id(), Nanos::now().0));
    std::fs::create_dir(&path).map_err(|error| FolderError::new(&path, "make the folder", error))?;
    let mut unfinished = Unfinished(Some(path.clone()));
    for (file, bytes) in files {
        write_file(&path.join(file), bytes)?;
    }
    sync_folder(&path)?;
    let finished = rename_to_free(&path, parent, name)?;
    unfinished.0 = None;
    sync_folder(parent)?;
    Ok(finished)
}

/// Writes a new file and synchronises it with the disk.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let mut file = File::create_new(path).map_err(|error| FolderError::new(path, "make the file", error))?;
    file.write_all(bytes).map_err(|error| FolderError::new(path, "write the file", error))?;
    file.sync_all().map_err(|error| FolderError::new(path, "write the file to the disk", error))
}

fn sync_folder(path: &Path) -> Result<(), FolderError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| FolderError::new(path, "write the folder to the disk", error))
}

/// A rename onto an empty folder would succeed; those with files are refused by the kernel, so two that record at once
/// do not get the same name.
fn rename_to_free(from: &Path, parent: &Path, name: &str) -> Result<PathBuf, FolderError> {
    for number in 1..=SAME_NAME_MAX {
        let to = parent.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
        match std::fs::rename(from, &to) {
            Ok(()) => return Ok(to),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(FolderError::new(&to, "give the folder its name", error)),
        }
    }
    let taken = io::Error::new(ErrorKind::AlreadyExists, format!("there are {SAME_NAME_MAX} records of that name"));
    Err(FolderError::new(&parent.join(name), "give the folder its name", taken))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory)
}

/// Replaces a file by a new content at once: readers see the old or the new one, never a part.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    let new = parent.join(format!("{UNFINISHED}{}-{}", std::process::id(), Nanos::now().0));
    let replaced = write_file(&new, bytes)
        .and_then(|()| std::fs::rename(&new, path).map_err(|error| FolderError::new(path, "replace the file", error)));
    if replaced.is_err() {
        let _gone_or_left = std::fs::remove_file(&new);
    }
    replaced
}
