//! Starts a server, sends the load from this process, and reads what the server counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::load::{Keys, Load};
use super::support::Redis;
use super::table::Counts;

/// The programs that run here.
pub(crate) struct Tools {
    pub(crate) strace: bool,
    pub(crate) valgrind: bool,
}

impl Tools {
    pub(crate) fn find() -> Self {
        // A sandbox may forbid to trace.
        Self { strace: runs(&["strace", "-c", "true"]), valgrind: runs(&["valgrind", "--version"]) }
    }
}

/// What a request costs, with the tools that run here.
pub(crate) fn all(stack: &str, load: &Load, redis: &Redis, tools: &Tools) -> Counts {
    let of_memory = ["allocations", "allocated", "copied", "tasks"];
    let mut counts: Counts = of_memory.into_iter().zip(memory(stack, load, redis)).collect();
    if tools.strace {
        let calls = calls(stack, load, redis);
        counts.extend(CALLS.map(|(column, names)| {
            (column, names.iter().filter_map(|name| calls.get(*name)).sum())
        }));
    }
    if tools.valgrind {
        let profile = profile(stack, load, redis);
        counts.extend(PROFILE.map(|(column, _)| (column, profile[column])));
    }
    counts
}

/// The system calls that are counted. tokio writes to an eventfd to wake its own thread, which it
/// does if a timer is armed that is due before all others.
const CALLS: [(&str, &[&str]); 6] = [
    ("reads", &["recvfrom", "read", "readv"]),
    ("writes", &["sendto", "sendmsg", "writev"]),
    ("wakes", &["write"]),
    ("random", &["getrandom"]),
    ("waits", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ("futex", &["futex"]),
];

const BOUND: Duration = Duration::from_mins(2);

/// A server in a process of its own.
struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    /// Starts the program by `command`, which traces it, or is empty.
    fn start(command: &[&str], stack: &str, redis: &Redis) -> Self {
        let program = std::env::current_exe().unwrap();
        let url = redis.url();
        let words = [command, &[program.to_str().unwrap(), "--serve", stack, &url]].concat();
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if command.is_empty() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        Self { process, input, output, address: address.trim().to_owned() }
    }

    /// Sends `requests` over each connection.
    fn load(&self, load: &Load, nonce: u64, requests: u64) {
        let load = Load { address: self.address.clone(), ..load.clone() };
        load.run(nonce, requests * load.connections as u64, BOUND);
    }

    /// What the server counted per request since the last report.
    fn report(&mut self, how: &str) -> Vec<f64> {
        writeln!(self.input, "{how}").unwrap();
        let mut report = String::new();
        self.output.read_line(&mut report).unwrap();
        report.split_whitespace().map(|count| count.parse().unwrap()).collect()
    }

    fn stop(mut self) {
        drop(self.input);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

fn nonces(load: &Load) -> [u64; 2] {
    let nonce = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let nonce = u64::try_from(nonce).unwrap();
    // The warm-up uses the first keys of firsts, and sends each key of replays once.
    [nonce, if load.keys == Keys::Unique { nonce + 1 } else { nonce }]
}

/// Requests over each connection, before anything is counted. As many as a pool has keys.
const WARM_UP: u64 = 64;

/// Two for each of the 1,024 shards of the memory store, because a shard allocates at its first
/// record.
const LONG_WARM_UP: u64 = 2048;

/// Allocations, bytes allocated, bytes copied and tasks spawned per request.
fn memory(stack: &str, load: &Load, redis: &Redis) -> Vec<f64> {
    let mut server = Server::start(&[], stack, redis);
    let [warm_up, counted] = nonces(load);
    let (how, requests) =
        if load.connections == 1 { ("median", LONG_WARM_UP) } else { ("mean", WARM_UP) };
    server.load(load, warm_up, requests);
    server.report(how);
    server.load(load, counted, 256);
    let counts = server.report(how);
    server.stop();
    counts
}

/// Counts of two whole runs of different length. Their difference has neither the start nor the end
/// of the process.
fn difference(
    requests: u64,
    load: &Load,
    count: impl Fn(&dyn Fn(&[&str]), &str) -> BTreeMap<String, f64>,
    start: impl Fn(&[&str]) -> Server,
) -> BTreeMap<String, f64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts");
    let file = file.to_str().unwrap();
    let run = |requests: u64| {
        count(
            &|command| {
                let server = start(command);
                let [warm_up, counted] = nonces(load);
                server.load(load, warm_up, WARM_UP);
                server.load(load, counted, requests);
                server.stop();
            },
            file,
        )
    };
    let (short, long) = (run(requests), run(3 * requests));
    let per_request = |name: &String, count: &f64| {
        let difference = count - short.get(name).unwrap_or(&0.0);
        difference / (2 * requests * load.connections as u64) as f64
    };
    long.iter().map(|(name, count)| (name.clone(), per_request(name, count))).collect()
}

/// Whether a program can be started.
fn runs(program: &[&str]) -> bool {
    Command::new(program[0])
        .args(&program[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// System calls per request, by name.
fn calls(stack: &str, load: &Load, redis: &Redis) -> BTreeMap<String, f64> {
    let requests = if load.connections == 1 { 40 } else { 10 };
    difference(
        requests,
        load,
        |run, file| {
            run(&["strace", "-f", "-c", "-o", file]);
            system_calls(Path::new(file))
        },
        |command| Server::start(command, stack, redis),
    )
}

/// The table of `strace -c`: share, seconds, µs, calls, errors if any, name.
fn system_calls(file: &Path) -> BTreeMap<String, f64> {
    let table = std::fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
    };
    table.lines().filter_map(row).filter(|(name, _)| name != "total").collect()
}

/// Instructions, polls of tasks and timers armed per request.
fn profile(stack: &str, load: &Load, redis: &Redis) -> BTreeMap<String, f64> {
    let requests = if load.connections == 1 { 50 } else { 4 };
    difference(
        requests,
        load,
        |run, file| {
            let out = format!("--callgrind-out-file={file}");
            run(&["valgrind", "--quiet", "--tool=callgrind", "--compress-strings=no", &out]);
            read_profile(Path::new(file))
        },
        |command| Server::start(command, stack, redis),
    )
}

/// The counts of a profile. The functions of tokio cannot be inlined: the first is called by
/// pointer, and the second is large.
const PROFILE: [(&str, &str); 3] =
    [("polls", "tokio::runtime::task::raw::poll"), ("timers", "reregister"), ("instructions", "")];

/// All instructions, and the calls of each function.
fn read_profile(file: &Path) -> BTreeMap<String, f64> {
    let profile = std::fs::read_to_string(file).unwrap();
    let mut counts = BTreeMap::from(PROFILE.map(|(count, _)| (count.to_owned(), 0.0)));
    let mut callee = "";
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let calls: f64 = calls.split(' ').next().unwrap().parse().unwrap();
            let counted = PROFILE.iter().find(|(_, name)| callee.contains(name));
            if let Some((count, _)) = counted.filter(|(_, name)| !name.is_empty()) {
                *counts.get_mut(*count).unwrap() += calls;
            }
        } else if let Some(total) = line.strip_prefix("totals: ") {
            counts.insert("instructions".into(), total.trim().parse().unwrap());
        }
    }
    counts
}
