//! A person at a terminal: types keys, and waits for what appears.
//!
//! The command leads a session whose terminal is a new pty, by `setsid --ctty`, so that nothing here needs `unsafe`.
//! Deliberately absent: the screen. What appears is compared as bytes.

use crate::leftovers::Mark;
use deploy_sys::signal;
use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A terminal with a command in it.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Screen>,
    command: Child,
    /// How much of what has appeared was waited for.
    read: usize,
    mark: Option<Mark>,
}

/// What has appeared, and whether no more can come.
#[derive(Default)]
struct Screen {
    shown: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Terminal {
    /// A terminal in which `command` runs.
    pub fn with(command: &Command) -> Terminal {
        // A suite that was started with `&` ignores SIGINT, and so would what runs here.
        signal::forget_ignored().expect("dispositions may be changed");
        let (master, slave) = open().expect("the machine has a pty left");
        let mark = Mark::new().expect("there is a directory for temporary files");
        let slave = || Stdio::from(slave.try_clone().expect("a descriptor is left"));
        let mut under_setsid = Command::new("setsid");
        under_setsid
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for name in [
            "DEPLOY_FORMAT",
            "DEPLOY_CAPACITY",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
        ] {
            under_setsid.env_remove(name);
        }
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                under_setsid.env(name, value);
            }
        }
        let command = under_setsid
            .envs(mark.variables())
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("util-linux's setsid is there");
        let screen = Arc::new(Screen::default());
        let watched = screen.clone();
        let keyboard = master.try_clone().expect("a descriptor is left");
        thread::spawn(move || watched.watch(master));
        Terminal {
            keyboard,
            screen,
            command,
            read: 0,
            mark: Some(mark),
        }
    }

    /// A terminal in which an interactive bash waits for lines to be typed.
    pub fn shell() -> Terminal {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "--noediting", "-i"])
            .env("PS1", PROMPT);
        let mut shell = Terminal::with(&bash);
        shell.expect(PROMPT);
        shell
    }

    /// Types; `\x03` is Ctrl-C, `\x1a` is Ctrl-Z, `\x04` is Ctrl-D.
    pub fn keys(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal is open as long as we hold it");
    }

    /// Types a line into the shell, and returns what it shows before the next prompt.
    pub fn line(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\n"));
        self.expect(&format!("{line}\r\n"));
        self.expect(PROMPT)
    }

    /// Waits until `text` appears behind what was expected last, and returns what stands before it.
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_within(text, DEADLINE)
    }

    /// The same, with a limit of its own.
    pub fn expect_within(&mut self, text: &str, limit: Duration) -> String {
        let found = self.screen.wait(limit, |shown, _| {
            let at = find(&shown[self.read..], text.as_bytes())?;
            Some(shown[self.read..self.read + at].to_vec())
        });
        let before = found.unwrap_or_else(|shown| {
            let rest = String::from_utf8_lossy(&shown[self.read..]).into_owned();
            panic!("{text:?} does not appear within {limit:?}, only {rest:?}")
        });
        self.read += before.len() + text.len();
        String::from_utf8_lossy(&before).into_owned()
    }

    /// The process of the command itself.
    pub fn first(&self) -> Pid {
        Pid::from_raw(self.command.id() as i32)
    }

    /// The numbers of all processes in this terminal.
    pub fn processes(&self) -> Vec<u32> {
        self.mark
            .as_ref()
            .expect("it is there until the end")
            .processes()
    }

    /// Waits until the command and all that came from it have ended and nothing is left; returns the exit code as a
    /// shell shows it, and what appeared since the last expectation.
    pub fn finish(mut self) -> (i32, String) {
        let first = self.command.id();
        let shown = self
            .screen
            .wait(DEADLINE, |shown, ended| ended.then(|| shown.to_vec()));
        let shown = shown.unwrap_or_else(|shown| {
            let rest = String::from_utf8_lossy(&shown).into_owned();
            panic!("it has not ended after {DEADLINE:?}; the terminal shows {rest:?}")
        });
        let status = self.command.wait().expect("it is our child");
        let mark = self.mark.take().expect("it is there until the end");
        mark.check(first).unwrap_or_else(|why| panic!("{why}"));
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().expect("it has a code or a signal"));
        (
            code,
            String::from_utf8_lossy(&shown[self.read..]).into_owned(),
        )
    }
}

/// A test that fails leaves nothing either.
impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.take() {
            mark.kill();
            let _ = self.command.wait();
        }
    }
}

/// Both sides of a new terminal, neither of which another test's program inherits.
fn open() -> io::Result<(File, File)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master)?)?;
    Ok((File::from(OwnedFd::from(master)), slave))
}

impl Screen {
    /// Takes in what appears until every process has let go of the terminal.
    fn watch(&self, mut master: File) {
        let mut chunk = [0; 4096];
        loop {
            // The kernel says EIO when nobody holds the other side.
            let read = master.read(&mut chunk).unwrap_or(0);
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.0.extend_from_slice(&chunk[..read]);
            shown.1 = read == 0;
            self.changed.notify_all();
            if read == 0 {
                return;
            }
        }
    }

    /// Waits until `found`, told what is shown and whether no more can come, returns something, at most for `limit`;
    /// otherwise returns all that was shown.
    fn wait<T>(
        &self,
        limit: Duration,
        found: impl Fn(&[u8], bool) -> Option<T>,
    ) -> Result<T, Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found(&shown.0, shown.1) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || shown.1 {
                return Err(shown.0.clone());
            }
            let waited = self.changed.wait_timeout(shown, left);
            (shown, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// What our shells say when they wait for a line: nothing that a program would print.
const PROMPT: &str = "[ready] ";
/// What has not appeared by now never will.
const DEADLINE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leftovers::is_stopped;

    #[test]
    fn a_shell_answers_and_controls_jobs() {
        let mut shell = Terminal::shell();
        assert_eq!(shell.line("test -t 0 && echo yes"), "yes\r\n");
        shell.keys("sh -c 'echo up; read line; echo got $line; read line'\n");
        shell.expect("up\r\n");
        shell.keys("\x1a");
        shell.expect(PROMPT);
        assert!(shell.processes().into_iter().any(is_stopped));
        shell.keys("fg\nsomething\n");
        shell.expect("got something\r\n");
        shell.keys("\x03");
        shell.expect(PROMPT);
        assert_eq!(shell.line("echo $?"), "130\r\n");
        shell.keys("exit 7\n");
        assert_eq!(shell.finish().0, 7);
    }

    #[test]
    #[should_panic(expected = "does not appear")]
    fn what_never_appears_fails() {
        let mut echo = Command::new("echo");
        Terminal::with(echo.arg("one")).expect("two");
    }
}
