//! Keys in files, one for each operation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{KeyStore, StoredKey};
use crate::record::digest::Framed;
use crate::record::key::IdempotencyKey;

/// Stores keys in a directory, which any number of processes on one machine may share. They survive
/// a restart of the process and of the machine: a key is on disk before
/// [`put_if_absent`](KeyStore::put_if_absent) returns.
///
/// Each operation has its own file, in JSON, whose name is a digest of the operation's name. Only
/// the owner can read it (on Unix), because a key gives access to the response that the server
/// stores.
///
/// An empty file `lock` beside them must stay while any process may use the directory.
///
/// The directory must be on a file system that has file locks and stores what was synced. Some
/// network file systems do not.
#[derive(Debug, Clone)]
pub struct FileKeyStore {
    directory: Arc<Path>,
}

/// Ends the names of files that hold a key; all others are passed over.
const SUFFIX: &str = ".key.json";

impl FileKeyStore {
    /// Stores keys in this directory, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or is no directory.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = std::path::absolute(directory.into())?;
        let made: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(&directory)?;
        // A power cut would take a directory with all its keys if its own name were not on disk.
        for parent in made.iter().filter_map(|path| path.parent()) {
            sync(parent)?;
        }
        let keys = Self { directory: directory.into() };
        // What cannot be written should be known before the first operation.
        keys.alone()?;
        Ok(keys)
    }

    /// Runs `work` while no other process and no other task does. Files and locks block, so it runs
    /// on its own thread.
    async fn alone_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let keys = self.clone();
        let work = move || {
            let _alone = keys.alone()?;
            work(&keys)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// Waits for all others, until the file is dropped.
    fn alone(&self) -> io::Result<File> {
        let file = private(&self.directory.join("lock"), OpenOptions::new().write(true).create(true))?;
        file.lock()?;
        Ok(file)
    }

    /// Drops a key if `may_go`, and returns whether it is gone.
    async fn drop_if(
        &self,
        operation: &str,
        key: &IdempotencyKey,
        may_go: fn(&Kept) -> bool,
    ) -> io::Result<bool> {
        let (path, key) = (self.path(operation), key.clone());
        let drop = move |keys: &Self| {
            let Some(kept) = read(&path)?.filter(|kept| kept.stored.key == key) else { return Ok(true) };
            let goes = may_go(&kept);
            if goes {
                fs::remove_file(&path)?;
                sync(&keys.directory)?;
            }
            Ok(goes)
        };
        self.alone_in(drop).await
    }

    fn path(&self, operation: &str) -> PathBuf {
        let mut name = Framed::new("tower-idempotency client operation v1");
        name.field(operation.as_bytes());
        self.directory.join(format!("{}{SUFFIX}", name.finish(None).to_hex()))
    }

    /// Writes a file that is there whole or not at all, whatever happens.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let unfinished = path.with_extension("unfinished");
        let mut file = private(&unfinished, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync(&self.directory)
    }
}

impl KeyStore for FileKeyStore {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        let keep = move |keys: &Self| {
            let path = keys.path(&new.operation);
            let Some(kept) = read(&path)? else {
                keys.write(&path, &encode(&new, false))?;
                return Ok(new);
            };
            if kept.is_shared {
                // The process that stored it may have died before its name was on disk.
                sync(&keys.directory)?;
            } else {
                keys.write(&path, &encode(&kept.stored, true))?;
            }
            Ok(kept.stored)
        };
        self.alone_in(keep).await
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        self.drop_if(operation, key, |_| true).await.map(|_| ())
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        self.drop_if(operation, key, |kept| !kept.is_shared).await
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        let all = |keys: &Self| {
            let mut all = Vec::new();
            for file in fs::read_dir(&keys.directory)? {
                let path = file?.path();
                if path.to_string_lossy().ends_with(SUFFIX) {
                    all.extend(read(&path)?.map(|kept| kept.stored));
                }
            }
            Ok(all)
        };
        self.alone_in(all).await
    }
}

/// Opens a file that only its owner can read.
fn private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Makes the names in a directory survive a power cut. Windows does so by itself, and cannot open a
/// directory.
fn sync(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The content of a file; `None` if it does not exist. One that cannot be understood is an error:
/// without its key the operation would be done a second time.
fn read(path: &Path) -> io::Result<Option<Kept>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no key", path.display()));
    decode(&text).ok_or_else(damaged).map(Some)
}

/// The content of a file.
struct Kept {
    stored: StoredKey,
    is_shared: bool,
}

fn encode(stored: &StoredKey, is_shared: bool) -> String {
    let since = stored.created_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let created_at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let StoredKey { operation, key, .. } = stored;
    let (key, shared) = (key.as_str(), is_shared);
    json!({ "operation": operation, "key": key, "created_at_ms": created_at_ms, "shared": shared })
        .to_string()
}

fn decode(text: &[u8]) -> Option<Kept> {
    let kept: Value = serde_json::from_slice(text).ok()?;
    let operation = kept["operation"].as_str()?.to_owned();
    let key = IdempotencyKey::stored(kept["key"].as_str()?).ok()?;
    let created_at =
        SystemTime::checked_add(&UNIX_EPOCH, Duration::from_millis(kept["created_at_ms"].as_u64()?))?;
    let is_shared = kept["shared"].as_bool()?;
    Some(Kept { stored: StoredKey { operation, key, created_at }, is_shared })
}

#[cfg(test)]
mod tests;
