//! What the doctor found, for people.

use anstyle::{AnsiColor, Style};
use tower_idempotency::operate::{CheckItem, CheckResult};
use unicode_width::UnicodeWidthStr as _;

use super::clean::clean;
use super::table::wrapped;
use crate::terminal::painted;

/// Each finding. Those that are not fine have why it matters, and what to do.
pub(crate) fn lines(items: &[CheckItem], width: usize, has_colours: bool) -> Vec<String> {
    let names = items.iter().map(|item| item.name.width()).max().unwrap_or(0);
    items.iter().flat_map(|item| finding(item, names, width, has_colours)).collect()
}

fn finding(item: &CheckItem, names: usize, width: usize, has_colours: bool) -> Vec<String> {
    let (word, style) = match item.result {
        CheckResult::Passed => ("ok", AnsiColor::Green.on_default()),
        CheckResult::Open => ("OPEN", AnsiColor::Red.on_default().bold()),
        _ => ("look", AnsiColor::Yellow.on_default()),
    };
    let mut texts = vec![item.found.clone()];
    if item.result != CheckResult::Passed {
        texts.push(item.why.to_owned());
        texts.push(format!("-> {}", item.remedy));
    }
    let indent = 4 + 2 + names + 2;
    let lines = texts.iter().flat_map(|text| wrapped(&clean(text), width.saturating_sub(indent)));
    let mut lines: Vec<_> = lines.map(|line| format!("{:indent$}{line}", "")).collect();
    if let Some(first) = lines.first_mut() {
        let word =
            format!("{}{:pad$}", painted(word, style, has_colours), "", pad = 4 - word.len());
        let name = painted(item.name, Style::new().bold(), has_colours);
        let pad = names - item.name.width();
        *first = format!("{word}  {name}{:pad$}  {}", "", first.trim_start());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_finding_has_its_reason_and_its_remedy() {
        let why = "an evicted record lets its operation run again";
        let items = [
            CheckItem::new("clock", true, "3 ms from the clock of this process", "", ""),
            CheckItem::new(
                "eviction",
                false,
                "maxmemory-policy is allkeys-lru",
                why,
                "set `maxmemory-policy noeviction`",
            ),
        ];
        let expected = [
            "ok    clock     3 ms from the clock of this",
            "                process",
            "OPEN  eviction  maxmemory-policy is",
            "                allkeys-lru",
            "                an evicted record lets its",
            "                operation run again",
            "                -> set `maxmemory-policy",
            "                noeviction`",
        ];
        assert_eq!(lines(&items, 44, false), expected);
    }
}
