//! Makes what a process prints harmless to a terminal: whatever goes in, what comes out moves no cursor but by newlines
//! and tabs, and leaves no colour behind at the end of a line.
//!
//! Text passes, colours pass (`ESC [ .. m`), and every other control is shown rather than obeyed: `\x1b`, `\u{202e}`,
//! and `\xff` for a byte that is not UTF-8. Each line comes out complete in itself: a colour that goes on over a
//! newline is reset before it and set again before the next text, so that anything may be printed in between.
//!
//! **Carriage returns.** `\r\n` is a newline. A lone `\r`, as progress bars print it, starts a new line, but never an
//! empty one: each state of the bar is a line, as in a log. To obey it instead would let a process rub out what the
//! person has to see.

use std::{mem, str};

/// Words of ours with somebody else's in them, such as a worker's name: one line, which moves no cursor and sets no colour.
///
/// ```
/// assert_eq!(deploy_bridge::harmless("n1\x1b[2J\n"), "n1\u{fffd}[2J\u{fffd}");
/// ```
pub fn harmless(text: &str) -> String {
    let shown = |char: char| match char.is_control() || is_control(char) {
        true => char::REPLACEMENT_CHARACTER,
        false => char,
    };
    text.chars().map(shown).collect()
}

/// The state of one stream of one process between its chunks.
#[derive(Debug)]
pub(crate) struct Sanitiser {
    /// The beginning of a character or of a colour, whose rest is still to come.
    unfinished: Vec<u8>,
    /// The colours that the process has set and not reset.
    style: Vec<u8>,
    /// The text so far ends in that style.
    styled: bool,
    /// A carriage return came last; what it means, the next byte tells.
    returned: bool,
    line_is_empty: bool,
}

impl Sanitiser {
    pub fn new() -> Sanitiser {
        Sanitiser {
            unfinished: Vec::new(),
            style: Vec::new(),
            styled: false,
            returned: false,
            line_is_empty: true,
        }
    }

    /// Appends what may be shown of these bytes.
    pub fn clean(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = bytes;
        if !self.unfinished.is_empty() {
            self.unfinished.extend_from_slice(bytes);
            joined = mem::take(&mut self.unfinished);
            rest = &joined;
        }
        while !rest.is_empty() {
            let (token, len) = first_token(rest);
            let (front, behind) = rest.split_at(len);
            match token {
                Token::Text => self.text(front, out),
                Token::Newline => self.newline(out),
                Token::Return => self.returned = true,
                Token::Colour => self.colour(front, out),
                Token::Control(char) => self.text(visible(char).as_bytes(), out),
                Token::Invalid => self.text(format!("\\x{:02x}", front[0]).as_bytes(), out),
                Token::Unfinished => self.unfinished = front.to_vec(),
            }
            rest = behind;
        }
    }

    /// Resets the colours: what comes next may be somebody else's. Text that follows later sets them again.
    pub fn seam(&mut self, out: &mut Vec<u8>) {
        if mem::take(&mut self.styled) {
            out.extend_from_slice(RESET);
        }
    }

    /// The end of the stream: shows what never became whole.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        for byte in mem::take(&mut self.unfinished) {
            match byte {
                b' '..=b'~' => self.text(&[byte], out),
                _ => self.text(format!("\\x{byte:02x}").as_bytes(), out),
            }
        }
        self.seam(out);
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if mem::take(&mut self.returned) && !self.line_is_empty {
            self.newline(out);
        }
        if !self.style.is_empty() && !mem::replace(&mut self.styled, true) {
            out.extend_from_slice(&self.style);
        }
        out.extend_from_slice(text);
        self.line_is_empty = false;
    }

    fn newline(&mut self, out: &mut Vec<u8>) {
        self.seam(out);
        out.push(b'\n');
        self.returned = false;
        self.line_is_empty = true;
    }

    fn colour(&mut self, sequence: &[u8], out: &mut Vec<u8>) {
        let parameters = &sequence[COLOUR_START.len()..sequence.len() - 1];
        let is_reset = parameters.is_empty() || parameters == b"0";
        let begins_with_reset = is_reset || parameters.starts_with(b"0;");
        if begins_with_reset || self.style.len() + sequence.len() > STYLE_MAX {
            self.seam(out);
            self.style.clear();
        }
        if !is_reset {
            self.style.extend_from_slice(sequence);
        }
        if self.styled {
            out.extend_from_slice(sequence);
        }
    }
}

