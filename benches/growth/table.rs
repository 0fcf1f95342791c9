//! A table that is printed as Markdown and written as CSV.

use std::path::PathBuf;

pub(crate) struct Table {
    file: &'static str,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Prints the head. `file` is the name of the CSV file without its ending.
    pub(crate) fn new(file: &'static str, columns: &[&str]) -> Self {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        println!("\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        Self { file, lines: vec![columns] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        println!("| {} |", cells.join(" | "));
        self.lines.push(cells);
    }

    pub(crate) fn write(&self) {
        let name = format!("{}.csv", self.file);
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "docs", "pictures", &name].iter().collect();
        let lines: String = self.lines.iter().map(|cells| cells.join(",") + "\n").collect();
        std::fs::write(path, lines).unwrap();
    }
}
