//! The commands of the runbook, and the desk at which an operator runs them.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::sandbox::command_line;

/// The guide, as it is published.
pub(super) struct Runbook(&'static str);

impl Runbook {
    pub(super) fn read() -> Self {
        Self(include_str!("../../../../src/guide/runbook.md"))
    }

    /// The commands of an incident, in their order.
    pub(super) fn commands(&self, incident: usize) -> Vec<String> {
        let head = format!("\n## Incident {incident}: ");
        let (_, section) = self.0.split_once(&head).expect("the runbook has the incident");
        let section = section.split("\n## ").next().unwrap();
        let (_, code) = section.split_once("```sh\n").expect("the incident has commands");
        let (code, _) = code.split_once("```").unwrap();
        code.lines().map(str::to_owned).collect()
    }
}

/// The values of the words in capitals.
#[derive(Default)]
pub(super) struct Values {
    pub(super) key: String,
    pub(super) body: String,
    pub(super) scope: String,
}

/// Where an operator runs commands.
pub(super) struct Desk {
    program: PathBuf,
    variables: Vec<(String, String)>,
    ran: Cell<usize>,
}

impl Desk {
    pub(super) fn of(store: &str) -> Self {
        let program = command_line();
        let variables = [("IDEMPOTENCY_STORE", store), ("IDEMPOTENCY_OPERATOR", "night shift")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { program, variables: variables.into(), ran: Cell::new(0) }
    }

    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = self.variables.clone();
        variables.push((name.to_owned(), value.to_owned()));
        Self { program: self.program.clone(), variables, ran: Cell::new(0) }
    }

    pub(super) fn ran(&self) -> usize {
        self.ran.get()
    }

    /// Runs a command, which ends with this code. A change does not ask, and a list is not cut.
    pub(super) fn run(&self, line: &str, values: &Values, code: i32) -> String {
        self.ran.set(self.ran.get() + 1);
        let mut words = words(line).into_iter().map(|word| match &*word {
            "KEY" => values.key.clone(),
            "BODY" => values.body.clone(),
            "SCOPE" => values.scope.clone(),
            "STATUS" => "201".to_owned(),
            "REASON" => "pay_7 at the provider".to_owned(),
            _ => word,
        });
        assert_eq!(words.next().as_deref(), Some("idempotency"), "{line}");
        let mut command = Command::new(&self.program);
        command.args(words);
        match line.split(' ').nth(1) {
            Some("list") => command.args(["--limit", "2000"]),
            Some("settle" | "release" | "erase") => command.arg("--yes"),
            _ => &mut command,
        };
        // The scope is digested as the service digests it.
        let ran =
            command.envs(self.variables.iter().cloned()).stdin(Stdio::null()).output().unwrap();
        let [out, errors] = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(ran.status.code(), Some(code), "{line}\n{out}\n{errors}");
        out
    }
}

/// The words of a line, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for char in line.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}
