//! The quick start of the README, as a newcomer runs it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

const DUPLICATES: usize = 20;

/// A program that is ended with the test.
struct Program {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    /// Its file, which is deleted after it has ended.
    file: Option<PathBuf>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the quick start needs {}: {error}", name.display()));
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, file: None }
    }

    /// The address in the next line that it prints.
    fn address(&mut self, before: &str) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("http://").unwrap_or_else(|| panic!("it said: {line:?}"));
        assert!(line.starts_with(before), "{line}");
        rest.split([',', '\n']).next().unwrap().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn shop() -> (Program, String) {
    let mut shop = Program::start(Command::new("python3").arg(examples().join("shop.py")).arg("0"));
    let address = shop.address("the shop is on ");
    (shop, address)
}

/// The gateway with the file of the quick start, on other ports.
fn gateway(shop: &str) -> (Program, String) {
    let file = fs::read_to_string(examples().join("quickstart.toml")).unwrap();
    let (listen, upstream) = ("\"127.0.0.1:8080\"", "\"http://127.0.0.1:8000\"");
    assert!(file.contains(listen) && file.contains(upstream), "{file}");
    let file =
        file.replace(listen, "\"127.0.0.1:0\"").replace(upstream, &format!("\"http://{shop}\""));
    let (_, port) = shop.split_once(':').unwrap();
    let path = std::env::temp_dir().join(format!("quickstart-{}-{port}.toml", std::process::id()));
    fs::write(&path, file).unwrap();
    let program = env!("CARGO_BIN_EXE_tower-idempotency-gateway");
    let mut gateway = Program::start(Command::new(program).arg("--config").arg(&path));
    let address = gateway.address("listening on ");
    gateway.file = Some(path);
    (gateway, address)
}

/// The response to a request on a connection of its own.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let (line, rest) = request.split_once("\r\n").unwrap();
    let head = format!("{line}\r\nHost: {address}\r\nConnection: close\r\n{rest}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn pay(address: &str, key: &str) -> String {
    let body = r#"{"item":"coffee","amount":450}"#;
    let headers = format!(
        "Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    ask(address, &format!("POST /payments HTTP/1.1\r\n{headers}\r\n\r\n{body}"))
}

fn payments(address: &str) -> usize {
    let response = ask(address, "GET /payments HTTP/1.1\r\n\r\n");
    response.matches("\"id\": ").count()
}

/// Sends the same payment many times at once.
fn pay_at_once(address: &str, times: usize) -> Vec<String> {
    let together = Barrier::new(times);
    thread::scope(|scope| {
        let click = || {
            together.wait();
            pay(address, "a-purchase")
        };
        let clicks: Vec<_> = (0..times).map(|_| scope.spawn(click)).collect();
        clicks.into_iter().map(|click| click.join().unwrap()).collect()
    })
}

#[test]
fn many_clicks_become_one_payment() {
    let (_shop, shop_address) = shop();
    let (_gateway, address) = gateway(&shop_address);

    let responses = pay_at_once(&address, DUPLICATES);
    for response in &responses {
        assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
        assert!(response.ends_with(r#"{"id": "pay_1", "amount": 450}"#), "{response}");
    }
    let replays = responses.iter().filter(|response| response.contains("x-idempotent-result"));
    assert_eq!(replays.count(), DUPLICATES - 1);
    assert_eq!(payments(&address), 1);

    let without_key = ask(&address, "POST /payments HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    assert!(without_key.starts_with("HTTP/1.1 400 "), "{without_key}");
    assert_eq!(payments(&address), 1);
}

#[test]
fn without_the_gateway_each_click_is_a_payment() {
    let (_shop, address) = shop();
    pay_at_once(&address, DUPLICATES);
    assert_eq!(payments(&address), DUPLICATES);
}

#[test]
fn the_page_says_whether_it_is_guarded() {
    let (_shop, shop_address) = shop();
    let (_gateway, address) = gateway(&shop_address);
    assert!(ask(&address, "GET / HTTP/1.1\r\n\r\n").contains("<button id=\"pay\">Pay</button>"));
    let status = |address: &str| ask(address, "GET /payments HTTP/1.1\r\n\r\n");
    assert!(status(&address).contains("\"guarded\": true"));
    assert!(status(&shop_address).contains("\"guarded\": false"));
}
