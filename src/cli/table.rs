//! Tables whose columns are as wide as what is in them.

use super::wrap;
use std::fmt::Write;

/// Two spaces between columns.
const GAP: usize = 2;

/// A table below an empty line. The last column is wrapped to the width of the terminal, or to 80 columns; where it has no
/// room beside the others, it is below them.
pub(super) fn table<const N: usize>(text: &mut String, headings: [&str; N], rows: Vec<[String; N]>) {
    let columns = wrap::stdout().map_or(80, |columns| columns.min(80));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([headings[at].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N - 1).map(width).collect();
    let beside = widths.iter().sum::<usize>() + GAP * widths.len();
    let longest = |cell: &str| cell.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let needed = rows.iter().map(|row| longest(&row[N - 1])).chain([headings[N - 1].len()]).max().unwrap_or(0);
    let below = beside + needed > columns;
    let indent = if below { 4 } else { beside };
    let mut line = |row: [&str; N]| {
        let mut current: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        let last = row[N - 1];
        if below && !last.is_empty() {
            let _ = writeln!(text, "{}", current.trim_end());
            current = " ".repeat(indent);
        }
        for word in last.split(' ').filter(|word| !word.is_empty()) {
            if current.chars().count() + word.chars().count() > columns && current.trim_end().chars().count() > indent {
                let _ = writeln!(text, "{}", current.trim_end());
                current = " ".repeat(indent);
            }
            let _ = write!(current, "{word} ");
        }
        let _ = writeln!(text, "{}", current.trim_end());
    };
    line([""; N]);
    line(headings);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut text = String::new();
        table(
            &mut text,
            ["A", "LONGER", "LAST"],
            vec![["x".into(), "y".into(), "one two".into()], ["long".into(), "z".into(), String::new()]],
        );
        assert_eq!(text, "\nA     LONGER  LAST\nx     y       one two\nlong  z\n");
    }

    #[test]
    fn the_last_column_is_wrapped_and_goes_below_where_it_has_no_room() {
        let words = ["linux-amd64"; 8].join(" ");
        let mut text = String::new();
        table(&mut text, ["NAME", "PLATFORMS"], vec![["x".repeat(20), words.clone()]]);
        assert!(text.lines().all(|line| line.len() <= 80) && text.lines().count() == 4, "{text}");
        let mut text = String::new();
        table(&mut text, ["NAME", "PLATFORMS"], vec![["x".repeat(75), words]]);
        assert!(text.lines().nth(3).is_some_and(|line| line.starts_with('x')) && text.contains("\n    linux-amd64 linux"), "{text}");
    }
}
