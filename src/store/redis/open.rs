//! The ways to open a store.

use std::sync::Arc;

use ::redis::{IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use super::error::store_error;
use super::url::Target;
use super::{Bodies, Connection, RedisStore};
use crate::store::StoreError;
use crate::store::timeout::Timeout;

impl<C: Clone> RedisStore<C> {
    /// Uses a connection of the caller's own, whose settings then rule how faults show: a
    /// multiplexed connection does not come back after it was lost, and a `ConnectionManager` with
    /// its defaults waits for seconds while the server is down.
    ///
    /// Large bodies pass through this connection too, so a small command may wait behind one. A
    /// store that was [opened](RedisStore::open) has a second connection for them.
    pub fn with_connection(connection: C) -> Self {
        Self::on(connection.clone(), connection, Timeout::default())
    }
}

impl<C> RedisStore<C> {
    fn on(connection: C, bodies: C, timeout: Timeout) -> Self {
        Self {
            connection,
            bodies: Bodies::on(bodies, timeout.clone()),
            prefix: Arc::from("idempotency:"),
            before_7: Arc::default(),
            unanswered: Arc::new(timeout.clone().into()),
            timeout,
        }
    }
}

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
    /// never waits behind a body. They are made when they are first needed and come back by
    /// themselves: to the server, to whichever one the sentinels then name as the primary, to the
    /// servers that then have the slots.
    ///
    /// While a server is down, operations fail as soon as it is known to be. While it is slow or
    /// silent, they fail after the layer's
    /// [store timeout](crate::IdempotencyLayer::store_timeout), or after 2 s without a layer.
    /// A server that has said nothing for a second gets a new connection; the commands that wait on
    /// the old one go on waiting.
    ///
    /// The protocol is RESP3, unless the URL says `?protocol=resp2`, for servers and proxies that
    /// do not know it.
    ///
    /// A URL with sentinels lists these; the name is the one that they know the group by, and the credentials are for
    /// the servers. For sentinels that want credentials too there is [`sentinel`](Self::sentinel). A URL of a cluster
    /// names some of its servers, which tell of the others.
    ///
    /// TLS (`rediss://`, `rediss+sentinel://`, `rediss+cluster://`) needs one of the TLS features of the crate
    /// `redis`. Where `redis` and `rediss` stand, `valkey` and `valkeys` may too, and a Unix socket is
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
    /// ```
    ///
    /// A user without `+eval` and `+evalsha` can begin operations and not end them: each runs once, and
    /// its retries get 503. Once the permission is there, a retry runs it again, in doubt.
    ///
    /// # Errors
    ///
    /// If the URL is none of these. The error's source says what is wrong, without a password.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Target::parse(url).map(Self::to)
    }

    /// Opens a store on the primary of a group of servers that sentinels watch over, known to them by a name.
    ///
    /// Each sentinel is a URL (`redis://[user:password@]host:port`) or what else the crate `redis` takes for one, with
    /// the credentials that the sentinel itself wants. `server` is what the servers want: credentials, and the number
    /// of a database. They are reached with TLS if the first sentinel is.
    ///
    /// The sentinels are asked each time that a connection is made, and again every half a second
    /// while that takes. The address that a majority of them names counts. If there is no majority
    /// within 400 ms, the one that was named most often counts, or the first that is named after
    /// that. The server must itself say that it is the primary.
    ///
    /// They are not asked while a connection stands. A primary that is cut off from the sentinels and its replicas,
    /// but not from this process, goes on being used while another one is elected, and what it was told is lost when
    /// it joins the others again. What prevents that is `min-replicas-to-write 1` on the servers, with a small
    /// `min-replicas-max-lag`: such a primary then refuses to write.
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

    /// Opens a store on a cluster, some servers of which are known.
    ///
    /// Each is a URL (`redis://[user:password@]host:port`) or what else the crate `redis` takes for one. The servers
    /// that they tell of are reached as the first of them is: the same credentials, TLS or none.
    ///
    /// [`ping`](crate::store::Store::ping) asks one server of the cluster, and tells nothing of the others.
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
    pub fn cluster<S: IntoConnectionInfo>(servers: impl IntoIterator<Item = S>) -> Result<Self, StoreError> {
        let servers: Result<Vec<_>, _> =
            servers.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        Target::cluster(servers.map_err(store_error)?).map(Self::by_default)
    }

    /// Sets the version of the protocol that the servers are spoken to in. Default: what the URL
    /// that was [opened](Self::open) says, else RESP3.
    ///
    /// This is for servers and proxies that do not know RESP3, behind [`sentinel`](Self::sentinel)
    /// or [`cluster`](Self::cluster): what these are given does not tell RESP2 from a protocol that
    /// was not set, so they use RESP3. Sentinels themselves are asked as their own URLs say.
    #[must_use]
    pub fn protocol(self, protocol: ProtocolVersion) -> Self {
        let target = self.connection.target().clone().speaking(protocol);
        Self { prefix: self.prefix, ..Self::to(target) }
    }

    fn by_default(target: Target) -> Self {
        Self::to(target.speaking(ProtocolVersion::RESP3))
    }

    fn to(target: Target) -> Self {
        let timeout = Timeout::default();
        let [records, bodies] = Connection::pair(target, &timeout);
        Self::on(records, bodies, timeout)
    }
}
