//! What output is expected: bytes, with `*` for what may differ.
//!
//! `"hello *!\n"` matches any bytes but a newline at the star, `**` any bytes at all; `\*` is a star. `"x" x1000`
//! repeats, and texts that stand side by side are one. No regular expressions.

use std::fmt;

/// What a stream must hold.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// Any bytes but newlines.
    InLine,
    /// Any bytes.
    Anything,
}

impl Pattern {
    /// Takes the texts at the front of `source`, and returns what follows them; without any text, an error.
    pub fn parse(source: &str) -> Result<(Pattern, &str), String> {
        let mut pieces = Vec::new();
        let mut rest = source.trim_start();
        while let Some(text) = rest.strip_prefix('"') {
            let (piece, after) = parse_text(text)?;
            let (times, after) = parse_times(after.trim_start())?;
            for _ in 0..times {
                pieces.extend_from_slice(&piece);
            }
            rest = after.trim_start();
        }
        if rest.len() == source.trim_start().len() {
            return Err(format!("a text in quotes should stand before {rest:?}"));
        }
        Ok((Pattern(pieces), rest))
    }

    /// The pattern that only these bytes match.
    pub fn literal(bytes: &[u8]) -> Pattern {
        Pattern(bytes.iter().copied().map(Piece::Byte).collect())
    }

    /// The only bytes that match, if there is no star.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Byte(byte) => Some(*byte),
                Piece::InLine | Piece::Anything => None,
            })
            .collect()
    }

    /// Whether nothing may be written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the whole of `bytes` is as expected.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        // The usual two-pointer walk over wildcards: on a mismatch the last star takes one byte more. A star that
        // stops at newlines gives up there, and the one before it that does not takes over.
        let (mut piece, mut at) = (0, 0);
        let mut stars: Vec<(usize, usize)> = Vec::new();
        loop {
            match self.0.get(piece) {
                Some(Piece::Byte(byte)) if bytes.get(at) == Some(byte) => {
                    (piece, at) = (piece + 1, at + 1);
                    continue;
                }
                Some(Piece::Anything) => {
                    stars.clear();
                    stars.push((piece, at));
                    piece += 1;
                    continue;
                }
                Some(Piece::InLine) => {
                    while matches!(stars.last(), Some(&(last, _)) if self.0[last] == Piece::InLine)
                    {
                        stars.pop();
                    }
                    stars.push((piece, at));
                    piece += 1;
                    continue;
                }
                None if at == bytes.len() => return true,
                _ => {}
            }
            loop {
                let Some((star, from)) = stars.last_mut() else {
                    return false;
                };
                let may_take = match bytes.get(*from) {
                    None => false,
                    Some(b'\n') => self.0[*star] == Piece::Anything,
                    Some(_) => true,
                };
                if may_take {
                    *from += 1;
                    (piece, at) = (*star + 1, *from);
                    break;
                }
                stars.pop();
            }
        }
    }

    /// Its lines, if every line ends and none is hidden behind `**`.
    pub fn lines(&self) -> Option<Vec<Pattern>> {
        if self.0.contains(&Piece::Anything) {
            return None;
        }
        let lines = self
            .0
            .split_inclusive(|piece| *piece == Piece::Byte(b'\n'))
            .map(|line| Pattern(line.to_vec()))
            .collect::<Vec<_>>();
        let ends = lines
            .iter()
            .all(|line| line.0.last() == Some(&Piece::Byte(b'\n')));
        ends.then_some(lines)
    }
}

/// As it could stand in a header.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for (shown, piece) in self.0.iter().enumerate() {
            if shown == SHOWN_PIECES_MAX {
                return write!(f, "\"... {} bytes in all", self.0.len());
            }
            match piece {
                Piece::Byte(b'*') => f.write_str("\\*")?,
                Piece::Byte(byte) => write!(f, "{}", byte.escape_ascii())?,
                Piece::InLine => f.write_str("*")?,
                Piece::Anything => f.write_str("**")?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text after its opening quote, up to its closing one.
fn parse_text(text: &str) -> Result<(Vec<Piece>, &str), String> {
    let unended = || format!("the text \"{text} has no end");
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let first = rest.chars().next().ok_or_else(unended)?;
        rest = &rest[first.len_utf8()..];
        match first {
            '"' => return Ok((pieces, rest)),
            '\\' => {
                let (byte, after) = parse_escape(rest).ok_or_else(|| {
                    format!(
                        "\"\\{}\" is none of \\n \\t \\r \\\\ \\\" \\* \\xNN",
                        &rest[..1.min(rest.len())]
                    )
                })?;
                pieces.push(Piece::Byte(byte));
                rest = after;
            }
            '*' if rest.starts_with('*') => {
                pieces.push(Piece::Anything);
                rest = &rest[1..];
            }
            '*' => pieces.push(Piece::InLine),
            other => {
                let mut buffer = [0; 4];
                pieces.extend(other.encode_utf8(&mut buffer).bytes().map(Piece::Byte));
            }
        }
    }
}

fn parse_escape(rest: &str) -> Option<(u8, &str)> {
    let byte = match rest.as_bytes().first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        same @ (b'\\' | b'"' | b'*') => *same,
        b'x' => return Some((u8::from_str_radix(rest.get(1..3)?, 16).ok()?, &rest[3..])),
        _ => return None,
    };
    Some((byte, &rest[1..]))
}

/// `x1000` after a text.
fn parse_times(rest: &str) -> Result<(usize, &str), String> {
    let Some(digits) = rest.strip_prefix('x') else {
        return Ok((1, rest));
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    match digits[..end].parse() {
        Ok(times) => Ok((times, &digits[end..])),
        Err(_) => Err(format!("a number should follow the x in {rest:?}")),
    }
}

/// Enough to see what differs without filling the screen.
const SHOWN_PIECES_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Pattern {
        let (pattern, rest) = Pattern::parse(source).unwrap();
        assert_eq!(rest, "", "{source}");
        pattern
    }

    #[test]
    fn stars_match_what_they_say() {
        let check = |source: &str, bytes: &[u8], expect: bool| {
            assert_eq!(
                pattern(source).matches(bytes),
                expect,
                "{source} and {}",
                bytes.escape_ascii()
            );
        };
        check(r#""""#, b"", true);
        check(r#""""#, b"x", false);
        check(r#""hello *!\n""#, b"hello worker 7!\n", true);
        check(r#""hello *!\n""#, b"hello worker 7?\n", false);
        check(r#""hello *!\n""#, b"hello\nworker!\n", false);
        check(r#""*\n""#, b"one\ntwo\n", false);
        check(r#""**\n""#, b"one\ntwo\n", true);
        check(r#""**two\n*!""#, b"one\ntwo\nfour two\nthree!", true);
        check(r#""**b*d""#, b"b\nbcd", true);
        check(r#""\*""#, b"*", true);
        check(r#""\*""#, b"x", false);
        check(r#""\x00\xff\"\\""#, b"\x00\xff\"\\", true);
        check(r#""ab" x3 "c""#, b"abababc", true);
        check(r#""ab" x3 "c""#, b"ababc", false);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for source in ["", "x", r#""open"#, r#""\q""#, r#""a" x"#] {
            assert!(Pattern::parse(source).is_err(), "{source}");
        }
    }

    #[test]
    fn lines_are_told_only_where_they_end() {
        assert_eq!(pattern(r#""a\nb*\n""#).lines().unwrap().len(), 2);
        assert!(pattern(r#""a\nb""#).lines().is_none());
        assert!(pattern(r#""**\n""#).lines().is_none());
        assert_eq!(Pattern::default().lines().unwrap().len(), 0);
    }
}
