//! Channels of bytes, read and written like files.
//!
//! A stream of `u8` is the same however each side writes and reads it: a run of bytes is as many values. Nothing here
//! keeps bytes back: what was written is sent, and what was not read stays in the channel's window.

use crate::{
    carrier::Place,
    error::ChannelError,
    link::{self, Link, Look, Who},
    outlet::Refusal,
    receiver::Receiver,
    sender::Sender,
    waits::Line,
};
use deploy_wire::inbound::Taken;
use std::{
    io::{self, Read, Write},
    panic::Location,
    sync::Arc,
};

/// Each byte is a value. `write` blocks while the receiver's window is full, and sends at least one byte; `flush` is
/// [`Sender::flush`].
///
/// # Errors
/// The [`ChannelError`] inside an error of a kind that fits it: `BrokenPipe` if the receiver was dropped,
/// `ConnectionReset` if its process ended.
///
/// ```no_run
/// # use deploy::*;
/// use std::io::{self, Read, Write};
///
/// fn report(parent: Pid, (): ()) {
///     let mut sender = Sender::<u8>::new(parent);
///     writeln!(sender, "all {} shelves are sorted", 7).expect("somebody reads");
///     io::copy(&mut io::repeat(b'.').take(1 << 20), &mut sender).expect("somebody reads");
/// }
/// ```
impl Write for Sender<u8> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        Ok(Sender::flush(self)?)
    }
}

/// As for the sender itself; several threads can write, and what one `write` takes stays together.
impl Write for &Sender<u8> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if let Some(error) = link::end_of_fork() {
            return Err(error.into());
        }
        Ok(self.outlet.write(bytes, Location::caller())?)
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        Ok(Sender::flush(self)?)
    }
}

/// Each byte is a value. `read` blocks until there is one, takes as many as are there, and returns 0 only when the peer
/// has dropped its sender.
///
/// # Errors
/// The [`ChannelError`] inside an error of a kind that fits it: `ConnectionReset` if the sender's process ended,
/// `InvalidData` if it sends another type.
///
/// ```no_run
/// # use deploy::*;
/// use std::io::{BufRead, BufReader};
///
/// fn print_all(receiver: Receiver<u8>) {
///     for line in BufReader::new(receiver).lines() {
///         println!("{}", line.expect("the sender is dropped when all is said"));
///     }
/// }
/// ```
impl Read for Receiver<u8> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

/// As for the receiver itself; several threads can read, each byte going to one of them.
impl Read for &Receiver<u8> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.take_run(buffer, Location::caller()) {
            Err(ChannelError::Closed) => Ok(0),
            taken => Ok(taken?),
        }
    }
}

impl Receiver<u8> {
    /// Takes at least one byte, and at most as many as the buffer holds.
    fn take_run(&self, buffer: &mut [u8], at: Line) -> Result<usize, ChannelError> {
        let found = match self.look_run(buffer) {
            Look::Found(found) => found,
            _ => self
                .link
                .wait(None, Some(self.waiting(Some(at))), |who| {
                    self.step_run(buffer, who)
                })
                .expect("a wait without deadline finds something"),
        };
        found.map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Panicked => self.link.end_after_panic(),
        })
    }

    /// Takes what had arrived, or reads what comes.
    fn step_run(&self, buffer: &mut [u8], who: Who) -> Look<Result<usize, Refusal>> {
        match self.look_run(buffer) {
            Look::Nothing => {}
            look => return look,
        }
        if let Some(count) = self.link.read_run(self.generation, buffer, who) {
            return Look::Found(Ok(count));
        }
        self.link.read_as(who).into()
    }

    /// Takes what had arrived, or finds the end.
    fn look_run(&self, buffer: &mut [u8]) -> Look<Result<usize, Refusal>> {
        if let Some(error) = link::end_of_fork() {
            return Look::Found(Err(Refusal::Error(error)));
        }
        let mut rx = self.link.rx();
        if let Some(byte) = self.slot.take() {
            let taken = byte.map(|byte| buffer[0] = byte).map_err(Refusal::Error);
            return Look::Found(taken.map(|()| 1));
        }
        let found = match rx.inbound.take_run(self.generation, buffer.len()) {
            Ok(Taken::Record(run)) => {
                buffer[..run.len()].copy_from_slice(run);
                Some(Ok(run.len()))
            }
            other => self.end_of(other).map(Err),
        };
        if let Some(sent) = self.mismatched(&rx) {
            drop(rx);
            return Look::Found(Err(Refusal::Error(self.refuse(sent))));
        }
        self.link.settle(rx);
        Look::of(found)
    }
}

