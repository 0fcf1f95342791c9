//! One attempt to connect, for all callers that need a connection.
//!
//! It has as long as the callers wait. The server may be slow, the first packets to it may be lost,
//! or another server may have taken its place. So every half a second a second attempt is made anew
//! beside the first one, and sentinels are asked again. The first connection that is established is
//! used. When sentinels name another server, the attempts to reach the former one end.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionInfo, RedisResult};
use tokio::time::sleep;

use super::{Endpoint, Server};
use crate::runtime::lock::lock;
use crate::store::redis::link::Link;
use crate::store::redis::place::Place;
use crate::store::redis::setting::within;
use crate::store::redis::unreached::{Unreached, explained};

/// The shortest time for an attempt. Callers that wait for less than a handshake would otherwise
/// never get a connection.
const CONNECT: Duration = Duration::from_millis(500);
/// How long an attempt goes on before a second one is made beside it.
const ALONE: Duration = Duration::from_millis(500);

type Connecting<'a> = Pin<Box<dyn Future<Output = RedisResult<Arc<Link>>> + Send + 'a>>;

impl Server {
    /// Connects, and puts the connection in place.
    pub(super) async fn connect(&self) -> RedisResult<Arc<Link>> {
        let bound = self.0.setting.timeout.get().max(CONNECT);
        let connected = within(bound, self.first_to_connect()).await;
        connected.map_err(|error| Unreached::at(self.0.endpoint.place(), error))
    }

    async fn first_to_connect(&self) -> RedisResult<Arc<Link>> {
        let mut named = self.find().await?;
        let mut first = self.connect_to(named.clone());
        let mut beside: Connecting<'_> = Box::pin(pending());
        let mut look = Box::pin(self.find_again());
        loop {
            tokio::select! {
                connected = &mut first => return connected,
                connected = &mut beside => match connected {
                    Ok(link) => return Ok(link),
                    // The next one may succeed.
                    Err(_) => beside = Box::pin(pending()),
                },
                found = &mut look => {
                    match found {
                        Ok(found) if found.addr() == named.addr() => beside = self.connect_to(found),
                        Ok(another) => {
                            named = another;
                            first = self.connect_to(named.clone());
                            beside = Box::pin(pending());
                        }
                        Err(_) => {}
                    }
                    look = Box::pin(self.find_again());
                }
            }
        }
    }

    /// Where the server is.
    async fn find(&self) -> RedisResult<ConnectionInfo> {
        match &self.0.endpoint {
            Endpoint::Fixed(info) => Ok(info.clone()),
            Endpoint::Primary(sentinels) => sentinels.primary(&self.0.setting.probes).await,
        }
    }

    async fn find_again(&self) -> RedisResult<ConnectionInfo> {
        sleep(ALONE).await;
        self.find().await
    }

    fn connect_to(&self, info: ConnectionInfo) -> Connecting<'_> {
        Box::pin(async move {
            let inner = Arc::downgrade(&self.0);
            let lost = move |link: &Arc<Link>| {
                if let Some(inner) = inner.upgrade() {
                    inner.give_up(link);
                }
            };
            let setting = &self.0.setting;
            let opening = async {
                let link = Link::open(&info, lost).await?;
                if matches!(self.0.endpoint, Endpoint::Primary(_)) {
                    link.confirm_primary().await?;
                }
                Ok(link)
            };
            let place = Place::server(info.addr());
            let link = explained(place, info.addr(), &setting.probes, opening).await?;
            *lock(&self.0.link) = Some(Arc::clone(&link));
            setting.eviction.look(
                info.addr().to_string(),
                Arc::clone(&link),
                setting.timeout.get(),
            );
            Ok(link)
        })
    }
}
