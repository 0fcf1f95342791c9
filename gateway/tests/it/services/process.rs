//! Processes that a test starts and kills.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A process and all that it started. It ends when it is dropped.
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process whose output goes to `log`.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Waits until it is ready, or panics with what it wrote.
    pub(super) fn ready<T>(&mut self, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if let Some(found) = look(&log) {
                return found;
            }
            let has_ended = self.child.try_wait().unwrap().is_some();
            let is_late = begun.elapsed() > Duration::from_mins(1);
            assert!(!has_ended && !is_late, "{} does not become ready: {log}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it and all that it started as a crash of the machine would.
    pub(super) fn kill(&mut self) {
        if !self.has_ended() {
            // The group cannot be another one's before the process was waited for.
            let group = format!("-{}", self.child.id());
            let killed = Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            assert!(killed.success(), "{} cannot be killed", self.name);
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.child.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

/// Waits for what must come, but not for ever.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come to that: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A free port below those that the system gives to outgoing connections. Otherwise such a
/// connection could take the port of a server while it is down.
pub(super) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 23_000..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let length = RANGE.end - RANGE.start;
    let own = u16::try_from(std::process::id() * 61 % u32::from(length)).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = RANGE.start + (own + step) % length;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
