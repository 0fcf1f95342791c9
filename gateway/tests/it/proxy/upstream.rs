//! Upstreams that note each byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::raw::{Bytes, Message, Raw};

/// A server of a test.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    connections: Arc<Mutex<Vec<Bytes>>>,
    serving: AbortHandle,
}

impl Upstream {
    /// Does this with each connection, which has a number.
    pub(super) async fn start<F>(converse: impl Fn(usize, Raw) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), converse).await
    }

    pub(super) async fn start_at<F>(
        address: SocketAddr,
        converse: impl Fn(usize, Raw) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<_>>> = Arc::default();
        let noted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let raw = Raw::new(stream);
                noted.lock().unwrap().push(Arc::clone(&raw.seen));
                tokio::spawn(converse(number, raw));
            }
        });
        Self { address, connections, serving: serving.abort_handle() }
    }

    /// Gives these bytes for each request.
    pub(super) async fn responding(
        respond: impl Fn(&Message) -> Vec<u8> + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |_, mut raw| {
            let respond = respond.clone();
            async move {
                while let Some(request) = raw.request().await {
                    if !raw.try_send(respond(&request)).await {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Responds to each request with its target.
    pub(super) async fn telling() -> Self {
        Self::responding(|request| ok(request.head.first.split(' ').nth(1).unwrap())).await
    }

    /// The bytes that came on each connection.
    pub(super) fn seen(&self) -> Vec<String> {
        let connections = self.connections.lock().unwrap();
        let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.lock().unwrap()).into();
        connections.iter().map(text).collect()
    }

    /// All of them as one text.
    pub(super) fn heard(&self) -> String {
        self.seen().concat()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// From now on connections are refused.
    pub(super) fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A response with a text.
pub(super) fn ok(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}
