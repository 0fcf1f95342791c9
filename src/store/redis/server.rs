//! The connection of the store to one server.
//!
//! With the defaults of the driver's own manager, a call to a server that is down takes 9.5 s. Here
//! it fails as soon as the attempt to connect has failed. The first call after a short pause makes
//! the next attempt. A server that is slow or silent has as long as the callers wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use super::commands::{Commands, errors};
use super::error::{is_broken, unreached};
use super::link::Link;
use super::place::Place;
use super::sentinel::Sentinels;
use super::setting::Setting;
use super::unreached::cause;
use crate::runtime::lock::lock;

mod connecting;

/// How long a server that was sent commands may say nothing at all before the next command gets a
/// new connection. The commands that wait on the old one go on waiting.
const SILENCE: Duration = Duration::from_secs(1);
/// How long after a failure the next attempt to connect waits. Calls in between fail as the last
/// one did.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// The same after wrong credentials. Nothing corrects them soon, and the server logs each attempt.
const REJECTED: Duration = Duration::from_secs(1);
/// How long a server that was sent commands may be silent before others are asked where the slot
/// is.
const DOUBT: Duration = Duration::from_millis(250);

/// One server, and the connection to it. All clones share it. It is made when it is first needed,
/// and again after it was lost.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    setting: Setting,
    link: Mutex<Option<Arc<Link>>>,
    /// When the connection last failed, and how.
    failure: Mutex<Option<(Instant, RedisError)>>,
    /// Held by the one attempt to connect.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

/// Where the server is found.
pub(super) enum Endpoint {
    /// Always at one address.
    Fixed(ConnectionInfo),
    /// The primary. The sentinels are asked each time that a connection is made.
    Primary(Sentinels),
}

impl Endpoint {
    /// As an error names it.
    fn place(&self) -> Place {
        match self {
            Self::Fixed(info) => Place::server(info.addr()),
            Self::Primary(sentinels) => sentinels.place(),
        }
    }
}

impl Server {
    /// Connects nowhere yet.
    pub(super) fn new(endpoint: Endpoint, setting: Setting) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            setting,
            link: Mutex::default(),
            failure: Mutex::default(),
            connecting: Arc::default(),
        }))
    }

    /// Returns one reply for each command. Errors of the server are values.
    pub(super) fn send(
        &self,
        commands: &Commands,
    ) -> impl Future<Output = RedisResult<Vec<Value>>> + Send {
        let sent = async {
            let link = self.link_for_command().await?;
            let replies = link.send(commands).await;
            self.heed(&link, &replies);
            replies
        };
        self.0.setting.in_time(sent)
    }

    /// Returns when a command can be sent, or it is known that none can.
    pub(super) async fn reach(&self) -> RedisResult<()> {
        self.sound_link().await.map(drop)
    }

    /// Whether there is a connection, and nothing against it so far.
    pub(super) fn is_sound(&self) -> bool {
        self.0.present().is_some_and(|link| link.silent_for() < DOUBT)
    }

    /// The present connection, or a new one. One of the callers makes it for all. If that fails,
    /// all of them fail.
    async fn link(&self) -> RedisResult<Arc<Link>> {
        if let Some(link) = self.0.present() {
            return Ok(link);
        }
        let asked = Instant::now();
        let connecting = Arc::clone(&self.0.connecting).lock_owned().await;
        if let Some(link) = self.0.present() {
            return Ok(link);
        }
        if let Some((at, error)) = &*lock(&self.0.failure)
            && (*at >= asked || at.elapsed() < pause_after(error))
        {
            return Err(error.clone());
        }
        // A caller may give up before there is a connection. The attempt goes on, because otherwise
        // no attempt might ever succeed.
        let server = self.clone();
        let attempt = tokio::spawn(async move {
            let _connecting = connecting;
            let connected = server.connect().await.map_err(unreached);
            connected.inspect_err(|error| server.0.note(error))
        });
        attempt.await.unwrap_or_else(|ended| Err(unreached(std::io::Error::other(ended).into())))
    }

    /// The connection for one more command.
    async fn link_for_command(&self) -> RedisResult<Arc<Link>> {
        let link = match self.0.present() {
            Some(link) if link.silent_for() < SILENCE => link,
            // Boxed, because few commands get here, and each would have room for it.
            _ => {
                let place = || self.0.endpoint.place();
                Box::pin(self.0.setting.to_reach(place, self.sound_link())).await?
            }
        };
        link.sends();
        Ok(link)
    }

    /// The present connection, unless the server has been silent for too long.
    async fn sound_link(&self) -> RedisResult<Arc<Link>> {
        let link = self.link().await?;
        if link.silent_for() < SILENCE {
            return Ok(link);
        }
        self.0.give_up(&link);
        self.link().await
    }

    /// Learns from the replies whether the connection can still be used.
    fn heed(&self, link: &Arc<Link>, replies: &RedisResult<Vec<Value>>) {
        let lost = match replies {
            Ok(replies) => {
                link.heard();
                let mut errors = errors(replies).map(|error| RedisError::from(error.clone()));
                errors.find(|error| self.is_lost(error))
            }
            Err(error) => Some(error.clone()).filter(|error| self.is_lost(error)),
        };
        if let Some(error) = lost {
            // A broken connection may be replaced at once. A server that rejects commands would
            // reject the next one too.
            if !is_broken(&error) {
                self.0.note(&error);
            }
            self.0.give_up(link);
        }
    }

    /// The socket is broken, or the server takes no writes any more.
    fn is_lost(&self, error: &RedisError) -> bool {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => true,
            // A restart takes a while, and the sentinels may name another server meanwhile.
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                matches!(self.0.endpoint, Endpoint::Primary(_))
            }
            _ => error.is_unrecoverable_error() && !error.is_timeout(),
        }
    }
}

impl Inner {
    fn present(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    fn note(&self, error: &RedisError) {
        *lock(&self.failure) = Some((Instant::now(), error.clone()));
    }

    /// Forgets the connection, unless it was replaced already.
    fn give_up(&self, lost: &Arc<Link>) {
        let mut link = lock(&self.link);
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, lost)) {
            *link = None;
        }
    }
}

/// How long the next attempt to connect waits after one that failed like this.
fn pause_after(error: &RedisError) -> Duration {
    let error = cause(error);
    let rejected = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if rejected { REJECTED } else { PAUSE }
}
