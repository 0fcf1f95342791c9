//! The connection that the store makes for itself, to one server.
//!
//! The driver's own manager is made for programs that would rather wait than fail: with its defaults a call to a server
//! that is down takes 9.5 s. Here such a call fails as soon as the one attempt to connect has failed, and the first call
//! after a short pause makes the next attempt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError,
    RedisResult, ServerErrorKind, Value,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::coalesce::Coalesce;
use super::error::is_broken;
use super::eviction::Eviction;
use super::sentinel::Sentinels;

/// How long it may take to connect, the handshake included.
const CONNECT: Duration = Duration::from_millis(500);
/// How long the server may take to answer a command.
const RESPOND: Duration = Duration::from_millis(500);
/// How long a server that was sent commands may say nothing at all before the connection to it is given up.
const SILENCE: Duration = Duration::from_secs(1);
/// How long after a failure the next attempt to connect waits; calls in between fail as the last one did.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long a server that was sent commands may say nothing before others are asked whether it still is the one.
const DOUBT: Duration = Duration::from_millis(250);

/// One server, and the connection to it: shared by all clones, made when it is first needed and again after it was lost.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    place: Place,
    eviction: Arc<Eviction>,
    link: Mutex<Option<Arc<Link>>>,
    /// When the connection last failed, and how.
    failure: Mutex<Option<(Instant, RedisError)>>,
    /// Held by the one caller who connects.
    connecting: tokio::sync::Mutex<()>,
}

/// Where the server is found.
pub(super) enum Place {
    /// Always at one address.
    Fixed(ConnectionInfo),
    /// Where the sentinels say that the primary is, asked each time that a connection is made.
    Primary(Sentinels),
}

/// One established connection.
struct Link {
    connection: MultiplexedConnection,
    /// Since when there are commands without an answer.
    silent_since: Mutex<Option<Instant>>,
}

impl Server {
    /// Connects nowhere yet.
    pub(super) fn new(place: Place, eviction: Arc<Eviction>) -> Self {
        Self(Arc::new(Inner {
            place,
            eviction,
            link: Mutex::default(),
            failure: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) async fn one(&self, command: &Cmd) -> RedisResult<Value> {
        let link = self.link_for_command().await?;
        let answer = link.connection.clone().send_packed_command(command).await;
        self.heed(&link, answer.as_ref().map(std::iter::once));
        answer
    }

    pub(super) async fn many(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let link = self.link_for_command().await?;
        let answer = link.connection.clone().send_packed_commands(pipeline, offset, count).await;
        self.heed(&link, answer.as_ref());
        answer
    }

    /// The number of the database in use.
    pub(super) fn db(&self) -> i64 {
        match &self.0.place {
            Place::Fixed(info) => info.redis_settings().db(),
            Place::Primary(sentinels) => sentinels.db(),
        }
    }

    /// Whether there is a connection, and nothing against it so far.
    pub(super) fn is_sound(&self) -> bool {
        self.0
            .standing()
            .is_some_and(|link| held(&link.silent_since).is_none_or(|since| since.elapsed() < DOUBT))
    }

    /// The connection as it stands, or a new one. Of all who need a new one together, one makes it; if that fails, all
    /// of them fail.
    async fn link(&self) -> RedisResult<Arc<Link>> {
        if let Some(link) = self.0.standing() {
            return Ok(link);
        }
        let asked = Instant::now();
        let _connecting = self.0.connecting.lock().await;
        if let Some(link) = self.0.standing() {
            return Ok(link);
        }
        if let Some((at, error)) = &*held(&self.0.failure)
            && (*at >= asked || at.elapsed() < PAUSE)
        {
            return Err(error.clone());
        }
        let connected = self.connect().await;
        connected.inspect_err(|error| self.0.note(error))
    }

    async fn connect(&self) -> RedisResult<Arc<Link>> {
        let (link, address) = match &self.0.place {
            Place::Fixed(info) => (bounded(self.connect_to(info)).await?, info.addr().to_string()),
            Place::Primary(sentinels) => {
                let info = sentinels.primary().await?;
                let connected = async {
                    let link = self.connect_to(&info).await?;
                    confirm_primary(&link).await?;
                    Ok(link)
                };
                (bounded(connected).await?, info.addr().to_string())
            }
        };
        *held(&self.0.link) = Some(Arc::clone(&link));
        self.0.eviction.look(address, link.connection.clone());
        Ok(link)
    }

    async fn connect_to(&self, info: &ConnectionInfo) -> RedisResult<Arc<Link>> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPOND))
            // As many commands as requests may be under way; at the default of 50 they would wait for one another.
            .set_pipeline_buffer_size(4096);
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            // TLS and Unix sockets are the driver's to set up.
            let client = Client::open(info.clone())?;
            return Ok(Link::new(client.get_multiplexed_async_connection_with_config(&config).await?));
        };
        let socket = TcpStream::connect((host.as_str(), *port)).await?;
        set_up(&socket)?;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(info.redis_settings(), Coalesce::new(socket), config)
                .await?;
        let link = Link::new(connection);
        let (inner, lost) = (Arc::downgrade(&self.0), Arc::downgrade(&link));
        tokio::spawn(async move {
            driver.await;
            // Known at once, and not only when the next command fails.
            if let (Some(inner), Some(link)) = (inner.upgrade(), lost.upgrade()) {
                inner.give_up(&link);
            }
        });
        Ok(link)
    }

    /// The connection for one more command, unless it is one that does not answer any more.
    async fn link_for_command(&self) -> RedisResult<Arc<Link>> {
        let link = self.link().await?;
        if *held(&link.silent_since).get_or_insert_with(Instant::now) + SILENCE > Instant::now() {
            return Ok(link);
        }
        self.0.give_up(&link);
        self.link().await
    }

    /// Learns from an answer whether the connection is still of use. Server errors arrive as values here.
    fn heed<'a>(&self, link: &Arc<Link>, answer: Result<impl IntoIterator<Item = &'a Value>, &RedisError>) {
        let lost = match answer {
            Ok(values) => {
                *held(&link.silent_since) = None;
                values.into_iter().find_map(|value| match value {
                    Value::ServerError(error) => Some(RedisError::from(error.clone())).filter(is_lost),
                    _ => None,
                })
            }
            Err(error) => Some(error.clone()).filter(is_lost),
        };
        if let Some(error) = lost {
            // A connection that broke may be replaced at once. A server that will not serve would say so again.
            if !is_broken(&error) {
                self.0.note(&error);
            }
            self.0.give_up(link);
        }
    }
}

