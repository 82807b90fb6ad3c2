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
        let text = look(&mut bridge)?;
        bridge.finish();
        return listing::print(text);
    }
    let screen = Screen::take().map_err(Failure::internal)?;
    loop {
        let text = look(&mut bridge)?;
        screen.show(&text).map_err(Failure::internal)?;
        if screen.is_left().map_err(Failure::internal)? {
            bridge.finish();
            return Ok(0);
        }
    }
}

fn look(bridge: &mut Bridge) -> Result<String, Failure> {
    let (Answer::Nodes(nodes), Answer::Jobs(jobs)) =
        (bridge.ask(&Ask::Nodes)?, bridge.ask(&Ask::Jobs)?)
    else {
        return Err(bridge.surprised());
    };
    let (nodes, jobs) = (listing::node_table(&nodes), listing::job_table(&jobs));
    Ok(format!("{nodes}\n{jobs}"))
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

    fn show(&self, text: &str) -> io::Result<()> {
        // A line that goes on below the next one would be left there when the table has moved.
        let lines: String = text
            .lines()
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
