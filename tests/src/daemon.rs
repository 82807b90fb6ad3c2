//! A program that serves until it is stopped, and what it says meanwhile.
//!
//! Deliberately absent: programs that end by themselves (`run.rs`), and any look at what a daemon does but by its words.

use deploy_sys::signal;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// A running program, whose two outputs are heard as one.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// What it is sent where the test drops it.
    last: Signal,
}

impl Daemon {
    /// Starts it, without input.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(command: &mut Command) -> Daemon {
        Daemon::start_with(command, Stdio::null())
    }

    /// The same, which listens to what is [told](Daemon::tell).
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_listening(command: &mut Command) -> Daemon {
        Daemon::start_with(command, Stdio::piped())
    }

    fn start_with(command: &mut Command, input: Stdio) -> Daemon {
        // A suite that was started with `&` ignores SIGINT, and so would the daemon and all its jobs.
        signal::forget_ignored().expect("dispositions may be changed");
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let twice = writer.try_clone().expect("a descriptor is free");
        let child = command
            .stdin(input)
            .stdout(writer)
            .stderr(twice)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        // The command holds the writing end too, and the lines end only when nobody does.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return; // And what it says next finds no reader.
                }
            }
        });
        Daemon {
            child,
            lines,
            said: Vec::new(),
            last: Signal::SIGKILL,
        }
    }

    /// The same, but that it is ended in good order where the test drops it: so that what it leaves behind when it is killed
    /// goes too.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_orderly(command: &mut Command) -> Daemon {
        let mut daemon = Daemon::start(command);
        daemon.last = Signal::SIGTERM;
        daemon
    }

    /// Waits for a line with these words, among those that nobody has waited for yet.
    ///
    /// # Panics
    /// If it does not come in time, or ends before; with all that was said.
    pub fn expect(&mut self, words: &str) -> String {
        self.expect_within(words, DEADLINE)
    }

    /// The same, and it must come in this time.
    ///
    /// # Panics
    /// If it does not.
    pub fn expect_within(&mut self, words: &str, time: Duration) -> String {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(why) => panic!("no {words:?} ({why}), but:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Gives one that listens a line to read.
    ///
    /// # Panics
    /// If it does not listen, or not any more.
    pub fn tell(&mut self, words: &str) {
        let input = self.child.stdin.as_mut().expect("it listens");
        writeln!(input, "{words}").expect("it is there");
    }

    /// All that it has said until now.
    pub fn said(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        self.said.join("\n")
    }

    /// Whether it has said all that it ever will.
    pub fn is_silent(&mut self) -> bool {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.said.push(line),
                Err(why) => return why == mpsc::TryRecvError::Disconnected,
            }
        }
    }

    /// Hears one line more, and then closes the pipe to which it writes.
    pub fn stop_listening(&mut self) {
        self.lines = mpsc::channel().1;
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).expect("it has not been waited for");
    }

    /// Kills it, and nothing that it has started.
    ///
    /// # Panics
    /// If it is not ours to wait for.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours to wait for");
    }

    /// How it has ended, and all that it said. Blocks until it has.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("it does not end ({why}):\n{}", self.said.join("\n")),
            }
        }
        let status = self.child.wait().expect("it is ours to wait for");
        (status, self.said.join("\n"))
    }
}

/// A test that fails leaves nothing either, and shows what was said: often the cause is there.
impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("process {} had said:\n{}", self.id(), self.said());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.id() as i32), self.last);
            let _ = self.child.wait();
        }
    }
}

/// What was not said by now never will be: longer than a lost node takes to be noticed.
const DEADLINE: Duration = Duration::from_secs(30);
