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
