//! The programs of PostgreSQL, and the processes that they make.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Runs a program as a user that PostgreSQL accepts, because it does not run as root. The path
/// becomes that user's.
pub(crate) fn as_server(command: &mut Command, path: Option<&Path>) {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    let is_root = || tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0;
    let number = |option| -> u32 {
        let told = Command::new("id").args([option, "nobody"]).output().unwrap();
        String::from_utf8(told.stdout).unwrap().trim().parse().expect("there is a user `nobody`")
    };
    let Some((user, group)) = *USER.get_or_init(|| is_root().then(|| (number("-u"), number("-g"))))
    else {
        return;
    };
    // The directory of the test may not be one that this user can see.
    command.uid(user).gid(group).current_dir("/");
    if let Some(path) = path {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// Finds a program of the server: in the path, where `pg_config` says, or where Debian puts it.
pub(super) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = Command::new("pg_config").arg("--bindir").output();
    let config =
        config.ok().map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<_> =
        debian.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    debian.sort();
    let places = std::env::split_paths(&path)
        .chain(config)
        .chain([PathBuf::from("/usr/sbin")])
        .chain(debian.into_iter().rev());
    let found = places.map(|place| place.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "this test starts a server of its own, and there is no `{name}`: run `scripts/servers`"
        )
    })
}

/// The directory of a server that no test has used, to be copied. Without templates it has one
/// database of three, and is copied in a third of the time.
pub(super) fn template(with_templates: bool) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let initdb = program("initdb");
    let version = Command::new(&initdb).arg("--version").output().unwrap().stdout;
    let version: String =
        String::from_utf8_lossy(&version).chars().filter(char::is_ascii_alphanumeric).collect();
    let kind = if with_templates { "whole" } else { "small" };
    let cached = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{version}-{kind}"));
    if cached.exists() {
        return cached;
    }
    let made = tempfile::tempdir().unwrap();
    let mut command = Command::new(initdb);
    command.args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8"]);
    command.args(["--wal-segsize=1", "-D"]);
    command.arg(made.path().join("data"));
    as_server(&mut command, Some(made.path()));
    let made_by = command.output().unwrap();
    assert!(made_by.status.success(), "{}", String::from_utf8_lossy(&made_by.stderr));
    if !with_templates {
        drop_templates(&made.path().join("data"));
    }
    // Another process may do the same, so it appears there whole or not at all.
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copied =
        Command::new("cp").arg("-a").arg(made.path().join("data")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    if std::fs::rename(copy.path().join("data"), &cached).is_err() {
        assert!(cached.exists());
    }
    cached
}

/// Drops the databases from which others are made.
fn drop_templates(data: &Path) {
    let mut command = Command::new(program("postgres"));
    command.args(["--single", "-c", "fsync=off", "-D"]).arg(data).arg("postgres");
    as_server(&mut command, None);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let statements = "UPDATE pg_database SET datistemplate = false;\n\
                      DROP DATABASE template0;\nDROP DATABASE template1;\n";
    server.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    assert!(server.wait().unwrap().success());
}

/// Starts a server and waits until it says that it is ready; `None` if it ended before.
pub(super) fn spawn(mut command: Command, ready: &str) -> Option<Child> {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.contains(ready)) {
        // A pipe that is not emptied would stop the server when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().unwrap();
    None
}

/// The processes that a process has made and that are still there.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let table = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap().stdout;
    let table = String::from_utf8(table).unwrap();
    let pairs = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    });
    pairs.filter(|(_, made_by)| *made_by == parent).map(|(id, _)| id).collect()
}

/// One that has ended and was not looked after by its parent yet is gone, too.
pub(super) fn is_gone(process: u32) -> bool {
    let state = Command::new("ps")
        .args(["-o", "stat=", "-p", &process.to_string()])
        .output()
        .unwrap()
        .stdout;
    state.is_empty() || state.starts_with(b"Z")
}

/// Some of them may have ended already.
pub(super) fn signal(signal: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let processes = processes.iter().map(ToString::to_string);
        Command::new("kill").arg(signal).args(processes).stderr(Stdio::null()).status().unwrap();
    }
}
