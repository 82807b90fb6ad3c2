//! Something that came, as far as it fits on a line of what a person reads.
//!
//! Deliberately absent: all that is behind that. In words a message of megabytes is several times as long.

use std::fmt::{self, Debug, Write};

/// It in words, cut where the line is full.
pub fn brief(what: &impl Debug) -> String {
    let mut line = Line(String::new());
    let _ = write!(line, "{what:?}"); // It ends where there is no more room.
    line.0
}

struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = text.len().min(BYTES_MAX - self.0.len());
        let fits = |end: &usize| text.is_char_boundary(*end);
        let end = (0..=room).rev().find(fits).unwrap_or(0);
        self.0.push_str(&text[..end]);
        match end == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// What fits.
pub const BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(brief(&vec![7, 8]), "[7, 8]");
        let long = brief(&"é".repeat(BYTES_MAX));
        assert_eq!(long.len(), BYTES_MAX - 1, "{long}");
        assert_eq!(brief(&vec![0; 1 << 20]).len(), BYTES_MAX);
    }
}
