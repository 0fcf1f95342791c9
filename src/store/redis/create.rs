//! How a record is created, and how one that is there is found.

use std::sync::atomic::Ordering;

use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisResult};

use super::RedisStore;
use super::error::{
    is_broken, is_rejected, may_have_created, second, store_error, takes_no_writes,
};
use super::frame::{self, Pending};
use super::lookup::Lookup;
use super::scripts::{self, text};
use crate::store::undo::Undo;
use crate::store::{Lease, StoreError, millis};

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Reads the record of a name.
    pub(super) async fn look(&self, name: &[u8]) -> RedisResult<Lookup> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("GET").arg(name).cmd("PTTL").arg(name);
        let (frame, left) = pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(Lookup { frame, left })
    }

    /// Writes the pending record if the key is free, and returns the existing record if it is not.
    /// A server that takes no writes rejects the command either way. It is then asked without a
    /// write.
    pub(super) async fn create(
        &self,
        name: &[u8],
        lease: &Lease,
        undo: &mut Undo<'_, Self>,
    ) -> Result<Lookup, StoreError> {
        match self.try_create(name, lease).await {
            Err(error) if takes_no_writes(&error) => match Box::pin(self.look(name)).await {
                Ok(found @ Lookup { frame: Some(_), .. }) => Ok(found),
                _ => Err(store_error(error)),
            },
            Err(error) if may_have_created(&error) => {
                undo.may_have_applied();
                Err(store_error(error))
            }
            created => created.map_err(store_error),
        }
    }

    async fn try_create(&self, name: &[u8], lease: &Lease) -> RedisResult<Lookup> {
        let mut connection = self.connection.clone();
        let pending = frame::encode_pending(lease, Pending::running(lease));
        let retention = text(millis(lease.retention));
        if !self.before_7.load(Ordering::Relaxed) {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline
                .cmd("SET")
                .arg(name)
                .arg(&pending)
                .arg("NX")
                .arg("GET")
                .arg("PX")
                .arg(&retention);
            pipeline.cmd("PTTL").arg(name);
            let mut reply = pipeline.query_async(&mut connection).await;
            // The record may have been created. If so, the second try finds the caller's own token.
            if let Err(broken) = &reply
                && is_broken(broken)
            {
                reply = second(broken.clone(), pipeline.query_async(&mut connection).await);
            }
            match reply {
                Ok((frame, left)) => return Ok(Lookup { frame, left }),
                Err(error) if is_rejected(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // A server before 7.0 rejects the command and has done nothing. If it rejects the script
        // too, its version was not the cause, and the script's error is returned.
        let keys: [&[u8]; 1] = [name];
        let args: [&[u8]; 2] = [&pending, &retention];
        let (frame, left) =
            Box::pin(scripts::RESERVE.run(&mut connection, None, &keys, &args)).await?;
        self.before_7.store(true, Ordering::Relaxed);
        Ok(Lookup { frame, left })
    }
}
