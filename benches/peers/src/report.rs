//! The tables as Markdown.

use std::path::Path;

use super::load::Keys;
use super::measure::Measured;
use super::rows::Row;
use super::stacks::Store;

/// The columns of the bare handler.
const BARE: [&str; 2] = ["bare µs", "bare busy"];

type Cells = Vec<(String, String)>;

fn head(first: &str, stacks: &[&str]) -> String {
    format!("| {first} | {} |\n|---|{}\n", stacks.join(" | "), "---|".repeat(stacks.len()))
}

/// One row with a cell for each stack that has one.
fn line(name: &str, stacks: &[&str], cells: &Cells) -> String {
    let cells = stacks.iter().map(|stack| {
        let cell = cells.iter().find(|(of, _)| of == stack);
        cell.map_or("–", |(_, cell)| cell).to_owned()
    });
    format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// A table for each figure. A column of the bare handler shows what the ratios are taken of.
pub(crate) fn speed(
    stacks: &[&str],
    rows: &[(Row, Measured)],
    weighed: &[(&str, Vec<(String, f64)>)],
) -> String {
    let mut ratios = head("path: ratio (added µs)", &[BARE.as_slice(), stacks].concat());
    let mut spread = head("path: quartiles of the ratio", stacks);
    let mut redis = head("path: CPU of Redis, µs", stacks);
    for (row, measured) in rows {
        let of_each = |cell: fn(&super::measure::Figures) -> String| -> Cells {
            let cells = measured.stacks.iter().map(|stack| match stack {
                Ok(figures) => (figures.stack.clone(), cell(figures)),
                Err((stack, error)) => (stack.clone(), format!("fails: {error}")),
            });
            cells.collect()
        };
        let mut cells = of_each(|figures| {
            format!("{:.2} ({:+.1})", figures.ratio, figures.added).replace('-', "−")
        });
        cells.push((BARE[0].into(), format!("{:.1}", measured.bare)));
        cells.push((BARE[1].into(), format!("{:.2}", measured.busy)));
        ratios += &line(row.name, &[BARE.as_slice(), stacks].concat(), &cells);
        let cells = of_each(|figures| {
            let [low, high] = figures.quartiles;
            format!("{low:.2}–{high:.2}")
        });
        spread += &line(row.name, stacks, &cells);
        if row.store == Store::Redis && row.load.keys != Keys::None {
            redis += &line(row.name, stacks, &of_each(|figures| format!("{:.1}", figures.redis)));
        }
    }
    let mut bytes = head("", stacks);
    for (name, weights) in weighed {
        let cells = weights.iter().map(|(stack, weight)| (stack.clone(), format!("{weight:.0}")));
        bytes += &line(name, stacks, &cells.collect());
    }
    [ratios, spread, redis, bytes].join("\n")
}

pub(crate) fn probes(store: &str, stacks: &[&str], probes: &[(&str, Vec<String>)]) -> String {
    let mut table = head(&format!("{store}: probe"), stacks);
    for (name, results) in probes {
        table += &format!("| {name} | {} |\n", results.join(" | "));
    }
    table + "\n"
}

/// Prints a table, and writes it between its marks in README.md if that is wanted.
pub(crate) fn publish(mark: &str, table: &str) {
    let table = table.trim();
    println!("{table}\n");
    if std::env::var_os("UPDATE_PEERS").is_none() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (start, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = text.split_once(&start).expect("README.md has the mark");
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(file, format!("{before}{start}{table}\n{end}{after}")).unwrap();
}
