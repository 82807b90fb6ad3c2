//! Rows and columns, as people read lists.
//!
//! Deliberately absent: the width of a terminal. Rows are lines, whatever comes of them there.

use crate::sanitise::harmless;

/// Columns as wide as their widest cell; the last one as it is. What others say of themselves commands no terminal.
///
/// ```
/// let rows = vec![["n1".into(), "up".into()]];
/// assert_eq!(deploy_bridge::table(["NODE", "STATE"], rows), "NODE  STATE\nn1    up\n");
/// ```
pub fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let head = head.map(str::to_string);
    let clean = |row: [String; N]| row.map(|cell| harmless(&cell));
    let rows: Vec<[String; N]> = rows.into_iter().map(clean).collect();
    let all: Vec<&[String; N]> = [&head].into_iter().chain(&rows).collect();
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(*row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in all {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = vec![["a".into(), "1".into()], ["long".into(), "22".into()]];
        assert_eq!(table(["X", "Y"], rows), "X     Y\na     1\nlong  22\n");
        assert_eq!(table(["X", "Y"], Vec::new()), "X  Y\n");
    }
}
