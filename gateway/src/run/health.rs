//! Asks a gateway that runs whether it is alive.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::file::File;

const LIMIT: Duration = Duration::from_secs(3);

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Sends `GET /healthz` to the second listener of a file.
///
/// # Errors
///
/// A text that says why the gateway does not count as alive.
pub(super) fn check(file: &File) -> Result<(), String> {
    let operators = file.operators.as_ref().ok_or(
        "--healthcheck asks the second listener: write operators = { listen = \"127.0.0.1:9090\" }",
    )?;
    let address = reachable(operators.value.listen);
    let status = ask(address).map_err(|error| format!("{address}: {error}"))?;
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("{address}: it responded with `{}`", status.trim_end()))
}

/// The first line of the response.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(REQUEST)?;
    let mut response = Vec::new();
    stream.take(1 << 10).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).lines().next().unwrap_or_default().to_owned())
}

/// Where this machine reaches a listener of all its addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let local = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(local, address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn file(operators: &str) -> File {
        let text =
            format!("listen = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\n{operators}\n");
        File::parse(&text).unwrap()
    }

    /// What `check` says of a listener that gives this response to one request.
    fn said_of(response: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
        });
        let said = check(&file(&format!("operators = {{ listen = \"0.0.0.0:{port}\" }}")));
        server.join().unwrap();
        said
    }

    #[test]
    fn only_a_200_is_alive() {
        assert_eq!(said_of("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        for response in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0\r\n", ""] {
            assert!(said_of(response).is_err(), "{response}");
        }
    }

    #[test]
    fn it_says_what_is_missing() {
        assert!(check(&file("")).unwrap_err().contains("write operators"));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unheard = file(&format!("operators = {{ listen = \"{free}\" }}"));
        assert!(check(&unheard).unwrap_err().contains(&free.to_string()));
    }
}
