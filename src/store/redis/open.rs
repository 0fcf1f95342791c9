//! The ways to open a store.

use ::redis::{IntoConnectionInfo, RedisConnectionInfo};

use super::super::StoreError;
use super::error::store_error;
use super::url::Target;
use super::{Connection, RedisStore};

impl RedisStore {
    /// Opens a store on one server, on a group of servers under Sentinel, or on a cluster:
    ///
    /// ```text
    /// redis://[user:password@]host:port[/db]
    /// redis+sentinel://[user:password@]host:port,host:port[,…]/name[/db]
    /// redis+cluster://[user:password@]host:port[,host:port…]
    /// ```
    ///
    /// The connection is made with the first operation and comes back by itself: to the server, to whichever one the
    /// sentinels then name as the primary, to the servers that then have the slots. While a server is down,
    /// operations fail as soon as it is known to be, and while it is silent, within a second or so; the layer's store
    /// timeout holds in any case.
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
    /// The sentinels are asked each time that a connection is made. The address that a majority of them names counts;
    /// if there is no majority within 400 ms, the one that was named most often. The server must itself say that it is
    /// the primary.
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
    /// # Ok::<(), tower_idempotency::StoreError>(())
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
        Target::sentinel(sentinels.map_err(store_error)?, name, server).map(Self::to)
    }

    /// Opens a store on a cluster, some servers of which are known.
    ///
    /// Each is a URL (`redis://[user:password@]host:port`) or what else the crate `redis` takes for one. The servers
    /// that they tell of are reached as the first of them is: the same credentials, TLS or none.
    ///
    /// [`ping`](crate::Store::ping) asks one server of the cluster, and tells nothing of the others.
    ///
    /// ```
    /// use tower_idempotency::RedisStore;
    ///
    /// let store = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])?;
    /// # Ok::<(), tower_idempotency::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no server, one of them cannot be read, or one names a database other than 0.
    pub fn cluster<S: IntoConnectionInfo>(servers: impl IntoIterator<Item = S>) -> Result<Self, StoreError> {
        let servers: Result<Vec<_>, _> =
            servers.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        Target::cluster(servers.map_err(store_error)?).map(Self::to)
    }

    fn to(target: Target) -> Self {
        Self::with_connection(Connection::to(target))
    }
}
