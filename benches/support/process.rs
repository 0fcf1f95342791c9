//! Processes on cores of their own, and what the system says of them. Linux only.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use super::Redis;

pub const SERVER_CORE: &str = "0";
pub const OTHER_CORE: &str = "1";

/// A child process that ends with its guard.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Sends a signal to it.
    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub fn cpu(&self) -> f64 {
        cpu(self.0.id())
    }

    pub fn resident_bytes(&self) -> f64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
    }

    /// The peak of the resident memory, in bytes.
    pub fn peak_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
    }
}

/// The CPU time of a process over all its threads, in microseconds.
pub fn cpu(process: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanoseconds: f64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .sum();
    nanoseconds / 1e3
}

/// This program as a server. It prints its address first.
pub struct Server {
    pub process: Process,
    pub address: String,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset, of util-linux, starts the server on a core of its own");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "the server {arguments:?} does not start");
        Self { process: Process(child), address: address.trim().to_owned() }
    }
}

/// A figure that the server reports.
pub fn info(redis: &Redis, figure: &str) -> f64 {
    let info = Command::new("redis-cli").args(["-p", &redis.port, "info"]).output().unwrap();
    let info = String::from_utf8(info.stdout).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

pub fn flush(redis: &Redis) {
    Command::new("redis-cli").args(["-p", &redis.port, "flushall"]).output().unwrap();
}

pub fn nonce() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros().try_into().unwrap()
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    quantile(&mut figures, 0.5)
}

/// The figure below which this share of them lies.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A share is from 0 to 1.
pub fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[((figures.len() - 1) as f64 * share).round() as usize]
}
