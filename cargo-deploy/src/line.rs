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
//!
//! # Ctrl-Z
//! The bridge is told before, and then nothing more is said until we go on: the next word would be that we are here. And who
//! was stopped has heard nothing for a time of its own making.

use crate::{here::Hands, stdin::Input};
use deploy_parcel::talk::Unpacker;
use deploy_trust::session::{Session, SessionError};
use deploy_wire::{
    client::{Answer, Ask, BEAT_EVERY, GONE_AFTER},
    event::Event,
    job::JobReport,
};
use mio::{Events, Poll, Token, Waker};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
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
pub struct Line {
    words: Sender<Word>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

/// What the thread is to do.
enum Word {
    Say(Ask),
    /// Say that we will be stopped, tell who waits for it that it has left, and say nothing more.
    Stop(Sender<()>),
    /// Say that we are here.
    GoOn,
    /// Pass a signal on to what has the initial process here.
    Signal(i32),
}

impl Line {
    /// Starts the thread. It calls `tell` with what it hears, until that returns false or the session ends, and sends what
    /// is in `input`.
    pub fn start(
        session: Session,
        input: Arc<Input>,
        hands: Option<Hands>,
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
            hands,
            unpacker: Unpacker::new()?,
            reports: VecDeque::new(),
            bulk: VecDeque::new(),
            is_stopped: false,
            beaten: now,
            said: now,
            heard: now,
            looked: now,
        };
        owner.session.register(owner.poll.registry(), SESSION)?;
        if let Some(hands) = &owner.hands {
            hands.register(owner.poll.registry(), HANDS)?;
        }
        let thread = thread::Builder::new()
            .name("session".into())
            .spawn(move || owner.run(tell))?;
        Ok(Line {
            words,
            waker,
            thread,
        })
    }

    /// Says something. When the connection is lost it goes nowhere, and that is told.
    pub fn say(&self, ask: Ask) {
        self.send(Word::Say(ask));
    }

    /// We are about to be stopped: says so, and waits until that has left, but no longer than this. Nothing is said until
    /// [`go_on`](Line::go_on).
    pub fn stop_within(&self, patience: Duration) {
        let (left, has_left) = mpsc::channel();
        self.send(Word::Stop(left));
        // Either way there is nothing more to do about it.
        let _ = has_left.recv_timeout(patience);
    }

    /// We were stopped, and go on.
    pub fn go_on(&self) {
        self.send(Word::GoOn);
    }

    /// Passes a signal on to what has the initial process here.
    pub fn signal(&self, signal: i32) {
        self.send(Word::Signal(signal));
    }

