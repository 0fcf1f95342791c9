//! One connection to one server, and how it is made.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult,
    ServerErrorKind, Value,
};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

mod loan;
mod pipe;
mod replies;
mod silence;

use loan::Loan;
use pipe::Pipe;
use silence::Silence;

use super::commands::{Commands, last};
use super::driver;

/// After this long without an acknowledgement, the connection counts as broken.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// One established connection.
pub(super) struct Link {
    wire: Wire,
    silence: Arc<Silence>,
}

enum Wire {
    Pipe(Pipe),
    /// TLS and Unix sockets, which the driver makes.
    Driver(MultiplexedConnection),
}

impl Link {
    /// Connects. `lost` is called as soon as the connection is lost, and not only when the next
    /// command fails. It is not called for TLS and Unix sockets.
    pub(super) async fn open(
        info: &ConnectionInfo,
        lost: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> RedisResult<Arc<Self>> {
        let config = AsyncConnectionConfig::new()
            // The callers set the limits.
            .set_connection_timeout(None)
            .set_response_timeout(None)
            // As many commands as requests may be in transfer. At the default of 50 they would wait
            // for one another.
            .set_pipeline_buffer_size(4096);
        let silence = Arc::<Silence>::default();
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                super::tls::choose_provider();
            }
            let client = Client::open(info.clone().set_tcp_settings(tcp_settings()))?;
            let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            return Ok(Arc::new(Self { wire: Wire::Driver(connection), silence }));
        };
        let socket = first_to_connect(lookup_host((host.as_str(), *port)).await?).await?;
        set_up(&socket)?;
        let socket = greet(socket, info, config).await?;
        let heard = Arc::clone(&silence);
        let (pipe, driver) = Pipe::new(socket, move || heard.end());
        let link = Arc::new(Self { wire: Wire::Pipe(pipe), silence });
        let this = Arc::downgrade(&link);
        tokio::spawn(async move {
            driver.await;
            if let Some(link) = this.upgrade() {
                lost(&link);
            }
        });
        Ok(link)
    }

    /// Returns one reply for each command. Errors of the server are values.
    pub(super) async fn send(&self, commands: &Commands) -> RedisResult<Vec<Value>> {
        match &self.wire {
            Wire::Pipe(pipe) => pipe.send(commands).await,
            Wire::Driver(connection) => {
                Box::pin(driver::send(&mut connection.clone(), commands)).await
            }
        }
    }

    /// Notes that a command is about to be sent.
    pub(super) fn sends(&self) {
        self.silence.begin();
    }

    /// Notes that the server has replied.
    pub(super) fn heard(&self) {
        self.silence.end();
    }

    /// How long the server has been silent while commands wait.
    pub(super) fn silent_for(&self) -> Duration {
        self.silence.lasts()
    }

    /// A former primary may not know yet that it is one, and neither may the sentinel that named
    /// it.
    pub(super) async fn confirm_primary(&self) -> RedisResult<()> {
        let role: RedisResult<Vec<Value>> =
            self.send(&Commands::of(&[&[b"ROLE"]])).await.and_then(last);
        match role {
            Ok(role) if matches!(role.first(), Some(Value::BulkString(role)) if role != b"master") => {
                Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "the sentinels named a replica")
                    .into())
            }
            // A server that rejects the question is trusted.
            Err(error) if !matches!(error.kind(), ErrorKind::Server(_)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The handshake of the driver: the version of the protocol, the credentials and the database.
async fn greet(
    socket: TcpStream,
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> RedisResult<TcpStream> {
    let (socket, returned) = Loan::of(socket);
    let settings = info.redis_settings();
    // What the driver has made of the socket is dropped at once, and the socket comes back.
    drop(MultiplexedConnection::new_with_config(settings, socket, config).await?);
    returned.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
}

/// Tries all addresses of a name at once, because a silent one would take the time of the others.
async fn first_to_connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut connecting: JoinSet<_> = addresses.map(TcpStream::connect).collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(connected) = connecting.join_next().await {
        match connected.map_err(io::Error::other).flatten() {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(1))
}

fn set_up(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keepalive())?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// The same for a connection that the driver makes.
pub(super) fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive());
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redis::io::tcp::socket2::{Domain, Socket, Type};
    use tokio::time::timeout;

    use super::*;

    /// Accepts no connection, because its queue is full.
    async fn silent() -> (Socket, SocketAddr, Vec<TcpStream>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(connected.unwrap());
        }
        (listener, address, waiting)
    }

    #[tokio::test]
    async fn an_address_that_is_silent_does_not_take_the_time_of_the_next() {
        let (_listener, silent, _waiting) = silent().await;
        let refusing = SocketAddr::from(([127, 0, 0, 1], 1));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let connected = timeout(
            Duration::from_millis(900),
            first_to_connect([silent, refusing, there].into_iter()),
        );
        assert_eq!(connected.await.unwrap().unwrap().peer_addr().unwrap(), there);
    }

    #[tokio::test]
    async fn a_name_whose_addresses_all_refuse_is_refused() {
        let refusing = SocketAddr::from(([127, 0, 0, 1], 1));
        let refused = first_to_connect([refusing].into_iter()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
