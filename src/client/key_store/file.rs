//! [`FileKeyStore`]: keys in files, one for each operation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{KeyStore, StoredKey};
use crate::record::digest::Framed;
use crate::record::key::IdempotencyKey;

/// Stores keys in a directory, which any number of processes on one machine may share.
///
/// The keys survive a restart of the process and of the machine. A key is on disk before
/// [`put_if_absent`](KeyStore::put_if_absent) returns.
///
/// Each operation has its own file, in JSON, whose name is a digest of the operation's name. On
/// Unix only the owner can read it, because a key gives access to the response that the server
/// stores.
///
/// The directory also contains an empty file `lock`. Do not remove it while a process may use the
/// directory. Without it, two processes can store different keys for one operation.
///
/// The directory must be on a file system that supports file locks and makes synced data durable.
/// Some network file systems do not.
#[derive(Debug, Clone)]
pub struct FileKeyStore {
    directory: Arc<Path>,
}

/// The suffix of files that contain a key. All other files are skipped.
const SUFFIX: &str = ".key.json";

impl FileKeyStore {
    /// Opens a directory of keys, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or is not a directory.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = std::path::absolute(directory.into())?;
        let made: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(&directory)?;
        // If the name of a new directory is not on disk, a power cut loses it with all its keys.
        for parent in made.iter().filter_map(|path| path.parent()) {
            sync(parent)?;
        }
        let keys = Self { directory: directory.into() };
        // A directory that cannot be written must fail before the first operation.
        keys.alone()?;
        Ok(keys)
    }

    /// Runs `work` alone: no other process and no other task runs it at the same time. Files and
    /// locks block, so it runs on its own thread.
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

    /// Locks the directory until the file is dropped.
    fn alone(&self) -> io::Result<File> {
        let file =
            private(&self.directory.join("lock"), OpenOptions::new().write(true).create(true))?;
        file.lock()?;
        Ok(file)
    }

    /// Removes a key if `may_remove` allows it, and returns whether it is no longer stored.
    async fn remove_if(
        &self,
        operation: &str,
        key: &IdempotencyKey,
        may_remove: fn(&Entry) -> bool,
    ) -> io::Result<bool> {
        let (path, key) = (self.path(operation), key.clone());
        let remove = move |keys: &Self| {
            let Some(entry) = read(&path)?.filter(|entry| entry.stored.key == key) else {
                return Ok(true);
            };
            let is_removed = may_remove(&entry);
            if is_removed {
                fs::remove_file(&path)?;
                sync(&keys.directory)?;
            }
            Ok(is_removed)
        };
        self.alone_in(remove).await
    }

    fn path(&self, operation: &str) -> PathBuf {
        let mut name = Framed::new("tower-idempotency client operation v1");
        name.field(operation.as_bytes());
        self.directory.join(format!("{}{SUFFIX}", name.finish(None).to_hex()))
    }

    /// Writes a file atomically: after a crash it exists whole or not at all.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let unfinished = path.with_extension("unfinished");
        let mut file =
            private(&unfinished, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync(&self.directory)
    }
}

impl KeyStore for FileKeyStore {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        let put = move |keys: &Self| {
            let path = keys.path(&new.operation);
            let Some(entry) = read(&path)? else {
                keys.write(&path, &encode(&new, false))?;
                return Ok(new);
            };
            if entry.is_shared {
                // The process that stored it may have died before the file name was on disk.
                sync(&keys.directory)?;
            } else {
                keys.write(&path, &encode(&entry.stored, true))?;
            }
            Ok(entry.stored)
        };
        self.alone_in(put).await
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        self.remove_if(operation, key, |_| true).await.map(|_| ())
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        self.remove_if(operation, key, |entry| !entry.is_shared).await
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        let all = |keys: &Self| {
            let mut all = Vec::new();
            for file in fs::read_dir(&keys.directory)? {
                let path = file?.path();
                if path.to_string_lossy().ends_with(SUFFIX) {
                    all.extend(read(&path)?.map(|entry| entry.stored));
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

/// Syncs the names in a directory, so that they survive a power cut. Windows syncs them itself, and
/// cannot open a directory.
fn sync(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The content of a file. `None` if it does not exist. A malformed file is an error, because
/// without its key the operation would be done a second time.
fn read(path: &Path) -> io::Result<Option<Entry>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || {
        let message = format!("the file {} does not contain a key", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    decode(&text).ok_or_else(damaged).map(Some)
}

/// The content of a file.
struct Entry {
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

fn decode(text: &[u8]) -> Option<Entry> {
    let json: Value = serde_json::from_slice(text).ok()?;
    let operation = json["operation"].as_str()?.to_owned();
    let key = IdempotencyKey::stored(json["key"].as_str()?).ok()?;
    let created_at = SystemTime::checked_add(
        &UNIX_EPOCH,
        Duration::from_millis(json["created_at_ms"].as_u64()?),
    )?;
    let is_shared = json["shared"].as_bool()?;
    Some(Entry { stored: StoredKey { operation, key, created_at }, is_shared })
}

#[cfg(test)]
mod tests;
