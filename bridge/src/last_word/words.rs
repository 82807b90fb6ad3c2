//! What of a process's standard error may say why it ended: its last lines, and the last panic that is told of in it.
//!
//! Deliberately absent: whether that is why (`last_word.rs`).

use crate::sanitise::harmless;

#[derive(Default, Debug)]
pub(crate) struct Words {
    /// Its end.
    tail: Vec<u8>,
    /// The beginning of the last panic in it, which a backtrace may have pushed out of the tail.
    panic: Vec<u8>,
}

impl Words {
    /// Takes in what comes next.
    pub fn hear(&mut self, bytes: &[u8]) {
        if let Some(panic) = last_panic(bytes) {
            self.panic = panic.to_vec();
        }
        let tail = &bytes[bytes.len().saturating_sub(WORDS_MAX)..];
        let surplus = (self.tail.len() + tail.len()).saturating_sub(WORDS_MAX);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(tail);
        // It may have come in pieces; one whose line is cut was seen before.
        let is_whole = |panic: &&[u8]| panic.len() < self.tail.len() || surplus == 0;
        if let Some(panic) = last_panic(&self.tail).filter(is_whole) {
            self.panic = panic.to_vec();
        }
    }

    /// `panicked at PLACE: MESSAGE`, as the standard library tells of the last panic, if it was on such a thread, as far as
    /// that is said.
    pub(super) fn panic(&self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let text = String::from_utf8_lossy(&self.panic);
        let (before, panic) = text.split_at(text.find(PANIC)?);
        let thread = before
            .strip_prefix("thread '")
            .and_then(|before| Some(before.rsplit_once('\'')?.0));
        if !thread.is_none_or(is_meant) {
            return None;
        }
        let mut lines = panic.lines();
        let place = lines.next()?;
        let message = lines.next().unwrap_or_default();
        Some(shown(&format!("{place} {message}")))
    }

    /// Whether nothing was written behind the last panic but what the standard library adds.
    pub(super) fn end_with_panic(&self) -> bool {
        let text = String::from_utf8_lossy(&self.tail);
        let behind = &text[text.rfind(PANIC).unwrap_or(0)..];
        let Some(note) = behind.rfind("\nnote: ") else {
            return !self.panic.is_empty();
        };
        let mut lines = behind[note + 1..].lines().skip(1);
        lines.all(|line| line.is_empty() || line.ends_with(ABORTING))
    }

    /// Whether that panic aborts, in words that come behind the panic's own: the standard library's where one meets another, a
    /// pool's worker's where the program is built so.
    pub(super) fn end_with_abort(&self) -> bool {
        let text = String::from_utf8_lossy(&self.tail);
        let behind = &text[text.rfind(PANIC).unwrap_or(0)..];
        let last = behind.trim_end().lines().skip(2).last();
        last.is_some_and(|line| line.ends_with(ABORTING))
    }

    /// The last line that is not empty, and no advice of the standard library.
    pub(super) fn line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let mut lines = text.lines().map(str::trim);
        let line = lines.rfind(|line| !line.is_empty() && !line.starts_with("note: run with"))?;
        Some(shown(line))
    }
}

/// The line with which the last panic begins, and some of what follows.
fn last_panic(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::rfind(text, PANIC.as_bytes())?;
    let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |end| end + 1);
    Some(&text[start..text.len().min(at + PANIC_MAX)])
}

/// Short, on one line, and nothing that a terminal obeys.
fn shown(text: &str) -> String {
    let text = harmless(text.trim());
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text,
    }
}

const PANIC: &str = "panicked at ";
/// How a line ends that says so of a panic.
const ABORTING: &str = "aborting.";
/// Of each living process: enough for a panic's message and what the library says behind it.
const WORDS_MAX: usize = 1 << 10;
/// More than is shown of a panic.
const PANIC_MAX: usize = 512;
/// Two lines of a terminal.
const SHOWN_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_what_was_written_is_kept() {
        let mut words = Words::default();
        for _ in 0..1000 {
            words.hear(&[b'x'; 700]);
        }
        words.hear(&[b'y'; 3000]);
        assert_eq!(words.tail, [b'y'; WORDS_MAX]);
        assert_eq!(words.line().unwrap().len(), SHOWN_CHARS_MAX + 2);
    }
}
