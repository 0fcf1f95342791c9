//! The file: its path and its permissions.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::{StoreError, StoreErrorKind};

/// The absolute path, because the process may change its directory.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    if path == Path::new(":memory:") {
        return Err(StoreError::new(StoreErrorKind::Configuration).detail(
            "each connection would have a database of its own in memory; the memory store is for \
             one process",
        ));
    }
    let text = path.to_string_lossy();
    for scheme in ["sqlite://", "sqlite:", "file://", "file:"] {
        if let Some(path) = text.strip_prefix(scheme) {
            return Err(StoreError::new(StoreErrorKind::Configuration)
                .detail(format!("this is a URL, and `open` takes a path, such as `{path}`")));
        }
    }
    if path.is_dir() {
        return Err(StoreError::new(StoreErrorKind::Configuration)
            .detail("it is a directory: add the name of a file in it"));
    }
    std::path::absolute(path).map_err(misplaced)
}

/// Makes the file for this user alone, if there is none. SQLite would make it as the umask says. It
/// gives the files beside it the mode of this one.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(misplaced(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn misplaced(error: io::Error) -> StoreError {
    StoreError::with_source(StoreErrorKind::Configuration, error)
        .detail("the file cannot be made: check its path and the permissions of its directory")
}

/// Logs a warning if users outside the group of the file can read or write it.
pub(super) fn warn_if_others_read(path: &Path) {
    #[cfg(unix)]
    if let Ok(found) = path.metadata() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
        if mode & 0o006 != 0 {
            tracing::warn!(
                path = %path.display(),
                "the file of the SQLite store has mode {mode:03o}: other users can read or change the stored \
                 responses; set it to 600, with its -wal and -shm"
            );
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}
