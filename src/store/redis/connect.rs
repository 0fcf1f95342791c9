//! The connection that the store makes for itself.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult};

/// Opens a connection that comes back by itself. Nothing is sent before the first operation.
///
/// The defaults of the driver are made for programs that would rather wait than fail: with the server down, each call
/// would wait for 9.5 s. Here a call that finds the server down fails at once and starts one attempt to reconnect.
pub(super) fn open(url: &str) -> RedisResult<ConnectionManager> {
    let client = Client::open(info(url)?)?;
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(200))
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_response_timeout(Some(Duration::from_millis(500)))
        // As many commands as one worker can have in hand; the default of 50 makes callers wait for one another.
        .set_pipeline_buffer_size(1024);
    ConnectionManager::new_lazy_with_config(client, config)
}

fn info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    // RESP3 tells the driver at once when the server closes the connection; RESP2 lets the next call find out.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(1));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    // What was sent and is not acknowledged for this long means that the peer is gone.
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(Duration::from_secs(2));
    Ok(info.set_redis_settings(redis).set_tcp_settings(tcp))
}