    /// Waits until the session has ended, and nothing of the job is left here.
    pub fn wait(self) {
        drop(self.words);
        // A panic there was told on standard error.
        let _ = self.thread.join();
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
    /// What has the initial process, where that is here. It goes with the session.
    hands: Option<Hands>,
    /// What makes of much output again what it was.
    unpacker: Unpacker,
    /// What it reports, on its way; and of that what may wait for all else.
    reports: VecDeque<Vec<u8>>,
    bulk: VecDeque<Vec<u8>>,
    /// We are about to be stopped, or are.
    is_stopped: bool,
    /// When we last asked whether anybody is there.
    beaten: Instant,
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
        self.hear_hands();
        self.take_words().map_err(in_words)?;
        let left = self.beat_due().saturating_duration_since(Instant::now());
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
            let answer = match (self.unpack(answer), &mut self.hands) {
                (Answer::Beat, _) => continue, // It is there.
                (Answer::Order { order, file }, Some(hands)) => {
                    hands.order(*order, file)?;
                    continue;
                }
                (answer, _) => answer,
            };
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

    /// The same, but that much output is what it was before it was packed.
    fn unpack(&mut self, answer: Answer) -> Answer {
        let Answer::Packed {
            pid,
            stream,
            packed,
            sequence,
        } = answer
        else {
            return answer;
        };
        let len = packed.stands_for();
        match self.unpacker.unpack(packed.bytes(), len) {
            Ok(bytes) => Answer::Event {
                event: Event::Output { pid, stream, bytes },
                sequence,
            },
            // To hear it again would not help: whoever packed it meant nothing by it.
            Err(_) => Answer::Missed { bytes: len as u64 },
        }
    }

    /// Words as long as there is room; input piece by piece, each when all before it has left.
    fn take_words(&mut self) -> Result<(), SessionError> {
        loop {
            while !self.session.is_full() {
                match self.words.try_recv() {
                    Ok(Word::Say(ask)) => self.send(ask.encode()),
                    Ok(Word::Stop(left)) => {
                        self.send(Ask::Stopped.encode());
                        self.leaving.push(left);
                        self.is_stopped = true;
                    }
                    Ok(Word::GoOn) => self.go_on(),
                    Ok(Word::Signal(signal)) => {
                        self.hands.iter().for_each(|hands| hands.signal(signal));
                    }
                    Err(_) if self.is_stopped => break,
                    Err(_) => match self.reports.pop_front() {
                        Some(report) => self.send(report),
                        None => break,
                    },
                }
            }
            self.session.flush()?;
            if !self.session.is_flushed() {
                return Ok(());
            }
            for left in self.leaving.drain(..) {
                let _ = left.send(()); // It may have had enough of waiting.
            }
            if self.is_stopped {
                return Ok(());
            }
            let input = || {
                Some(
                    Ask::Input {
                        bytes: self.input.take()?,
                    }
                    .encode(),
                )
            };
            let Some(message) = self.bulk.pop_front().or_else(input) else {
                return Ok(());
            };
            self.send(message);
        }
    }

    /// Takes in what is reported here, as long as what was reported before leaves.
    fn hear_hands(&mut self) {
        while self.reports.len() < REPORTS_MAX
            && let Some(hands) = &mut self.hands
        {
            let (report, file) = match hands.hear() {
                Ok(None) => return,
                Ok(Some(reported)) => reported,
                Err(why) => (JobReport::Failed { why }, None),
            };
            if matches!(report, JobReport::Closed | JobReport::Failed { .. }) {
                self.hands = None; // That was the last.
            }
            let report = Box::new(report);
            let ask = Ask::Report { report, file };
            let queue = match ask.is_bulk() {
                true => &mut self.bulk,
                false => &mut self.reports,
            };
            queue.push_back(ask.encode());
        }
    }

    /// We were stopped, and the silence was ours.
    fn go_on(&mut self) {
        self.is_stopped = false;
        self.heard = Instant::now();
        self.send(Ask::Beat.encode());
    }

    fn send(&mut self, message: Vec<u8>) {
        self.said = Instant::now();
        let sent = self.session.send(message);
        debug_assert!(
            sent.is_ok(),
            "asked whether there is room; nothing said here is too long"
        );
    }

    /// When to ask whether anybody is there: when we have said nothing for long, or heard nothing.
    fn beat_due(&self) -> Instant {
        self.said.min(self.heard).max(self.beaten) + BEAT_EVERY
    }

    fn look_at_the_clock(&mut self, now: Instant) -> Result<(), String> {
        if now - self.looked > GONE_AFTER || self.is_stopped {
            self.heard = now; // We were stopped without being asked, or will be: the silence is ours.
        }
        self.looked = now;
        let patience = match self.hands {
            Some(_) => FENCE_AFTER,
            None => GONE_AFTER,
        };
        if now - self.heard >= patience {
            return Err(format!("nothing has come for {} s", patience.as_secs()));
        }
        if now >= self.beat_due() && !self.session.is_full() && !self.is_stopped {
            self.beaten = now;
            self.send(Ask::Beat.encode());
        }
        Ok(())
    }
}

fn in_words(error: SessionError) -> String {
    error.to_string()
}

const WAKER: Token = Token(0);
const SESSION: Token = Token(1);
const HANDS: Token = Token(2);

/// Where a process of the job runs here, it is ended well before the bridge takes it for lost.
const FENCE_AFTER: Duration = Duration::from_secs(10);
/// What may wait to be reported: more is left where it is.
const REPORTS_MAX: usize = 1 << 10;

/// How soon to look again at a session that takes nothing, although something is due.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
