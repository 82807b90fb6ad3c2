//! Programs that people are sending: each is taken in by a thread of its own, so that digests, a slow disk and a frame
//! that grows a thousandfold keep nobody else waiting.
//!
//! Deliberately absent: who may send. Chunks are handed to the thread through a queue; each that it has taken out is
//! acknowledged, and the client has no more on their way than the queue holds.

use crate::images::{ImageError, Images, Intake};
use deploy_wire::{
    client::{Answer, CHANGE_BYTES_MAX, CHUNKS_UNDER_WAY_MAX, Digest},
    code::OwnCode,
};
use mio::{Token, Waker};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender, TrySendError},
    },
    thread,
};

/// The programs on their way here, by who sends them.
#[derive(Debug)]
pub(super) struct Uploads {
    images: Images,
    running: BTreeMap<Token, Upload>,
    begun: u64,
    told: Receiver<Told>,
    teller: Sender<Told>,
    waker: Arc<Waker>,
}

#[derive(Debug)]
struct Upload {
    number: u64,
    chunks: SyncSender<Vec<u8>>,
}

/// Told by a thread: for whom, of which upload, and the answer that follows; whether it was the last.
#[derive(Debug)]
struct Told {
    token: Token,
    number: u64,
    answer: Answer,
    is_last: bool,
}

/// A program that somebody wants to send.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
    /// What its sender could send it as a change of.
    pub bases: Vec<Digest>,
}

impl Uploads {
    /// None yet. `waker` is called, by other threads, when there is something to poll.
    pub(super) fn new(images: Images, waker: Arc<Waker>) -> Uploads {
        let (teller, told) = mpsc::channel();
        Uploads {
            images,
            running: BTreeMap::new(),
            begun: 0,
            told,
            teller,
            waker,
        }
    }

    /// Somebody wants to send a program, in place of any other that it was sending.
    pub(super) fn begin(&mut self, token: Token, wanted: Wanted) -> Result<(), String> {
        self.running.remove(&token);
        if self.running.len() >= UPLOADS_MAX {
            return Err(format!(
                "{UPLOADS_MAX} programs are being sent to this cluster just now: try again in a moment"
            ));
        }
        self.begun += 1;
        let (chunks, queue) = mpsc::sync_channel(CHUNKS_UNDER_WAY_MAX);
        let desk = Desk {
            images: self.images.clone(),
            token,
            number: self.begun,
            teller: self.teller.clone(),
            waker: self.waker.clone(),
        };
        let number = self.begun;
        let thread = thread::Builder::new().name("upload".to_string());
        thread
            .spawn(move || desk.take_in(&wanted, queue))
            .map_err(|error| format!("the program cannot be taken in: {error}"))?;
        self.running.insert(token, Upload { number, chunks });
        Ok(())
    }

    /// The next bytes. Of what was refused some may still come.
    pub(super) fn chunk(&mut self, token: Token, bytes: Vec<u8>) -> Result<(), String> {
        let Some(upload) = self.running.get(&token) else {
            return Ok(());
        };
        match upload.chunks.try_send(bytes) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.running.remove(&token);
                Err("it sends faster than it was told to".to_string())
            }
        }
    }

    /// Whoever sent has gone. What has come is kept for a while.
    pub(super) fn forget(&mut self, token: Token) {
        self.running.remove(&token);
    }

    /// The next answer, and for whom.
    pub(super) fn poll(&mut self) -> Option<(Token, Answer)> {
        while let Ok(told) = self.told.try_recv() {
            let running = self.running.get(&told.token);
            if running.is_none_or(|upload| upload.number != told.number) {
                continue;
            }
            if told.is_last {
                self.running.remove(&told.token);
            }
            return Some((told.token, told.answer));
        }
        None
    }
}

/// The thread's side.
struct Desk {
    images: Images,
    token: Token,
    number: u64,
    teller: Sender<Told>,
    waker: Arc<Waker>,
}

impl Desk {
    fn take_in(&self, wanted: &Wanted, queue: Receiver<Vec<u8>>) {
        let chunks = Chunks {
            desk: self,
            digest: wanted.digest,
            queue,
            current: Vec::new(),
            taken: 0,
            is_first: true,
        };
        let answer = match self.try_take_in(wanted, chunks) {
            Ok(()) => Answer::ImageKnown,
            Err(_) if self.images.has(&wanted.digest) => Answer::ImageKnown,
            Err(error) => Answer::Refused {
                code: OwnCode::Launch.number() as u8,
                why: error.to_string(),
            },
        };
        self.tell(answer, true);
    }

    fn try_take_in(&self, wanted: &Wanted, chunks: Chunks<'_>) -> Result<(), ImageError> {
        let mut intake: Intake = self.images.resume(wanted.digest, wanted.len)?;
        let is_small = wanted.len <= CHANGE_BYTES_MAX;
        let mut bases = wanted.bases.iter().take(BASES_MAX).filter(|_| is_small);
        let base = bases.find(|base| self.images.is_base(base)).copied();
        let offset = intake.arrived();
        self.tell(Answer::ImageWanted { offset, base }, false);
        intake.take_in(chunks, base.as_ref())?;
        intake.pack()?;
        intake.keep()
    }

    fn tell(&self, answer: Answer, is_last: bool) {
        let told = Told {
            token: self.token,
            number: self.number,
            answer,
            is_last,
        };
        // If nobody listens, the master is at its end.
        let _ = self.teller.send(told);
        let _ = self.waker.wake();
    }
}

/// What comes, one chunk behind the other.
struct Chunks<'d> {
    desk: &'d Desk,
    digest: Digest,
    queue: Receiver<Vec<u8>>,
    current: Vec<u8>,
    taken: usize,
    is_first: bool,
}

impl Read for Chunks<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.current.len() {
            self.next()?;
        }
        let read = (&self.current[self.taken..]).read(bytes)?;
        self.taken += read;
        Ok(read)
    }
}

impl Chunks<'_> {
    fn next(&mut self) -> io::Result<()> {
        let is_over = || io::Error::from(io::ErrorKind::ConnectionAborted);
        if !self.is_first {
            // Somebody else may have sent the same program meanwhile.
            if self.desk.images.has(&self.digest) {
                return Err(is_over());
            }
            self.desk.tell(Answer::ImageTaken, false);
        }
        self.is_first = false;
        self.current = self.queue.recv().map_err(|_| is_over())?;
        self.taken = 0;
        Ok(())
    }
}

/// Each takes a thread and, at worst, some hundreds of MiB of memory.
const UPLOADS_MAX: usize = 16;
/// More are not looked for.
const BASES_MAX: usize = 8;
