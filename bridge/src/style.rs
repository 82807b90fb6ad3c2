//! Colours of our own: which process has which, and whether there are any. What processes print themselves is not its
//! business.

use deploy_wire::pid::Pid;
use std::ffi::OsStr;

/// Whether headers and notes are coloured, by the values of `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE`: the first
/// that has something to say decides, and else whether it is a terminal.
pub fn wants_colour(
    no_color: Option<&OsStr>,
    clicolor: Option<&OsStr>,
    clicolor_force: Option<&OsStr>,
    is_terminal: bool,
) -> bool {
    let is_set = |value: Option<&OsStr>| value.is_some_and(|v| !v.is_empty() && v != "0");
    if no_color.is_some_and(|value| !value.is_empty()) {
        return false;
    }
    is_set(clicolor_force) || is_terminal && clicolor.is_none_or(|value| value != "0")
}

/// `text` in the colour of a process, or bare.
pub(crate) fn paint(text: &str, pid: Pid, colour: bool) -> String {
    if !colour {
        return text.to_string();
    }
    // Numbers are given in order, so neighbours never share a colour.
    let code = PALETTE[pid.number() as usize % PALETTE.len()];
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Cyan, yellow, green, magenta and the bright ones of blue and cyan: readable on black and on white. Red is left to
/// errors.
const PALETTE: [u8; 6] = [36, 33, 32, 35, 94, 96];

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::pid::Job;

    #[test]
    fn who_says_no_first_wins() {
        let check = |no_color: &str, clicolor: &str, force: &str, terminal: bool, expect: bool| {
            // A dash stands for a variable that is not there.
            let value = |text: &'static str| (text != "-").then_some(OsStr::new(text));
            let leak = |text: &str| value(Box::leak(text.to_string().into_boxed_str()));
            let colour = wants_colour(leak(no_color), leak(clicolor), leak(force), terminal);
            assert_eq!(colour, expect, "{no_color} {clicolor} {force} {terminal}");
        };
        check("-", "-", "-", true, true);
        check("-", "-", "-", false, false);
        check("1", "-", "-", true, false);
        check("", "-", "-", true, true);
        check("1", "1", "1", true, false);
        check("-", "0", "-", true, false);
        check("-", "1", "-", true, true);
        check("-", "1", "-", false, false);
        check("-", "-", "1", false, true);
        check("-", "0", "1", true, true);
        check("-", "-", "0", false, false);
    }

    #[test]
    fn neighbours_look_unlike_and_bare_is_bare() {
        let pid = |number| Pid::new(Job::from_bits(5), number);
        assert_ne!(paint("x", pid(0), true), paint("x", pid(1), true));
        assert_eq!(paint("x", pid(1), true), "\x1b[33mx\x1b[0m");
        assert_eq!(paint("x", pid(1), false), "x");
    }
}
