//! A thread that writes to one destination what is queued for it. Nobody but this thread ever waits for the
//! destination; the queue's owner asks whether it is full and is woken when it is no longer.
//!
//! The destination is a descriptor that others share with us, so it stays as they have it: blocking, if nobody made it
//! otherwise.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

/// One destination, its queue and its thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Buffers that have been written, to be filled again.
#[derive(Default)]
pub(crate) struct Spares(Mutex<Vec<Vec<u8>>>);

/// Tells the owner of the queues that something has changed.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    spares: Arc<Spares>,
    wake: Wake,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// What the queue and the buffer that is being written take up.
    memory: usize,
    full: bool,
    /// The thread waits for something to write.
    idle: bool,
    closed: bool,
    broken: bool,
    error: Option<io::Error>,
}

impl Writer {
    pub fn new(
        name: &str,
        destination: impl io::Write + Send + 'static,
        spares: Arc<Spares>,
        wake: Wake,
    ) -> io::Result<Writer> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            spares,
            wake,
        });
        let thread = thread::Builder::new().name(name.to_string()).spawn({
            let shared = shared.clone();
            move || shared.run(destination)
        })?;
        Ok(Writer {
            shared,
            thread: Some(thread),
        })
    }

    /// Queues bytes, however full the queue is; drops them if the destination is broken.
    pub fn push(&self, bytes: Vec<u8>) {
        let spare = self.shared.lock().push(bytes);
        self.shared.spares.give(spare);
    }

    /// Has the thread write what is queued, unless it is at work already.
    pub fn rouse(&self) {
        let mut state = self.shared.lock();
        let sleeps = !state.queue.is_empty() && mem::take(&mut state.idle);
        drop(state);
        if sleeps {
            self.shared.changed.notify_one();
        }
    }

    /// Whether more should wait until the owner is woken.
    pub fn is_full(&self) -> bool {
        self.shared.lock().full
    }

    /// Whether writing has failed; nothing is written any more.
    pub fn is_broken(&self) -> bool {
        self.shared.lock().broken
    }

    /// Waits until all is written, or cannot be.
    pub fn finish(mut self) -> Result<(), io::Error> {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer does not panic");
        }
        match self.shared.lock().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl State {
    /// Gives back the buffer, or an empty one in its place.
    fn push(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.broken {
            return bytes;
        }
        let mut spare = Vec::new();
        match self.queue.back_mut() {
            Some(last) if last.len() + bytes.len() <= JOINED_MAX => {
                let before = last.capacity();
                last.extend_from_slice(&bytes);
                self.memory += last.capacity() - before;
                spare = bytes;
            }
            _ => {
                self.memory += bytes.capacity();
                self.queue.push_back(bytes);
            }
        }
        self.full |= self.memory >= QUEUE_MAX;
        spare
    }
}

/// The thread writes what is queued and then ends, but nobody waits for it.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn run(&self, mut destination: impl io::Write) {
        while let Some(bytes) = self.next() {
            let outcome = write_all(&mut destination, &bytes);
            let broken = outcome.is_err();
            self.done(bytes, outcome);
            if broken {
                return;
            }
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if let Some(bytes) = state.queue.pop_front() {
                return Some(bytes);
            }
            if state.closed {
                return None;
            }
            state.idle = true;
            state = self.changed.wait(state).expect(UNPOISONED);
        }
    }

    fn done(&self, bytes: Vec<u8>, outcome: io::Result<()>) {
        let mut state = self.lock();
        let mut wake = false;
        state.memory -= bytes.capacity();
        if let Err(error) = outcome {
            state.error = Some(error);
            state.broken = true;
            state.queue.clear();
            state.memory = 0;
            wake = true;
        }
        if state.full && state.memory <= QUEUE_MAX / 2 {
            state.full = false;
            wake = true;
        }
        drop(state);
        self.spares.give(bytes);
        if wake {
            (self.wake)();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

impl Spares {
    /// An empty buffer of [`BUFFER_LEN`].
    pub fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().expect(UNPOISONED).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_LEN))
    }

    /// Keeps a buffer for later if it is of use.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == BUFFER_LEN {
            let mut spares = self.0.lock().expect(UNPOISONED);
            if spares.len() < SPARES_MAX {
                buffer.clear();
                spares.push(buffer);
            }
        }
    }
}

/// As `Write::write_all`, but the destination may have been made non-blocking by somebody who shares it.
fn write_all(destination: &mut impl io::Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match destination.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nothing may be lost and nothing here can poll; it is rare, and nobody but this thread waits.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The capacity of buffers for output: what a read of a large pipe brings in one system call.
const BUFFER_LEN: usize = 256 << 10;
/// Sixteen buffers: enough to keep writing while the other threads are scheduled, and all that a reader that stalls
/// costs, beside one event of each process.
const QUEUE_MAX: usize = 16 * BUFFER_LEN;
/// Small writes that wait are joined up to this size: past it another system call no longer counts.
const JOINED_MAX: usize = 32 << 10;
/// More than are on the way while the reader keeps up; after a stall the rest is given back.
const SPARES_MAX: usize = 8;
const RETRY_AFTER: Duration = Duration::from_millis(1);
const UNPOISONED: &str = "nobody panics while holding it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_when_they_are_written() {
        let spares = Arc::new(Spares::default());
        let wake: Wake = Arc::new(|| ());
        let writer = Writer::new("test", io::sink(), spares.clone(), wake).unwrap();
        let [mut large, mut small] = [spares.take(), spares.take()];
        assert_eq!(spares.0.lock().unwrap().len(), 0);
        large.resize(BUFFER_LEN, b'x');
        small.push(b'x');
        writer.push(large);
        writer.push(small);
        writer.push(vec![b'x']);
        writer.finish().unwrap();
        let spares = spares.0.lock().unwrap();
        assert_eq!(spares.len(), 2);
        assert!(
            spares
                .iter()
                .all(|spare| spare.is_empty() && spare.capacity() == BUFFER_LEN)
        );
    }

    #[test]
    fn small_writes_that_wait_are_joined() {
        let mut state = State::default();
        for _ in 0..1000 {
            state.push(vec![b'x'; 100]);
        }
        let sizes = state.queue.iter().map(Vec::len);
        assert_eq!(sizes.collect::<Vec<_>>(), [32_700, 32_700, 32_700, 1900]);
        let memory: usize = state.queue.iter().map(Vec::capacity).sum();
        assert_eq!(state.memory, memory);
    }
}
