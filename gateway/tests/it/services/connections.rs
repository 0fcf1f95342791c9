//! Connections that an upstream closes, and does not say so before.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::site::{Gateway, routes};
use super::wire::{get, post};

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
                    if !read_request(&mut stream) || arrived.send(number).is_err() {
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

/// Whether a whole request came.
fn read_request(stream: &mut BufReader<TcpStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(found) = line.strip_prefix("content-length:") {
            length = found.trim().parse().unwrap();
        }
        if line.is_empty() {
            return stream.read_exact(&mut vec![0; length]).is_ok();
        }
    }
}

#[test]
fn a_connection_that_had_a_server_error_is_not_used_again() {
    let payment = |key| post("/payments").key(key).body("1");
    let unguarded = post("/other").body("1");
    for [first, second] in [
        [payment("one"), payment("two")],
        [unguarded.clone(), unguarded],
        [get("/other"), get("/other")],
    ] {
        let (address, arrivals) = upstream();
        let folder = tempfile::tempdir().unwrap();
        let text = format!("store = \"memory\"\n{}", routes(""));
        let gateway = Gateway::start(folder.path(), address, &text);
        assert_eq!(gateway.send(&first).status, 500);
        assert_eq!(gateway.send(&second).status, 200);
        // A connection without an error is.
        assert_eq!(gateway.send(&payment("three")).status, 200);
        drop(gateway);
        assert_eq!(arrivals.try_iter().collect::<Vec<_>>(), [0, 1, 1]);
    }
}
