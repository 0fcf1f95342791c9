//! The connection that the store makes for itself.
//!
//! The driver's own manager is made for programs that would rather wait than fail: with its defaults a call to a server
//! that is down takes 9.5 s. Here such a call fails as soon as the one attempt to connect has failed, and the first call
//! after a short pause makes the next attempt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, ProtocolVersion, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::coalesce::Coalesce;

/// How long it may take to connect, the handshake included.
const CONNECT: Duration = Duration::from_millis(500);
/// How long the server may take to answer a command.
const RESPOND: Duration = Duration::from_millis(500);
/// How long a server that was sent commands may say nothing at all before the connection to it is given up.
const SILENCE: Duration = Duration::from_secs(1);
/// How long after a failure the next attempt to connect waits; calls in between fail as the last one did.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection to one server, shared by its clones, that is made when it is first needed and again after it was lost.
///
/// It speaks RESP3, whatever the URL says.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    info: ConnectionInfo,
    link: Mutex<Option<Arc<Link>>>,
    /// When the connection last failed, and how.
    failure: Mutex<Option<(Instant, RedisError)>>,
    /// Held by the one caller who connects.
    connecting: tokio::sync::Mutex<()>,
}

/// One established connection.
struct Link {
    connection: MultiplexedConnection,
    /// Since when there are commands without an answer.
    silent_since: Mutex<Option<Instant>>,
}

impl Connection {
    /// Reads the URL; connects nowhere yet.
    pub(super) fn open(url: &str) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        // RESP3 makes the server's messages and the answers to commands two different things.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self(Arc::new(Inner {
            info: info.set_redis_settings(settings),
            link: Mutex::default(),
            failure: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })))
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
        let connected =
            timeout(CONNECT, self.connect()).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)));
        connected.inspect_err(|error| self.0.note(error))
    }

    async fn connect(&self) -> RedisResult<Arc<Link>> {
        let info = &self.0.info;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPOND))
            // As many commands as requests may be under way; at the default of 50 they would wait for one another.
            .set_pipeline_buffer_size(4096);
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            // TLS and Unix sockets are the driver's to set up.
            let client = Client::open(info.clone())?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            return Ok(self.0.establish(connection));
        };
        let socket = TcpStream::connect((host.as_str(), *port)).await?;
        set_up(&socket)?;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(info.redis_settings(), Coalesce::new(socket), config)
                .await?;
        let link = self.0.establish(connection);
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
            self.0.note(&error);
            self.0.give_up(link);
        }
    }
}

impl Inner {
    fn standing(&self) -> Option<Arc<Link>> {
        held(&self.link).clone()
    }

    fn establish(&self, connection: MultiplexedConnection) -> Arc<Link> {
        let link = Arc::new(Link { connection, silent_since: Mutex::default() });
        *held(&self.link) = Some(Arc::clone(&link));
        link
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

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

fn timed_out(elapsed: tokio::time::error::Elapsed) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed).into()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let link = self.link_for_command().await?;
            let answer = link.connection.clone().send_packed_command(command).await;
            self.heed(&link, answer.as_ref().map(std::iter::once));
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let link = self.link_for_command().await?;
            let answer = link.connection.clone().send_packed_commands(pipeline, offset, count).await;
            self.heed(&link, answer.as_ref());
            answer
        })
    }

    fn get_db(&self) -> i64 {
        self.0.info.redis_settings().db()
    }
}
