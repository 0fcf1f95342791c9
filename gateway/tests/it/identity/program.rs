//! The gateway as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A folder of its own for each test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("identity-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn write(&self, name: &str, text: &str) {
        // A reader sees the old file or the new one.
        let new = self.0.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.0.join(name)).unwrap();
    }

    /// What `--check` says of a file.
    pub fn check(&self, config: &str) -> String {
        self.write("gateway.toml", config);
        let output = command(&self.0).arg("--check").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tower-idempotency-gateway"));
    command.arg("--config").arg(folder.join("gateway.toml")).env_remove("RUST_LOG");
    command
}

pub struct Gateway {
    child: Child,
    pub folder: Folder,
    /// Where clients come.
    pub url: String,
    /// Where operators come, if the file says so.
    pub operators: Option<String>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grew: Condvar,
}

impl Gateway {
    /// Starts it with a file, to which the address is added.
    pub fn start(folder: Folder, config: &str) -> Self {
        Self::start_in(folder, config, &[])
    }

    /// The same with variables of the environment.
    pub fn start_in(folder: Folder, config: &str, variables: &[(&str, &str)]) -> Self {
        let config = format!("listen = \"127.0.0.1:0\"\n{config}");
        folder.write("gateway.toml", &config);
        let mut command = command(&folder.0);
        command.current_dir(&folder.0).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (from, to) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = to.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                to.grew.notify_all();
            }
        });
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut address = |before: &str| {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            match line.trim_end().strip_prefix(before) {
                Some(address) => address.to_owned(),
                None => panic!("`{line}` in place of `{before}`: {}", log.text.lock().unwrap()),
            }
        };
        let url = address("listening on ");
        let operators = config.contains("operators").then(|| address("operators on "));
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { child, folder, url, operators, log }
    }

    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits until the log has a text this often.
    pub fn wait_for_log(&self, expected: &str, times: usize) {
        let begun = Instant::now();
        let mut text = self.log.text.lock().unwrap();
        while text.matches(expected).count() < times {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "`{expected}` is not in the log: {text}");
            text = self.log.grew.wait_timeout(text, left).unwrap().0;
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
