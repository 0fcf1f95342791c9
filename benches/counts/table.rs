//! The table in benches/README.md. It is what is printed, and what a check compares with.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The columns, and how much a count may grow before a check fails: nothing, so much, or any.
const COLUMNS: [(&str, Bound); 13] = [
    ("allocations", Bound::By(0.0)),
    ("allocated", Bound::By(0.0)),
    ("copied", Bound::Optimised),
    ("tasks", Bound::By(0.0)),
    // The ends of the process differ by a call or two.
    ("reads", Bound::By(0.2)),
    ("writes", Bound::By(0.2)),
    ("wakes", Bound::By(0.2)),
    ("random", Bound::By(0.2)),
    ("waits", Bound::Any),
    ("futex", Bound::Any),
    ("polls", Bound::Any),
    ("timers", Bound::Any),
    ("instructions", Bound::Any),
];

enum Bound {
    By(f64),
    /// As it is, but only in an optimised build.
    Optimised,
    Any,
}

/// What one request on one path costs, by column. A count that was not taken is missing.
pub(crate) type Counts = BTreeMap<&'static str, f64>;

/// The rows by path and by handler.
#[derive(Default)]
pub(crate) struct Table(pub(crate) Vec<(String, Counts)>);

const START: &str = "<!-- counts -->\n";
const END: &str = "<!-- end of counts -->";

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "README.md"].iter().collect()
}

impl Table {
    /// The table of the file.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(file()).unwrap();
        let (_, rest) = text.split_once(START).expect("benches/README.md has the table");
        let (table, _) = rest.split_once(END).unwrap();
        let row = |line: &str| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let name = format!("{} | {}", cells.next().unwrap(), cells.next().unwrap());
            let counts = COLUMNS.iter().zip(cells);
            let counts =
                counts.filter_map(|((column, _), cell)| Some((*column, cell.parse().ok()?)));
            (name, counts.collect())
        };
        Self(table.trim().lines().skip(2).map(row).collect())
    }

    pub(crate) fn write(&self) {
        let text = std::fs::read_to_string(file()).unwrap();
        let (before, rest) = text.split_once(START).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        std::fs::write(file(), format!("{before}{START}{self}{END}{after}")).unwrap();
    }

    /// The counts that have grown, in words.
    pub(crate) fn grown(&self, name: &str, counts: &Counts) -> Vec<String> {
        let Some((_, before)) = self.0.iter().find(|(row, _)| row == name) else {
            return vec![format!("{name}: not in the table of benches/README.md")];
        };
        let grown = |(column, bound): &(&'static str, Bound)| {
            let most = match bound {
                Bound::By(most) => *most,
                Bound::Optimised if !cfg!(debug_assertions) => 0.0,
                Bound::Optimised | Bound::Any => return None,
            };
            let (before, after) = (before.get(column)?, counts.get(column)?);
            let share = match (name, *column) {
                // Requests that overlap share what they cost.
                (path, _) if path.contains("connections") => 0.02 * before + 0.05,
                // The network chooses the pieces in which a large body arrives, and so how often its
                // buffer grows.
                (path, "reads") if path.contains("KiB") => *before,
                (path, _) if path.contains("request of 256 KiB") => *before,
                // The task of a subscriber tells as many events at a time as there are.
                (path, _) if path.contains("events") || path.contains("all of them") => {
                    0.05 * before
                }
                (path, _) if path.contains("response of") => 0.03 * before,
                _ => 0.0,
            };
            (rounded(*after) > before + most + share)
                .then(|| format!("{name}: {column} {before} before, {} now", rounded(*after)))
        };
        COLUMNS.iter().filter_map(grown).collect()
    }
}

/// Large counts as whole numbers, others with one digit. The two ends of a process can differ by
/// more than what a request costs, hence the bound.
fn rounded(count: f64) -> f64 {
    let digits = if count < 1000.0 { 10.0 } else { 1.0 };
    (count.max(0.0) * digits).round() / digits
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = COLUMNS.map(|(column, _)| column).join(" | ");
        writeln!(f, "| path | | {names} |\n|{}", "---|".repeat(COLUMNS.len() + 2))?;
        for (name, counts) in &self.0 {
            write!(f, "| {name} |")?;
            for (column, _) in &COLUMNS {
                let count =
                    counts.get(column).map_or(String::new(), |count| rounded(*count).to_string());
                write!(f, " {count} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
