//! `cargo deploy top`: the machines and one's jobs, again and again.
//!
//! Deliberately absent: figures that the tables do not have. Where nobody can press a key, or the output is no terminal, it is
//! shown once.

use crate::{cli::Top, clusters, failure::Failure, listing, session::Bridge, terminal};
use deploy_wire::client::{Answer, Ask};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{self, LocalFlags, SetArg, Termios},
};
use std::{
    io::{self, IsTerminal, Read, Stdin, Write},
    os::fd::AsFd,
};

/// Shows them until somebody presses `q` or Ctrl-C.
pub fn top(top: &Top) -> Result<i32, Failure> {
    let mut bridge = Bridge::connect(&clusters::find(top.target.as_deref())?)?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let (nodes, jobs) = look(&mut bridge)?;
        bridge.finish();
        return listing::print(format!("{nodes}\n{jobs}"));
    }
    let screen = Screen::take().map_err(Failure::internal)?;
    loop {
        let (nodes, jobs) = look(&mut bridge)?;
        screen.show(&nodes, &jobs).map_err(Failure::internal)?;
        if screen.is_left().map_err(Failure::internal)? {
            bridge.finish();
            return Ok(0);
        }
    }
}

/// The machines and the jobs, as tables.
fn look(bridge: &mut Bridge) -> Result<(String, String), Failure> {
    let (Answer::Nodes(nodes), Answer::Jobs(jobs)) =
        (bridge.ask(&Ask::Nodes)?, bridge.ask(&Ask::Jobs)?)
    else {
        return Err(bridge.surprised());
    };
    Ok((deploy_bridge::node_table(&nodes), listing::job_table(&jobs)))
}

/// As much of both tables as so many rows hold, and a row between them. A table has half of them, and what the other leaves;
/// its last row says how much of it is missing.
fn page(nodes: &str, jobs: &str, rows: usize) -> Vec<String> {
    let room = rows.saturating_sub(1);
    let (has, wants) = (nodes.lines().count(), jobs.lines().count());
    let for_nodes = has.min((room / 2).max(room.saturating_sub(wants)));
    let mut page = part(nodes, for_nodes);
    page.push(String::new());
    page.append(&mut part(jobs, room - for_nodes));
    page.truncate(rows);
    page
}

fn part(table: &str, rows: usize) -> Vec<String> {
    let mut lines: Vec<String> = table.lines().map(str::to_string).collect();
    if lines.len() > rows {
        let hidden = lines.split_off(rows.saturating_sub(1)).len();
        lines.push(format!("and {hidden} more"));
    }
    lines
}

/// The terminal, on a page of its own and without waiting for lines, until this is dropped.
struct Screen {
    keys: Stdin,
    before: Termios,
}

impl Screen {
    fn take() -> io::Result<Screen> {
        let keys = io::stdin();
        let before = termios::tcgetattr(&keys)?;
        let mut now = before.clone();
        // Ctrl-C comes as a key, so that the terminal is left as it was.
        now.local_flags -= LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
        termios::tcsetattr(&keys, SetArg::TCSANOW, &now)?;
        let screen = Screen { keys, before };
        screen.write("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    fn show(&self, nodes: &str, jobs: &str) -> io::Result<()> {
        // Where the last row ends the terminal would move all others up.
        let rows = terminal::rows(&io::stdout()).saturating_sub(FOOT_ROWS);
        // A line that goes on below the next one would be left there when the table has moved.
        let lines: String = page(nodes, jobs, rows)
            .iter()
            .map(|line| terminal::cut(line, &io::stdout()) + "\x1b[K\r\n")
            .collect();
        self.write(&format!("\x1b[H{lines}\x1b[J\r\nq: quit"))
    }

    /// Waits until it is time to look again. True if somebody wants to leave.
    fn is_left(&self) -> io::Result<bool> {
        let mut keys = [PollFd::new(self.keys.as_fd(), PollFlags::POLLIN)];
        if poll(&mut keys, PollTimeout::from(LOOK_EVERY_MS))? == 0 {
            return Ok(false);
        }
        let mut key = [0];
        let count = self.keys.lock().read(&mut key)?;
        Ok(count == 0 || matches!(key[0], b'q' | b'Q' | CTRL_C))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, nothing is to be put right.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
        let _ = termios::tcsetattr(&self.keys, SetArg::TCSANOW, &self.before);
    }
}

/// As often as a person can read it.
const LOOK_EVERY_MS: u16 = 1000;
const CTRL_C: u8 = 3;
/// How one leaves, and nothing above it.
const FOOT_ROWS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of a table of nodes and one of jobs with so many lines each, the first letter of each row.
    #[track_caller]
    fn check(nodes: usize, jobs: usize, rows: usize, expected: &str) {
        let table = |name: &str, lines| format!("{name}\n").repeat(lines);
        let page = page(&table("n", nodes), &table("j", jobs), rows);
        let first = |row: &String| row.chars().next().unwrap_or(' ');
        assert_eq!(page.iter().map(first).collect::<String>(), expected);
        assert!(page.len() <= rows);
    }

    #[test]
    fn tables_share_the_rows_there_are() {
        check(2, 3, 20, "nn jjj");
        check(2, 3, 6, "nn jjj");
        check(2, 8, 6, "nn jja");
        check(8, 2, 6, "nna jj");
        check(8, 8, 9, "nnna jjja");
        check(8, 8, 3, "a a");
        check(8, 8, 0, "");
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        assert_eq!(part("a\nb\nc\nd\n", 2), ["a", "and 3 more"]);
        assert_eq!(part("a\nb\n", 2), ["a", "b"]);
    }
}
