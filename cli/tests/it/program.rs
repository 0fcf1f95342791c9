//! Runs the program.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The program of this package.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_idempotency");

/// Variables that would change what a test sees.
const VARIABLES: [&str; 7] = [
    "IDEMPOTENCY_STORE",
    "IDEMPOTENCY_SECRET",
    "IDEMPOTENCY_SECRET_FILE",
    "IDEMPOTENCY_ENCRYPTION_KEY",
    "IDEMPOTENCY_OPERATOR",
    "USER",
    "NO_COLOR",
];

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ran {
    /// The JSON documents of the output.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs the program without a terminal. In its words, `_` is a space.
pub(crate) fn run(line: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.args(words(line)).stdin(Stdio::null());
    for name in VARIABLES {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    Ran {
        code: output.status.code().expect("the program was not killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The words of a line.
pub(crate) fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(' ').map(|word| word.replace('_', " "))
}
