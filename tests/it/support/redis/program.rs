//! Which server the tests of Redis run against.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// `redis-6.2` and `valkey-9.1` are the servers that `scripts/servers` fetches. Without this
/// variable, it is the `redis-server` in the PATH.
const VARIABLE: &str = "IDEMPOTENCY_TEST_REDIS";

/// The program of the server. `None` if Redis is not installed: a container runs it then.
pub(super) fn program() -> Option<&'static Path> {
    static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(choose);
    PROGRAM.as_deref()
}

/// Whether a script makes reservations: before 7.0, `SET` takes not both `NX` and `GET`.
pub(crate) fn is_before_7() -> bool {
    static IS_BEFORE_7: LazyLock<bool> = LazyLock::new(|| {
        // The container is a later one.
        let Some(program) = program() else { return false };
        let told = Command::new(program).arg("--version").output().unwrap().stdout;
        let told = String::from_utf8(told).unwrap();
        let major =
            told.split_once("v=").and_then(|(_, version)| version.split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major < 7)
    });
    *IS_BEFORE_7
}

fn choose() -> Option<PathBuf> {
    let program = match env::var(VARIABLE).as_deref() {
        Err(_) | Ok("") => {
            let installed = PathBuf::from("redis-server");
            return runs(&installed).then_some(installed);
        }
        Ok("redis-6.2") => "redis-6.2/redis-server",
        Ok("valkey-9.1") => "valkey-9.1/valkey-server",
        Ok(other) => panic!("{VARIABLE} is {other:?}; it can be redis-6.2, valkey-9.1, or not set"),
    };
    // The tests are a program in a folder of the target directory.
    let tests = env::current_exe().unwrap();
    let fetched = tests.ancestors().map(|folder| folder.join("servers").join(program));
    let fetched = fetched.into_iter().find(|fetched| runs(fetched));
    Some(fetched.unwrap_or_else(|| {
        panic!("{VARIABLE} asks for {program}, which is not there or does not run: run `scripts/servers`")
    }))
}

fn runs(program: &Path) -> bool {
    let output = Stdio::null();
    Command::new(program)
        .arg("--version")
        .stdout(output)
        .status()
        .is_ok_and(|status| status.success())
}
