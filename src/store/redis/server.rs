//! The connection that the store makes for itself, to one server.
//!
//! The driver's own manager is made for programs that would rather wait than fail: with its defaults a call to a server
//! that is down takes 9.5 s. Here such a call fails as soon as the one attempt to connect has failed, and the first call
//! after a short pause makes the next attempt. A server that is slow or silent has as long as the callers wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use super::error::{is_broken, unreached};
use super::link::Link;
use super::script_error::unwrapped;
use super::sentinel::Sentinels;
use super::setting::Setting;
use crate::runtime::lock::lock;

mod connecting;

/// How long a server that was sent commands may say nothing at all before the next command gets a
/// new connection. The commands that wait on the old one go on waiting.
const SILENCE: Duration = Duration::from_secs(1);
/// How long after a failure the next attempt to connect waits; calls in between fail as the last one did.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// The same after wrong credentials, which do not mend themselves, while each attempt stands in the server's log.
const REJECTED: Duration = Duration::from_secs(1);
/// How long a server that was sent commands may say nothing before others are asked whether it still is the one.
const DOUBT: Duration = Duration::from_millis(250);

/// One server, and the connection to it: shared by all clones, made when it is first needed and again after it was lost.
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
    /// Where the sentinels say that the primary is, asked each time that a connection is made.
    Primary(Sentinels),
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

    pub(super) async fn one(&self, command: &Cmd) -> RedisResult<Value> {
        let send = async {
            let link = self.link_for_command().await?;
            let answer = link.connection.clone().send_packed_command(command).await.map(unwrapped);
            self.heed(&link, answer.as_ref().map(std::iter::once));
            answer
        };
        self.0.setting.in_time(send).await
    }

    pub(super) async fn many(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let send = async {
            let link = self.link_for_command().await?;
            let answers = link.connection.clone().send_packed_commands(pipeline, offset, count).await;
            let answer = answers.map(|answers| answers.into_iter().map(unwrapped).collect::<Vec<_>>());
            self.heed(&link, answer.as_ref());
            answer
        };
        self.0.setting.in_time(send).await
    }

    /// Returns when a command can be sent, or it is known that none can.
    pub(super) async fn reach(&self) -> RedisResult<()> {
        self.sound_link().await.map(drop)
    }

    /// The number of the database in use.
    pub(super) fn db(&self) -> i64 {
        match &self.0.endpoint {
            Endpoint::Fixed(info) => info.redis_settings().db(),
            Endpoint::Primary(sentinels) => sentinels.db(),
        }
    }

    /// Whether there is a connection, and nothing against it so far.
    pub(super) fn is_sound(&self) -> bool {
        self.0.standing().is_some_and(|link| link.silent_for() < DOUBT)
    }

    /// The connection as it stands, or a new one. Of all who need a new one together, one makes it; if that fails, all
    /// of them fail.
    async fn link(&self) -> RedisResult<Arc<Link>> {
        if let Some(link) = self.0.standing() {
            return Ok(link);
        }
        let asked = Instant::now();
        let connecting = Arc::clone(&self.0.connecting).lock_owned().await;
        if let Some(link) = self.0.standing() {
            return Ok(link);
        }
        if let Some((at, error)) = &*lock(&self.0.failure)
            && (*at >= asked || at.elapsed() < pause_after(error))
        {
            return Err(error.clone());
        }
        // A caller with less patience than it takes to connect gives up, but the attempt goes on: else there might be
        // nobody ever who sees one through.
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
        let link = self.0.setting.to_reach(self.sound_link()).await?;
        link.sends();
        Ok(link)
    }

    /// The connection as it stands, unless the server behind it has been silent for too long.
    async fn sound_link(&self) -> RedisResult<Arc<Link>> {
        let link = self.link().await?;
        if link.silent_for() < SILENCE {
            return Ok(link);
        }
        self.0.give_up(&link);
        self.link().await
    }

    /// Learns from an answer whether the connection is still of use. Server errors arrive as values here.
    fn heed<'a>(&self, link: &Arc<Link>, answer: Result<impl IntoIterator<Item = &'a Value>, &RedisError>) {
        let lost = match answer {
            Ok(values) => {
                link.heard();
                values.into_iter().find_map(|value| match value {
                    Value::ServerError(error) => {
                        Some(RedisError::from(error.clone())).filter(|error| self.is_lost(error))
                    }
                    _ => None,
                })
            }
            Err(error) => Some(error.clone()).filter(|error| self.is_lost(error)),
        };
        if let Some(error) = lost {
            // A connection that broke may be replaced at once. A server that will not serve would say so again.
            if !is_broken(&error) {
                self.0.note(&error);
            }
            self.0.give_up(link);
        }
    }

    /// The socket is dead, or the server behind it is no longer the one that takes writes.
    fn is_lost(&self, error: &RedisError) -> bool {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => true,
            // One that was started again takes a while, and the sentinels may name another one meanwhile.
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                matches!(self.0.endpoint, Endpoint::Primary(_))
            }
            _ => error.is_unrecoverable_error() && !error.is_timeout(),
        }
    }
}

impl Inner {
    fn standing(&self) -> Option<Arc<Link>> {
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
    let rejected = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if rejected { REJECTED } else { PAUSE }
}
