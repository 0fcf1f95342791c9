//! Connections that an upstream closes, and does not say so before.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::site::{Gateway, routes};

/// A server that gives 500 to the first request of its first connection. It closes that connection
/// when the next request comes. uvicorn does so after an exception, but a moment later. Other
/// connections get 200. The receiver gets the number of the connection of each request.
fn upstream() -> (SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, arrivals) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let arrived = arrived.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                for turn in 0.. {
                    if read_message(&mut stream).is_none() || arrived.send(number).is_err() {
                        return;
                    }
                    let status = match (number, turn) {
                        (0, 0) => "500 Internal Server Error",
                        (0, _) => return,
                        _ => "200 OK",
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                    stream.get_mut().write_all(head.as_bytes()).unwrap();
                }
            });
        }
    });
    (address, arrivals)
}

/// The first line of a message that came whole.
fn read_message(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(found) = line.strip_prefix("content-length:") {
            length = found.trim().parse().unwrap();
        }
        if line.is_empty() {
            stream.read_exact(&mut vec![0; length]).ok()?;
            return Some(first);
        }
        if first.is_empty() {
            first = line;
        }
    }
}

/// Sends a request on a connection that stays open, and returns the status. The gateway has
/// connections of their own for each of its workers, and one worker for each client connection.
fn ask(client: &mut BufReader<TcpStream>, line: &str, key: &str) -> u16 {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer acct_1\r\n\
         X-Idempotency-Key: {key}\r\nContent-Length: 0\r\n\r\n"
    );
    client.get_mut().write_all(head.as_bytes()).unwrap();
    let status = read_message(client).unwrap();
    status.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_connection_that_had_a_server_error_is_not_used_again() {
    for line in ["POST /payments", "POST /other", "GET /other"] {
        let (address, arrivals) = upstream();
        let folder = tempfile::tempdir().unwrap();
        let text = format!("store = \"memory\"\n{}", routes(""));
        let gateway = Gateway::start(folder.path(), address, &text);
        let mut client = BufReader::new(TcpStream::connect(gateway.address).unwrap());
        assert_eq!(ask(&mut client, line, "one"), 500, "{line}");
        assert_eq!(ask(&mut client, line, "two"), 200, "{line}");
        // A connection without an error is.
        assert_eq!(ask(&mut client, line, "three"), 200, "{line}");
        assert_eq!(arrivals.try_iter().collect::<Vec<_>>(), [0, 1, 1], "{line}");
    }
}
