//! The ways to open a store.

use std::sync::Arc;

use ::redis::aio::ConnectionLike;
use ::redis::{IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use super::error::store_error;
use super::url::Target;
use super::{Bodies, Connection, RedisStore};
use crate::store::StoreError;
use crate::store::timeout::Timeout;

impl RedisStore {
    /// Opens a store on one server, on a group of servers under Sentinel, or on a cluster:
    ///
    /// ```text
    /// redis://[user:password@]host:port[/db][?protocol=resp2]
    /// redis+sentinel://[user:password@]host:port,host:port[,…]/name[/db][?protocol=resp2]
    /// redis+cluster://[user:password@]host:port[,host:port…][?protocol=resp2]
    /// ```
    ///
    /// There are two connections to each server: one for large bodies, and one for all else, which
    /// never waits behind a body. They are made when they are first needed, and made again after
    /// they were lost: to the server, to the primary that the sentinels then name, or to the
    /// servers that then have the slots.
    ///
    /// While a server is down, operations fail as soon as that is known. While it is slow or
    /// silent, they fail after the layer's [store timeout](crate::IdempotencyLayer::store_timeout),
    /// or after 2 s without a layer. A server that has sent nothing for a second gets a new
    /// connection. Commands on the old one go on waiting.
    ///
    /// The protocol is RESP3, unless the URL says `?protocol=resp2`, for servers and proxies that
    /// do not know it.
    ///
    /// A URL with sentinels lists these. The name is the group's, and the credentials are for the
    /// servers. If the sentinels need credentials too, use [`sentinel`](Self::sentinel). A URL
    /// of a cluster names some of its servers, which know the others.
    ///
    /// TLS (`rediss://`, `rediss+sentinel://`, `rediss+cluster://`) needs a [feature](#tls).
    /// `valkey` and `valkeys` mean the same as `redis` and `rediss`. A Unix socket is
    /// `redis+unix:///path` or `unix:///path`.
    ///
    /// A user of Redis with limited rights needs the names that begin with the
    /// [`prefix`](Self::prefix) (`~idempotency:*`), and these commands:
    ///
    /// ```text
    /// +ping +get +getrange +set +pttl +pexpire +del +unlink +eval +evalsha
    /// +select            for a database other than 0
    /// +cluster|slots +asking    on a cluster
    /// +role              under Sentinel, to be sure that a server is the primary
    /// +info              for the warning about eviction; without it there is none
    /// +scan +dbsize +info +lrange +rpush +ltrim +strlen +time    for operators
    /// ```
    ///
    /// A user without `+eval` and `+evalsha` can begin operations and not end them: each runs once,
    /// and its retries get 503. Once the permission is there, a retry runs it again, in doubt.
    ///
    /// # TLS
    ///
    /// | feature | the server needs a certificate of |
    /// |---|---|
    /// | `redis-tls-rustls` | an authority that the operating system trusts, or that the file in the variable `SSL_CERT_FILE` names |
    /// | `redis-tls-rustls-webpki-roots` | an authority in Mozilla's list, which is compiled in |
    ///
    /// Both use rustls with ring. The first connection makes ring the default of the process, if
    /// the application has not installed another `CryptoProvider` of rustls before.
    ///
    /// For an authority of your own, or a client certificate, see [`server`](Self::server). For the
    /// TLS of the operating system, depend on the crate `redis` with its feature
    /// `tokio-native-tls-comp`.
    ///
    /// # Errors
    ///
    /// If the URL is not one of these. The error says which part is wrong, without a password. A
    /// wrong address is an error of the first operation: see
    /// [`IdempotencyLayer::check`](crate::IdempotencyLayer::check).
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Target::parse(url).map(Self::to)
    }

    /// Opens a store on one server, which is given in any form that the crate `redis` accepts.
    ///
    /// Use it for what a URL cannot say, such as a certificate authority of your own or a client
    /// certificate. [`cluster`](Self::cluster) and [`sentinel`](Self::sentinel) accept the same.
    ///
    /// ```no_run
    /// # #[cfg(feature = "redis-tls-rustls")]
    /// # fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis::{Client, TlsCertificates};
    /// use tower_idempotency::RedisStore;
    ///
    /// let authority = std::fs::read("/etc/ssl/our-authority.pem")?;
    /// let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority) };
    /// let client = Client::build_with_tls("rediss://redis.internal:6380", certificates)?;
    /// let store = RedisStore::server(client.get_connection_info().clone())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the address cannot be read.
    pub fn server(server: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        let server = server.into_connection_info().map_err(store_error)?;
        Ok(Self::by_default(Target::Server(server)))
    }

    /// Opens a store on the primary of a group of servers that sentinels watch over, known to them
    /// by a name.
    ///
    /// Each sentinel is a URL (`redis://[user:password@]host:port`) or another form that the crate
    /// `redis` accepts, with the credentials for the sentinel itself. `server` has the credentials
    /// for the servers, and the number of a database. They are reached with TLS if the first
    /// sentinel is.
    ///
    /// The sentinels are asked each time that a connection is made, and again every half a second
    /// while that takes. The address that a majority of them names counts. If there is no majority
    /// within 400 ms, the one that was named most often counts, or the first that is named after
    /// that. The server must itself say that it is the primary.
    ///
    /// They are not asked while there is a connection. A primary may be cut off from the sentinels
    /// and its replicas, but not from this process. It is then used while another one is elected,
    /// and its writes are lost when it joins the others again.
    ///
    /// To prevent that, set `min-replicas-to-write 1` on the servers, with a small
    /// `min-replicas-max-lag`. Such a primary then rejects writes.
    ///
    /// ```
    /// use redis::RedisConnectionInfo;
    /// use tower_idempotency::RedisStore;
    ///
    /// let sentinels = ["redis://:watch@10.0.0.1:26379", "redis://:watch@10.0.0.2:26379", "redis://:watch@10.0.0.3:26379"];
    /// let server = RedisConnectionInfo::default().set_username("shop").set_password("secret");
    /// let store = RedisStore::sentinel(sentinels, "orders", server)?;
    /// # Ok::<(), tower_idempotency::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no sentinel, one of them cannot be read, or the name is empty.
    pub fn sentinel<S: IntoConnectionInfo>(
        sentinels: impl IntoIterator<Item = S>,
        name: &str,
        server: RedisConnectionInfo,
    ) -> Result<Self, StoreError> {
        let sentinels: Result<Vec<_>, _> =
            sentinels.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        Target::sentinel(sentinels.map_err(store_error)?, name, server).map(Self::by_default)
    }

    /// Opens a store on a cluster, from some of its servers.
    ///
    /// Each is a URL (`redis://[user:password@]host:port`) or another form that the crate `redis`
    /// accepts. All servers are reached as the first of them is: with the same credentials, and
    /// with or without TLS.
    ///
    /// [`ping`](crate::store::Store::ping) asks one server of the cluster, and says nothing about
    /// the others.
    ///
    /// ```
    /// use tower_idempotency::RedisStore;
    ///
    /// let store = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])?;
    /// # Ok::<(), tower_idempotency::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no server, one of them cannot be read, or one names a database other than 0.
    pub fn cluster<S: IntoConnectionInfo>(
        servers: impl IntoIterator<Item = S>,
    ) -> Result<Self, StoreError> {
        let servers: Result<Vec<_>, _> =
            servers.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        Target::cluster(servers.map_err(store_error)?).map(Self::by_default)
    }

    /// Uses a connection of the caller's own. Its settings then decide how faults show. A
    /// multiplexed connection does not come back after it was lost. A `ConnectionManager` with its
    /// defaults waits for seconds while the server is down.
    ///
    /// Large bodies pass through this connection too, so a small command may wait behind one. A
    /// store that was [opened](Self::open) has a second connection for them.
    pub fn with_connection(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
    ) -> Self {
        let connection = Connection::foreign(connection);
        Self::on(connection.clone(), connection, Timeout::default())
    }

    /// Sets the version of the protocol for the servers. Default: that of the URL that was
    /// [opened](Self::open), else RESP3.
    ///
    /// Use it for servers and proxies that do not know RESP3, with [`server`](Self::server),
    /// [`sentinel`](Self::sentinel) or [`cluster`](Self::cluster). These use RESP3, whatever their
    /// arguments say. Sentinels are asked as their own URLs say. It changes nothing about a
    /// connection of the caller's own.
    #[must_use]
    pub fn protocol(self, protocol: ProtocolVersion) -> Self {
        match self.connection.target() {
            Some(target) => {
                let target = target.clone().speaking(protocol);
                Self { prefix: self.prefix, ..Self::to(target) }
            }
            None => self,
        }
    }

    fn by_default(target: Target) -> Self {
        Self::to(target.speaking(ProtocolVersion::RESP3))
    }

    fn to(target: Target) -> Self {
        let timeout = Timeout::default();
        let [records, bodies] = Connection::pair(target, &timeout);
        Self::on(records, bodies, timeout)
    }

    fn on(connection: Connection, bodies: Connection, timeout: Timeout) -> Self {
        Self {
            connection,
            bodies: Bodies::on(bodies, timeout.clone()),
            prefix: Arc::from("idempotency:"),
            before_7: Arc::default(),
            unreplied: Arc::new(timeout.clone().into()),
            timeout,
        }
    }
}