/// What a stream begins with.
enum Token {
    Text,
    Newline,
    Return,
    Colour,
    Control(char),
    Invalid,
    Unfinished,
}

/// The first token of `bytes`, which are not empty, and its length.
fn first_token(bytes: &[u8]) -> (Token, usize) {
    let plain = bytes.iter().take_while(|byte| is_plain(**byte)).count();
    match bytes[0] {
        _ if plain > 0 => (Token::Text, plain),
        b'\n' => (Token::Newline, 1),
        b'\r' => (Token::Return, 1),
        0x1b => escape(bytes),
        control @ ..=0x7f => (Token::Control(control.into()), 1),
        0x80.. => character(bytes),
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// An escape: the start of a colour, or of something that is only shown.
fn escape(bytes: &[u8]) -> (Token, usize) {
    let head = &bytes[..bytes.len().min(COLOUR_MAX)];
    let start = head.len().min(COLOUR_START.len());
    let is_parameter = |byte: &u8| matches!(byte, b'0'..=b'9' | b';' | b':');
    let len = start + head[start..].iter().take_while(|b| is_parameter(b)).count();
    match head.get(len) {
        _ if head[..start] != COLOUR_START[..start] => (Token::Control('\x1b'), 1),
        Some(b'm') => (Token::Colour, len + 1),
        None if len < COLOUR_MAX => (Token::Unfinished, len),
        _ => (Token::Control('\x1b'), 1),
    }
}

/// A character that is not ASCII.
fn character(bytes: &[u8]) -> (Token, usize) {
    let len = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return (Token::Invalid, 1),
    };
    let bytes = &bytes[..bytes.len().min(len)];
    match str::from_utf8(bytes) {
        Ok(text) => match text.chars().next() {
            Some(char) if is_control(char) => (Token::Control(char), len),
            _ => (Token::Text, len),
        },
        Err(error) if error.error_len().is_none() => (Token::Unfinished, bytes.len()),
        Err(_) => (Token::Invalid, 1),
    }
}

/// Beyond ASCII: the C1 controls, which some terminals obey, and those that turn the direction of text around.
fn is_control(char: char) -> bool {
    matches!(char, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A control as it is shown.
fn visible(control: char) -> String {
    match control as u32 {
        code @ ..=0x7f => format!("\\x{code:02x}"),
        code => format!("\\u{{{code:x}}}"),
    }
}

const COLOUR_START: &[u8] = b"\x1b[";
const RESET: &[u8] = b"\x1b[0m";
/// Longer than any sequence that sets foreground, background and attributes at once.
const COLOUR_MAX: usize = 64;
/// Room for several such sequences one after another; past it the oldest are forgotten.
const STYLE_MAX: usize = 4 * COLOUR_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut sanitiser, mut out) = (Sanitiser::new(), Vec::new());
        for chunk in chunks {
            sanitiser.clean(chunk, &mut out);
        }
        sanitiser.finish(&mut out);
        String::from_utf8(out).expect("what is shown is UTF-8")
    }

    fn check(input: impl AsRef<[u8]>, expect: &str) {
        assert_eq!(clean([input.as_ref()]), expect);
    }

    #[test]
    fn text_passes() {
        check("", "");
        check("plain\ttext\n", "plain\ttext\n");
        check("größer 日本 🦀\n\n", "größer 日本 🦀\n\n");
        check("dos\r\nlines\r\r\n", "dos\nlines\n");
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        check("\x1b[2Jcleared", "\\x1b[2Jcleared");
        check("\x1b]0;title\x07", "\\x1b]0;title\\x07");
        check("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\");
        check("\x08\x0b\x0c\0\x7f", "\\x08\\x0b\\x0c\\x00\\x7f");
        check("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}");
        check("\u{202e}txt\u{2066}", "\\u{202e}txt\\u{2066}");
        check(
            b"\x9b2J \xff \xe2\x28 \xed\xa0\x80",
            "\\x9b2J \\xff \\xe2( \\xed\\xa0\\x80",
        );
        check("\x1b[?1m\x1b[>4m", "\\x1b[?1m\\x1b[>4m");
        check(
            format!("\x1b[{}m", "1;".repeat(40)),
            &format!("\\x1b[{}m", "1;".repeat(40)),
        );
    }

    #[test]
    fn what_never_became_whole_is_shown_in_the_end() {
        check("cut \x1b[3", "cut \\x1b[3");
        check(b"cut \xf0\x9f", "cut \\xf0\\x9f");
        check("cut \x1b[3\nnext", "cut \\x1b[3\nnext");
    }

    #[test]
    fn colours_end_with_the_line_and_begin_again_with_the_next() {
        check("\x1b[31mred\x1b[0m.\n", "\x1b[31mred\x1b[0m.\n");
        check("\x1b[31mred\x1b[m.\n", "\x1b[31mred\x1b[0m.\n");
        check("\x1b[31mred", "\x1b[31mred\x1b[0m");
        check(
            "\x1b[31ma\nb\x1b[0m\n",
            "\x1b[31ma\x1b[0m\n\x1b[31mb\x1b[0m\n",
        );
        check(
            "\x1b[1m\x1b[38;5;9ma\n\nb",
            "\x1b[1m\x1b[38;5;9ma\x1b[0m\n\n\x1b[1m\x1b[38;5;9mb\x1b[0m",
        );
        check(
            "\x1b[31ma\x1b[0;32mb\nc",
            "\x1b[31ma\x1b[0m\x1b[0;32mb\x1b[0m\n\x1b[0;32mc\x1b[0m",
        );
        check("\x1b[31m\n\x1b[0m\n", "\n\n");
    }

    #[test]
    fn a_carriage_return_starts_a_line_but_never_an_empty_one() {
        check("\r10%\r20%\r30%\n", "10%\n20%\n30%\n");
        check("a\r\rb\r", "a\nb");
        check("a\r\x1b[32mb\x1b[0m\r\n", "a\n\x1b[32mb\x1b[0m\n");
    }

    #[test]
    fn styles_without_end_are_forgotten() {
        let (mut sanitiser, mut out) = (Sanitiser::new(), Vec::new());
        for _ in 0..1000 {
            sanitiser.clean(b"\x1b[1m\x1b[31mx", &mut out);
            assert!(sanitiser.style.len() <= STYLE_MAX);
        }
    }

    /// Bytes of which many are parts of sequences.
    fn nasty() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            "[ -~\t\n\r]{0,8}".prop_map(String::into_bytes),
            "\x1b\\[[0-9;:]{0,6}[mJK]?".prop_map(String::into_bytes),
            "[\u{80}-\u{9f}\u{202a}-\u{202e}\u{2066}-\u{2069}é日🦀]".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_harmful_comes_out(input in nasty()) {
            let text = clean([&input[..]]);
            for line in text.split('\n') {
                let mut pieces = line.split("\x1b[");
                let mut rest: String = pieces.next().unwrap_or_default().into();
                let mut coloured = false;
                for piece in pieces {
                    let (parameters, behind) = piece.split_once('m').expect("a colour ends in m");
                    prop_assert!(parameters.bytes().all(|b| b.is_ascii_digit() || b";:".contains(&b)));
                    coloured = !matches!(parameters, "" | "0");
                    rest += behind;
                }
                prop_assert!(!coloured, "{line:?} leaves its colour behind");
                prop_assert!(!rest.chars().any(|c| c != '\t' && c.is_control() || is_control(c)), "{rest:?}");
            }
        }

        #[test]
        fn it_does_not_matter_where_it_is_cut(input in nasty(), sizes in proptest::collection::vec(1..5usize, 200)) {
            let (mut chunks, mut rest, mut size) = (Vec::new(), &input[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(rest.len().min(*size.next().unwrap()));
                chunks.push(chunk);
                rest = behind;
            }
            prop_assert_eq!(clean(chunks), clean([&input[..]]));
        }

        #[test]
        fn printable_text_is_untouched(text in "[ -~\t\nà-ž日🦀]{0,80}") {
            prop_assert_eq!(clean([text.as_bytes()]), text);
        }
    }
}
