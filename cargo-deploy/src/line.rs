//! The session while a job runs: one thread owns it, tells what comes, and sends what it is given.
//!
//! Deliberately absent: what any of it means, and another session when this one is lost (`back.rs`).
//!
//! # Two queues
//! What is said of the job (signals, credit) is little and never waits. Standard input waits until all before it has left,
//! and stays where it is kept until it was taken at the other end (`stdin.rs`).
//!
//! # A bridge that is silent
//! Nothing comes from a job that only computes. So the bridge is told every [`BEAT_EVERY`] that somebody is here, and answers
//! that. When nothing has come for [`GONE_AFTER`], as long as the bridge waits too, the connection is lost.

use crate::stdin::Input;
use deploy_trust::session::{Session, SessionError};
use deploy_wire::client::{Answer, Ask, BEAT_EVERY, GONE_AFTER};
use mio::{Events, Poll, Token, Waker};
use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// What the thread tells.
#[derive(Debug)]
pub enum Heard {
    /// The bridge said something. After the last word of a job nothing follows.
    Answer(Answer),
    /// The connection is lost, and why.
    Lost(String),
}

/// Where to say things.
#[derive(Clone)]
pub struct Line {
    words: Sender<Word>,
    waker: Arc<Waker>,
}

/// Something to say, and whom to tell when it has left.
struct Word {
    ask: Ask,
    left: Option<Sender<()>>,
}

impl Line {
    /// Starts the thread. It calls `tell` with what it hears, until that returns false or the session ends, and sends what
    /// is in `input`.
    pub fn start(
        session: Session,
        input: Arc<Input>,
        tell: impl FnMut(Heard) -> bool + Send + 'static,
    ) -> io::Result<Line> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        input.wake_by(waker.clone());
        let (words, words_to_say) = mpsc::channel();
        let now = Instant::now();
        let mut owner = Owner {
            session,
            poll,
            words: words_to_say,
            leaving: Vec::new(),
            input,
            said: now,
            heard: now,
            looked: now,
        };
        owner.session.register(owner.poll.registry(), SESSION)?;
        thread::Builder::new()
            .name("session".into())
            .spawn(move || owner.run(tell))?;
        Ok(Line { words, waker })
    }

    /// Says something. When the connection is lost it goes nowhere, and that is told.
    pub fn say(&self, ask: Ask) {
        self.send(Word { ask, left: None });
    }

    /// The same, and waits until it has left, but no longer than this.
    pub fn say_within(&self, ask: Ask, patience: Duration) {
        let (left, has_left) = mpsc::channel();
        let left = Some(left);
        self.send(Word { ask, left });
        // Either way there is nothing more to do about it.
        let _ = has_left.recv_timeout(patience);
    }

    fn send(&self, word: Word) {
        let _ = self.words.send(word);
        // It fails only for want of kernel memory; the thread looks again by itself in a while.
        let _ = self.waker.wake();
    }
}

/// What the thread has.
struct Owner {
    session: Session,
    poll: Poll,
    words: Receiver<Word>,
    /// Who waits for what was said to leave.
    leaving: Vec<Sender<()>>,
    input: Arc<Input>,
    /// When something was said, and when something was heard.
    said: Instant,
    heard: Instant,
    /// When we looked at the clock.
    looked: Instant,
}

impl Owner {
    fn run(mut self, mut tell: impl FnMut(Heard) -> bool) {
        let mut events = Events::with_capacity(4);
        loop {
            match self.turn(&mut events, &mut tell) {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    tell(Heard::Lost(why));
                    return;
                }
            }
        }
    }

    /// Sends what can be sent, waits, and tells what came. False when there is nothing more to do.
    fn turn(
        &mut self,
        events: &mut Events,
        tell: &mut impl FnMut(Heard) -> bool,
    ) -> Result<bool, String> {
        self.take_words().map_err(in_words)?;
        let left = (self.said + BEAT_EVERY).saturating_duration_since(Instant::now());
        match self.poll.poll(events, Some(left.max(LOOK_AGAIN))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(error.to_string());
            }
            _ => {}
        }
        self.session.handle_ready().map_err(in_words)?;
        while let Some(message) = self.session.poll_message().map_err(in_words)? {
            self.heard = Instant::now();
            let answer = Answer::decode(&message).map_err(|error| error.to_string())?;
            if answer == Answer::Beat {
                continue; // It is there.
            }
            let is_last = matches!(
                answer,
                Answer::Finished | Answer::Done | Answer::Refused { .. }
            );
            if is_last {
                self.session.finish();
                // The job is over, whether or not the goodbye arrives.
                let _ = self.session.flush();
            }
            if !tell(Heard::Answer(answer)) || is_last {
                return Ok(false);
            }
        }
        self.look_at_the_clock(Instant::now())?;
        Ok(true)
    }

    /// Words as long as there is room; input piece by piece, each when all before it has left.
    fn take_words(&mut self) -> Result<(), SessionError> {
        loop {
            while !self.session.is_full()
                && let Ok(word) = self.words.try_recv()
            {
                self.send(&word.ask);
                self.leaving.extend(word.left);
            }
            self.session.flush()?;
            if !self.session.is_flushed() {
                return Ok(());
            }
            for left in self.leaving.drain(..) {
                let _ = left.send(()); // It may have had enough of waiting.
            }
            let Some(bytes) = self.input.take() else {
                return Ok(());
            };
            self.send(&Ask::Input { bytes });
        }
    }

    fn send(&mut self, ask: &Ask) {
        self.said = Instant::now();
        let sent = self.session.send(ask.encode());
        debug_assert!(
            sent.is_ok(),
            "asked whether there is room; nothing said here is long"
        );
    }

    fn look_at_the_clock(&mut self, now: Instant) -> Result<(), String> {
        if now - self.looked > GONE_AFTER {
            self.heard = now; // We were stopped ourselves, or the machine slept: the silence was ours.
        }
        self.looked = now;
        if now - self.heard >= GONE_AFTER {
            return Err(format!("nothing has come for {} s", GONE_AFTER.as_secs()));
        }
        if now - self.said >= BEAT_EVERY && !self.session.is_full() {
            self.send(&Ask::Beat);
        }
        Ok(())
    }
}

fn in_words(error: SessionError) -> String {
    error.to_string()
}

const WAKER: Token = Token(0);
const SESSION: Token = Token(1);

/// How soon to look again at a session that takes nothing, although something is due.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
