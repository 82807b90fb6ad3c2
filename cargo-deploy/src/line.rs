//! The session while a job runs: one thread owns it, tells what comes, and sends what it is given.
//!
//! Deliberately absent: what any of it means.
//!
//! # Two queues
//! What is said of the job (signals, credit) is little and never waits. Standard input may be as long as it likes, and
//! waits until all before it has left: its queue holds one piece, and whoever has more is blocked.
//!
//! # A bridge that is silent
//! Nothing comes from a job that only computes. So after [`SILENT`] the bridge is asked which jobs there are; whether it
//! answers is what counts. When nothing has come for [`GIVEN_UP`] after that, the connection is lost.

use deploy_trust::session::{Session, SessionError};
use deploy_wire::client::{Answer, Ask};
use mio::{Events, Poll, Token, Waker};
use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

/// What the thread tells.
#[derive(Debug)]
pub enum Heard {
    /// The bridge said something. After `Finished` nothing follows.
    Answer(Answer),
    /// The connection is lost, and why.
    Lost(String),
}

/// Where to say things.
#[derive(Clone)]
pub struct Line {
    words: Sender<Ask>,
    input: SyncSender<Vec<u8>>,
    waker: Arc<Waker>,
}

impl Line {
    /// Starts the thread. It calls `tell` with what it hears, until that returns false or the session ends.
    pub fn start(
        session: Session,
        tell: impl FnMut(Heard) -> bool + Send + 'static,
    ) -> io::Result<Line> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (words, words_to_say) = mpsc::channel();
        let (input, input_to_send) = mpsc::sync_channel(1);
        let mut owner = Owner {
            session,
            poll,
            words: words_to_say,
            input: input_to_send,
            asked: None,
            heard: Instant::now(),
        };
        owner.session.register(owner.poll.registry(), SESSION)?;
        thread::Builder::new()
            .name("session".into())
            .spawn(move || owner.run(tell))?;
        Ok(Line {
            words,
            input,
            waker,
        })
    }

    /// Says something. When the connection is lost it goes nowhere, and that is told.
    pub fn say(&self, ask: Ask) {
        let _ = self.words.send(ask);
        self.wake();
    }

    /// Sends standard input; none: its end. Blocks until there is room; false if the connection is gone.
    pub fn send_input(&self, bytes: Vec<u8>) -> bool {
        let is_taken = self.input.send(bytes).is_ok();
        self.wake();
        is_taken
    }

    fn wake(&self) {
        // It fails only for want of kernel memory; the thread looks again by itself in a while.
        let _ = self.waker.wake();
    }
}

/// What the thread has.
struct Owner {
    session: Session,
    poll: Poll,
    words: Receiver<Ask>,
    input: Receiver<Vec<u8>>,
    /// When the bridge was asked whether it is there.
    asked: Option<Instant>,
    heard: Instant,
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
        match self.poll.poll(events, Some(SILENT)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(error.to_string());
            }
            _ => {}
        }
        self.session.handle_ready().map_err(in_words)?;
        while let Some(message) = self.session.poll_message().map_err(in_words)? {
            self.heard = Instant::now();
            self.asked = None;
            let answer = Answer::decode(&message).map_err(|error| error.to_string())?;
            if matches!(answer, Answer::Jobs(_)) {
                continue; // It is there.
            }
            let is_last = answer == Answer::Finished;
            if is_last {
                self.session.finish();
                // The job is over, whether or not the goodbye arrives.
                let _ = self.session.flush();
            }
            if !tell(Heard::Answer(answer)) || is_last {
                return Ok(false);
            }
        }
        self.ask_whether_there(Instant::now())?;
        Ok(true)
    }

    /// Words as long as there is room; input piece by piece, each when all before it has left.
    fn take_words(&mut self) -> Result<(), SessionError> {
        loop {
            while !self.session.is_full()
                && let Ok(ask) = self.words.try_recv()
            {
                self.send(&ask);
            }
            self.session.flush()?;
            if !self.session.is_flushed() {
                return Ok(());
            }
            let Ok(bytes) = self.input.try_recv() else {
                return Ok(());
            };
            self.send(&Ask::Input { bytes });
        }
    }

    fn send(&mut self, ask: &Ask) {
        let sent = self.session.send(ask.encode());
        debug_assert!(
            sent.is_ok(),
            "asked whether there is room; nothing said here is long"
        );
    }

    fn ask_whether_there(&mut self, now: Instant) -> Result<(), String> {
        match self.asked {
            Some(asked) if now - asked >= GIVEN_UP => Err(format!(
                "nothing has come for {} s",
                (now - self.heard).as_secs()
            )),
            None if now - self.heard >= SILENT && !self.session.is_full() => {
                self.asked = Some(now);
                self.send(&Ask::Jobs);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn in_words(error: SessionError) -> String {
    error.to_string()
}

const WAKER: Token = Token(0);
const SESSION: Token = Token(1);

/// As long as a person is patient with a screen on which nothing moves.
const SILENT: Duration = Duration::from_secs(5);

/// With the silence before, what a node is given as well.
const GIVEN_UP: Duration = Duration::from_secs(10);