impl Link {
    /// Reads bytes of the run that is being taken straight to where they belong, where that saves copying much.
    fn read_run(self: &Arc<Link>, generation: u32, buffer: &mut [u8], who: Who) -> Option<usize> {
        if buffer.len() < DIRECT_BYTES_MIN || who == Who::Sleeper {
            return None;
        }
        let mut guard = self.rx();
        let rx = &mut *guard;
        let count = rx.inbound.direct_run(generation).min(buffer.len());
        if count < DIRECT_BYTES_MIN || (self.turn.has_owner() && who != Who::Owner) {
            return None;
        }
        let socket = self.socket().filter(|_| !self.has_ended())?;
        let mut place = Place::In(&mut buffer[..count], 0);
        let came = rx.way.read_direct(socket, &mut rx.inbound, &mut place);
        let filled = count - place.room();
        self.handle_came(guard, came);
        (filled > 0).then_some(filled)
    }
}

/// Fewer bytes are read together with what comes behind them, and copied: that costs less than a system call.
const DIRECT_BYTES_MIN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel_tests::connected, select};
    use std::thread;

    /// How many bytes each call concerns: one value, a line, a record, a run that is cut by windows and sockets.
    const LENGTHS: [usize; 8] = [1, 80, 7000, 16 << 10, 40_000, 3, 1 << 20, 65_537];

    fn byte(at: usize) -> u8 {
        (at % 251) as u8
    }

    #[test]
    fn a_stream_is_the_same_however_each_side_writes_and_reads_it() {
        const ROUNDS: usize = 40;
        let ends = connected();
        let (sender, receiver) = (Sender::<u8>::on(ends.left), Receiver::<u8>::on(ends.right));
        let writer = thread::spawn(move || {
            let mut at = 0;
            for round in 0..ROUNDS {
                let run: Vec<u8> = (at..at + LENGTHS[round % 8]).map(byte).collect();
                match round % 3 {
                    0 => run
                        .iter()
                        .take(70_000)
                        .for_each(|byte| sender.send(*byte).unwrap()),
                    _ => (&sender).write_all(&run).unwrap(),
                }
                at += if round % 3 == 0 {
                    run.len().min(70_000)
                } else {
                    run.len()
                };
            }
            at
        });
        let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
        for round in 0.. {
            let count = match round % 5 {
                0 => receiver.recv().map_or(0, |byte| {
                    buffer[0] = byte;
                    1
                }),
                1 => {
                    select! { recv(receiver) -> byte => byte.map_or(0, |byte| { buffer[0] = byte; 1 }) }
                }
                _ => (&receiver).read(&mut buffer[..LENGTHS[round % 8]]).unwrap(),
            };
            assert!(
                (0..count).all(|index| buffer[index] == byte(at + index)),
                "{at}"
            );
            at += count;
            if count == 0 {
                break;
            }
        }
        assert_eq!(at, writer.join().unwrap());
        assert_eq!((&receiver).read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn several_threads_write_and_each_write_stays_together() {
        let ends = connected();
        let (sender, receiver) = (Sender::<u8>::on(ends.left), Receiver::<u8>::on(ends.right));
        let mut heard = Vec::new();
        thread::scope(|scope| {
            let sender = sender;
            scope.spawn(move || {
                thread::scope(|scope| {
                    for name in 0..4u8 {
                        let mut sender = &sender;
                        scope.spawn(move || {
                            (0..500).for_each(|_| sender.write_all(&[name; 1000]).unwrap());
                        });
                    }
                });
            });
            (&receiver).read_to_end(&mut heard).unwrap();
        });
        assert_eq!(heard.len(), 4 * 500 * 1000);
        for run in heard.chunks(1000) {
            assert!(run.iter().all(|byte| *byte == run[0]));
        }
    }
}
