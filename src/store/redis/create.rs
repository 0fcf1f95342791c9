//! How a record is created, and how one that is there is found.

use std::sync::atomic::Ordering;

use redis::RedisResult;

use super::RedisStore;
use super::commands::{Commands, all, last};
use super::error::{is_broken, is_rejected, second, store_error, takes_no_writes};
use super::frame::{self, Pending, Stored};
use super::lookup::{self, Lookup};
use super::scripts::{self, text};
use crate::store::{Lease, StoreError, millis};

impl RedisStore {
    /// Reads the record of a name.
    pub(super) async fn look(&self, name: &[u8]) -> RedisResult<Lookup> {
        let look = Commands::of(&[&[b"GET", name], &[b"PTTL", name]]);
        let (frame, left) = self.connection.send(&look).await.and_then(all)?;
        Ok(Lookup { frame, left })
    }

    /// Writes the pending record if the key is free, and returns the existing record if it is not.
    /// A server that takes no writes rejects the command either way. It is then asked without a
    /// write.
    pub(super) async fn create(
        &self,
        name: &[u8],
        lease: &Lease,
    ) -> Result<Option<Stored>, StoreError> {
        let existing = match self.try_create(name, lease).await {
            Err(error) if takes_no_writes(&error) => match Box::pin(self.look(name)).await {
                Ok(Lookup { frame: Some(frame), .. }) => Some(frame),
                _ => return Err(store_error(error)),
            },
            created => created.map_err(store_error)?,
        };
        existing.map(lookup::read).transpose()
    }

    async fn try_create(&self, name: &[u8], lease: &Lease) -> RedisResult<Option<Vec<u8>>> {
        if !self.before_7.load(Ordering::Relaxed) {
            let create = Self::create_command(name, lease);
            let mut reply = self.connection.send(&create).await.and_then(last);
            // The record may have been created. If so, the second try finds the caller's own token.
            if let Err(broken) = &reply
                && is_broken(broken)
            {
                let again = Box::pin(self.connection.send(&create)).await.and_then(last);
                reply = second(broken.clone(), again);
            }
            match reply {
                Ok(existing) => return Ok(existing),
                Err(error) if is_rejected(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // A server before 7.0 rejects the command and has done nothing. If it rejects the script
        // too, its version was not the cause, and the script's error is returned.
        let reserved = {
            let pending = frame::encode_pending(lease, Pending::running(lease));
            let retention = text(millis(lease.retention));
            scripts::RESERVE.run(&self.connection, None, &[name], &[&pending, &retention])
        };
        let existing = Box::pin(reserved).await?;
        self.before_7.store(true, Ordering::Relaxed);
        Ok(existing)
    }

    fn create_command(name: &[u8], lease: &Lease) -> Commands {
        let pending = frame::encode_pending(lease, Pending::running(lease));
        let retention = text(millis(lease.retention));
        let set: [&[u8]; 7] = [b"SET", name, &pending, b"NX", b"GET", b"PX", &retention];
        Commands::of(&[&set])
    }
}
