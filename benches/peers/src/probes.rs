//! What each stack does when it gets hard. Each probe looks at responses and counts runs.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{sleep, spawn};
use std::time::Duration;

use super::probed::TAKES;
use super::stacks::{SHORT_LEASE, header};
use super::support::process::Server;

/// One request to a server.
#[derive(Clone)]
struct Ask {
    address: String,
    header: &'static str,
    key: &'static str,
    target: &'static str,
    content_type: &'static str,
    body: &'static str,
}

/// A response: its status, and its body, which names the run.
#[derive(Clone, PartialEq)]
struct Got {
    status: u16,
    body: String,
}

impl Ask {
    fn new(stack: &str, server: &Server, key: &'static str) -> Self {
        Self {
            address: server.address.clone(),
            header: header(stack),
            key,
            target: "/payments",
            content_type: "application/json",
            body: r#"{"amount":1}"#,
        }
    }

    fn begin(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let Self { header, key, target, content_type, body, .. } = self;
        let length = body.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}: {key}\r\n\
             Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn send(&self) -> Got {
        got(self.begin())
    }
}

fn got(mut stream: TcpStream) -> Got {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    Got { status: head[9..12].parse().unwrap(), body: body.to_owned() }
}

fn runs(server: &Server) -> u64 {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let request = "GET /runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    got(stream).body.parse().unwrap()
}

fn start(stack: &str, store: &str) -> Server {
    Server::start(&["--serve", stack, store, "probed"])
}

/// Twenty requests with one key at the same time.
fn duplicates(stack: &str, store: &str) -> String {
    let server = start(stack, store);
    let ask = Ask::new(stack, &server, "probe-duplicates-000000000000");
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let ask = ask.clone();
            spawn(move || ask.send().status)
        })
        .collect();
    let mut statuses = BTreeMap::<u16, usize>::new();
    for ask in asks {
        *statuses.entry(ask.join().unwrap()).or_default() += 1;
    }
    let statuses: Vec<_> =
        statuses.iter().map(|(status, times)| format!("{times} × {status}")).collect();
    format!("{}; {}", counted(runs(&server)), statuses.join(", "))
}

fn counted(runs: u64) -> String {
    if runs == 1 { "1 run".into() } else { format!("**{runs} runs**") }
}

/// The same key with something else in the request. A replay is another operation's response.
fn differing(stack: &str, store: &str, differ: fn(&mut Ask)) -> String {
    let server = start(stack, store);
    let first = Ask::new(stack, &server, "probe-differing-0000000000000");
    let stored = first.send();
    assert_eq!(stored.status, 201);
    let mut other = first.clone();
    differ(&mut other);
    let got = other.send();
    if got == stored {
        return "**replay**".into();
    }
    match got.status {
        201 => "runs as its own key".into(),
        status => status.to_string(),
    }
}

/// The client goes while its handler runs, and retries later.
fn hang_up(stack: &str, store: &str) -> String {
    let server = start(stack, store);
    let ask = Ask::new(stack, &server, "probe-hang-up-000000000000000");
    let stream = ask.begin();
    while runs(&server) == 0 {}
    drop(stream);
    sleep(TAKES * 2);
    let retry = ask.send();
    format!("{}, retry {}", counted(runs(&server)), retry.status)
}

/// A process stops in mid-handler until its lease has lapsed. Another process runs the operation.
/// Then the first goes on. A fenced one changes nothing: the record stays that of the second.
fn late_writer(stack: &str, store: &str) -> String {
    if store == "memory" {
        return "one process only".into();
    }
    let (late, other) = (start(stack, store), start(stack, store));
    let ask = Ask::new(stack, &late, "probe-late-writer-00000000000");
    let of_late = ask.begin();
    while runs(&late) == 0 {}
    late.process.signal("STOP");
    sleep(SHORT_LEASE * 2);
    let ask = Ask { address: other.address.clone(), ..ask };
    let mut second = ask.send();
    for _ in 0..10 {
        if second.status == 201 {
            break;
        }
        sleep(SHORT_LEASE / 2);
        second = ask.send();
    }
    late.process.signal("CONT");
    let of_late = got(of_late);
    if second.status != 201 {
        return format!("no second run: {}", second.status);
    }
    let record = ask.send();
    let late_got = if of_late == second { "the record".into() } else { told(&of_late) };
    let verdict = if record == second { "fenced" } else { "**overwrites**" };
    format!("{verdict}; the late client gets {late_got}")
}

fn told(got: &Got) -> String {
    if got.status == 201 { "its own response".into() } else { got.status.to_string() }
}

type Probe = fn(&str, &str) -> String;

const PROBES: [(&str, Probe); 7] = [
    ("20 concurrent requests, same key", duplicates),
    ("same key, other body", |stack, store| differing(stack, store, |ask| ask.body = "{}")),
    ("same key, other query", |stack, store| {
        differing(stack, store, |ask| ask.target = "/payments?dry_run=1")
    }),
    ("same key, other path", |stack, store| differing(stack, store, |ask| ask.target = "/others")),
    ("same key, other content type", |stack, store| {
        differing(stack, store, |ask| ask.content_type = "text/plain")
    }),
    ("client hangs up in mid-handler", hang_up),
    ("late writer whose lease lapsed", late_writer),
];

/// The name of each probe, and what the stack did, in the order of `stacks`.
pub(crate) fn all(
    stacks: &[&str],
    store: &str,
    only: &str,
    flush: impl Fn(),
) -> Vec<(&'static str, Vec<String>)> {
    PROBES
        .iter()
        .filter(|(name, _)| name.contains(only))
        .map(|(name, probe)| {
            let results = stacks.iter().map(|stack| {
                flush();
                eprintln!("{name}: {stack}");
                probe(stack, store)
            });
            (*name, results.collect())
        })
        .collect()
}