impl Inner {
    fn standing(&self) -> Option<Arc<Link>> {
        held(&self.link).clone()
    }

    fn note(&self, error: &RedisError) {
        *held(&self.failure) = Some((Instant::now(), error.clone()));
    }

    /// Forgets the connection, unless it was replaced already.
    fn give_up(&self, lost: &Arc<Link>) {
        let mut link = held(&self.link);
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, lost)) {
            *link = None;
        }
    }
}

impl Link {
    fn new(connection: MultiplexedConnection) -> Arc<Self> {
        Arc::new(Self { connection, silent_since: Mutex::default() })
    }
}

/// A server that was the primary may not know yet that it is no longer, and the sentinel that named it neither.
async fn confirm_primary(link: &Link) -> RedisResult<()> {
    let role: RedisResult<Vec<Value>> = redis::cmd("ROLE").query_async(&mut link.connection.clone()).await;
    match role {
        Ok(role) if matches!(role.first(), Some(Value::BulkString(role)) if role != b"master") => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "the sentinels named a replica").into())
        }
        // A server that does not let itself be asked is believed.
        Err(error) if !matches!(error.kind(), ErrorKind::Server(_)) => Err(error),
        _ => Ok(()),
    }
}

async fn bounded<T>(connecting: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(CONNECT, connecting).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The socket is dead, or the server behind it is no longer the one that takes writes.
fn is_lost(error: &RedisError) -> bool {
    let demoted = [ServerErrorKind::ReadOnly, ServerErrorKind::MasterDown].map(ErrorKind::Server);
    demoted.contains(&error.kind()) || (error.is_unrecoverable_error() && !error.is_timeout())
}

fn set_up(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(1));
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keepalive)?;
    // What was sent and is not acknowledged for this long was sent to nobody.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(2)))?;
    Ok(())
}

pub(super) fn timed_out(elapsed: tokio::time::error::Elapsed) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed).into()
}
