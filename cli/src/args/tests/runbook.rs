//! The runbook names only commands that this program has.

use super::*;

const RUNBOOK: &str = include_str!("../../../../src/guide/runbook.md");

/// The values of the words in capitals.
const FILLED_IN: [(&str, &str); 5] = [
    ("KEY", "3fc82ec1"),
    ("STATUS", "201"),
    ("BODY", "body.json"),
    ("SCOPE", "acct_2"),
    ("REASON", "not found at the provider"),
];

/// The words of a command as a shell splits them: it has double quotes only.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn parses(command: &str) {
    let command = FILLED_IN
        .into_iter()
        .fold(command.to_owned(), |command, (word, value)| command.replace(word, value));
    if let Err(error) = Cli::try_parse_from(words(&command)) {
        panic!("{command}\n{error}");
    }
}

#[test]
fn each_incident_of_the_runbook_is_mended_by_at_most_three_commands_of_this_program() {
    let incidents: Vec<_> = RUNBOOK.split("\n## Incident ").skip(1).collect();
    assert_eq!(incidents.len(), 8);
    for (index, incident) in incidents.iter().enumerate() {
        let incident = incident.split("\n# ").next().unwrap();
        let number = format!("{}: ", index + 1);
        assert!(incident.starts_with(&number), "{incident}");
        let commands: Vec<_> =
            incident.lines().filter(|line| line.starts_with("idempotency ")).collect();
        assert!((1..=3).contains(&commands.len()), "{incident}");
        commands.into_iter().for_each(parses);
    }
}

#[test]
fn the_tables_of_the_runbook_name_commands_of_this_program() {
    let rows = RUNBOOK.lines().filter(|line| line.starts_with('|'));
    let code = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let commands: Vec<_> = code.filter(|code| code.starts_with("idempotency ")).collect();
    assert!(commands.len() > 15, "the commands were not found");
    commands.into_iter().for_each(parses);
}
