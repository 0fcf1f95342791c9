//! Aligned tables that fit a width.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::clean::clean;
use crate::terminal::painted;

/// Between two columns.
const GAP: usize = 2;
/// A column of a [`Table`].
pub(crate) struct Column {
    title: &'static str,
    is_right: bool,
    /// The table may shorten the column to this width.
    least: Option<usize>,
    /// A table that is too wide leaves out the columns with the highest number first. 0 stays.
    rank: u8,
}

impl Column {
    /// A column whose cells begin on the left.
    pub(crate) fn left(title: &'static str) -> Self {
        Self { title, is_right: false, least: None, rank: 0 }
    }

    /// A column of numbers.
    pub(crate) fn right(title: &'static str) -> Self {
        Self { is_right: true, ..Self::left(title) }
    }

    /// Lets the table leave the column out.
    pub(crate) fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Lets the table shorten the column to this width.
    pub(crate) fn at_least(self, least: usize) -> Self {
        Self { least: Some(least), ..self }
    }
}

/// A cell of a [`Table`].
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows under titles.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The lines, each at most this wide.
    pub(crate) fn lines(&self, width: usize, has_colours: bool) -> Vec<String> {
        let widths = self.widths(width);
        let bold = Style::new().bold();
        let titles: Vec<_> =
            self.columns.iter().map(|column| Cell::styled(column.title, bold)).collect();
        std::iter::once(&titles)
            .chain(&self.rows)
            .map(|cells| self.line(cells, &widths, has_colours))
            .collect()
    }

    /// The width of each column. `None`: the column is left out.
    fn widths(&self, most: usize) -> Vec<Option<usize>> {
        let natural = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|cells| cells[index].text.width());
            Some(cells.max().unwrap_or(0).max(column.title.width()))
        };
        let mut widths: Vec<_> = self.columns.iter().enumerate().map(natural).collect();
        // A column is left out only if shortening others is not enough.
        loop {
            let over = total(&widths).saturating_sub(most);
            let spare: usize = self.spare(&widths).sum();
            if over <= spare {
                break;
            }
            let last = (0..widths.len())
                .filter(|&index| widths[index].is_some() && self.columns[index].rank > 0)
                .max_by_key(|&index| self.columns[index].rank);
            let Some(last) = last else { break };
            widths[last] = None;
        }
        let mut over = total(&widths).saturating_sub(most);
        let spare: Vec<_> = self.spare(&widths).collect();
        for (width, spare) in widths.iter_mut().zip(spare) {
            if let Some(width) = width {
                let less = spare.min(over);
                *width -= less;
                over -= less;
            }
        }
        widths
    }

    /// By how much each column can be shortened.
    fn spare(&self, widths: &[Option<usize>]) -> impl Iterator<Item = usize> {
        self.columns.iter().zip(widths).map(|(column, width)| match (width, column.least) {
            (Some(width), Some(least)) => width.saturating_sub(least),
            _ => 0,
        })
    }

    fn line(&self, cells: &[Cell], widths: &[Option<usize>], has_colours: bool) -> String {
        let mut line = String::new();
        // Spaces that nothing follows are left out.
        let mut spaces = 0;
        for ((cell, column), width) in cells.iter().zip(&self.columns).zip(widths) {
            let Some(width) = *width else { continue };
            let text = shortened(&cell.text, width);
            let rest = width - text.width();
            let (before, after) = if column.is_right { (rest, 0) } else { (0, rest) };
            line.extend(std::iter::repeat_n(' ', spaces + before));
            line.push_str(&painted(&text, cell.style, has_colours));
            spaces = after + GAP;
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let columns = widths.iter().flatten().count();
    widths.iter().flatten().sum::<usize>() + GAP * columns.saturating_sub(1)
}

/// The text, or its beginning and an ellipsis.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |char: &char| {
        used += char.width().unwrap_or(0);
        used <= width
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

/// The words in lines of at most this width. A longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::left("KEY"),
            Column::right("ATTEMPT"),
            Column::left("SCOPE").optional(2),
            Column::left("ROUTE").at_least(12),
        ]);
        table.row([
            "3fc82ec1".into(),
            "2".into(),
            "0123456789ab".into(),
            "POST /payments/{id}/refunds".into(),
        ]);
        table.row(["a0".into(), "12345678".into(), "-".into(), "GET\u{1b}[2J".into()]);
        table
    }

    #[test]
    fn a_table_is_aligned() {
        let expected = [
            "KEY        ATTEMPT  SCOPE         ROUTE",
            "3fc82ec1         2  0123456789ab  POST /payments/{id}/refunds",
            "a0        12345678  -             GET\\u{1b}[2J",
        ];
        assert_eq!(table().lines(80, false), expected);
    }

    #[test]
    fn a_narrow_table_shortens_and_leaves_out_columns() {
        let lines = table().lines(50, false);
        assert_eq!(lines[1], "3fc82ec1         2  0123456789ab  POST /payments/…");
        let lines = table().lines(40, false);
        assert_eq!(lines[0], "KEY        ATTEMPT  ROUTE");
        assert_eq!(lines[1], "3fc82ec1         2  POST /payments/{id}…");
        // The columns that stay are not made unreadable.
        let lines = table().lines(10, false);
        assert_eq!(lines[1], "3fc82ec1         2  POST /payme…");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let coloured = table().lines(80, true);
        assert!(
            coloured[0].starts_with("\u{1b}[1mKEY\u{1b}[0m        \u{1b}[1mATTEMPT"),
            "{}",
            coloured[0]
        );
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(shortened("日本語", 6), "日本語");
        assert_eq!(shortened("日本語", 5), "日本…");
        assert_eq!(shortened("日本語", 4), "日…");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(
            wrapped("set  `maxmemory-policy noeviction` now", 12),
            ["set", "`maxmemory-policy", "noeviction`", "now"]
        );
        assert_eq!(wrapped("", 12), [""]);
    }
}
