//! Bytes from one process to another through memory that both have: one writes, the other reads.
//!
//! Deliberately absent: sleeping and waking. Each side leaves a mark where it is about to sleep, and the other one says
//! that it saw it; what then wakes whom is the caller's.
//!
//! # The memory
//! A page of marks, each on a cache line of its own, and a ring of bytes. `tail` counts the bytes ever written and `head`
//! those ever read; each has one side that stores it. A side keeps its own count to itself and never reads it back, and
//! checks the other's: between the two lie at most as many bytes as the ring has. So a peer that lies can have us read
//! what it likes from the ring, and nothing else. The file can neither shrink nor grow, and its pages are there from the
//! beginning.
//!
//! # No wake-up is lost
//! Who sleeps leaves its mark, then looks once more; who moves a count stores that first, and then looks at the mark. With
//! a fence between the two on either side, at least one of them sees what the other stored: either the sleeper finds
//! that it need not sleep, or its peer finds the mark, takes it, and wakes it. A reader that takes many bytes looks for the
//! writer's mark without a fence, which can miss it; but before it sleeps, in [`Reader::listen`] or [`Reader::lie_down`], it
//! looks behind the fence, and then the ring is empty and there is room for whatever the writer waits for.

mod bed;
mod memory;
mod past;
mod short;
#[cfg(test)]
mod tests;
mod ways;

pub use bed::Bed;

use crate::{fd::raise, limit};
use bed::{IN_BED, WANTS_BELL};
use memory::{MARKS_BYTES, Memory};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::fstat,
    },
};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::atomic::{Ordering::*, fence},
    time::Instant,
};
use ways::{Way, Ways};

/// The end that writes.
#[derive(Debug)]
pub struct Writer {
    memory: Memory,
    /// How many bytes it wrote.
    tail: u64,
    /// How many of them had been read when that was looked at last.
    head: u64,
    /// How long bytes are written.
    ways: Ways,
}

/// The end that reads.
#[derive(Debug)]
pub struct Reader {
    memory: Memory,
    /// How many bytes it read.
    head: u64,
    /// Whether the writer's mark was taken, and it was not told yet.
    owes_room: bool,
}

/// A new ring of `capacity` bytes, a power of two: the file that the writer maps, and the end that reads. It is born
/// with the mark of a reader that wants a bell.
///
/// # Errors
/// If there is no memory or descriptor for it, or a limit on the size of files does not let it be so long.
pub fn make(capacity: usize) -> io::Result<(OwnedFd, Reader)> {
    assert!(is_capacity(capacity), "a ring has a power of two");
    let bytes = (MARKS_BYTES + capacity) as libc::off_t;
    limit::check_file(bytes as u64)?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = raise(memfd_create(c"deploy-ring", flags)?)?;
    while let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    fcntl(
        &file,
        FcntlArg::F_ADD_SEALS(seals() | SealFlag::F_SEAL_SEAL),
    )?;
    let memory = Memory::map(&file, capacity)?;
    memory.reader_sleeps().store(WANTS_BELL, SeqCst);
    let reader = Reader {
        memory,
        head: 0,
        owes_room: false,
    };
    Ok((file, reader))
}

impl Writer {
    /// The end that writes, of a ring of `capacity` bytes that a peer made.
    ///
    /// # Errors
    /// If the file is none of [`make`]'s of this capacity, or there is no memory to map it.
    pub fn map(file: BorrowedFd<'_>, capacity: usize) -> io::Result<Writer> {
        assert!(is_capacity(capacity), "a ring has a power of two");
        // The seals first: behind them its length stays what it is.
        let has = SealFlag::from_bits_retain(fcntl(file, FcntlArg::F_GET_SEALS)?);
        let is_as_long = fstat(file)?.st_size == (MARKS_BYTES + capacity) as libc::off_t;
        if !has.contains(seals()) || !is_as_long {
            return Err(torn());
        }
        Ok(Writer {
            memory: Memory::map(&file, capacity)?,
            tail: 0,
            head: 0,
            ways: Ways::default(),
        })
    }

    /// Writes what fits of one slice and then the other, in steps that the reader sees one by one. A long value is
    /// the second, and may go past the caches.
    ///
    /// # Errors
    /// `WouldBlock` where nothing fits; `InvalidData` where the peer's count cannot be.
    pub fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        'written: for (mut bytes, may_go_past) in [(first, false), (second, true)] {
            while !bytes.is_empty() {
                let wanted = bytes.len().min(STEP_BYTES);
                let count = wanted.min(self.room_for(wanted)?);
                if count == 0 {
                    break 'written; // And nothing of the second behind a part of the first, though there may be room again.
                }
                match may_go_past && count >= LONG_BYTES {
                    true => self.put_long(&bytes[..count]),
                    false => self.memory.put(self.tail, &bytes[..count], Way::Through),
                }
                self.memory.put_short(self.tail, &bytes[..count]);
                self.tail += count as u64;
                self.memory.tail().store(self.tail, Release);
                written += count;
                bytes = &bytes[count..];
            }
        }
        if written == 0 && !(first.is_empty() && second.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    /// Copies bytes of a long value, for which there is room, by the way that takes least. Never a part of its caller, where most
    /// is short.
    #[inline(never)]
    fn put_long(&mut self, bytes: &[u8]) {
        let is_whole = bytes.len() == STEP_BYTES;
        let began = (is_whole && self.ways.is_measuring()).then(Instant::now);
        self.memory.put(self.tail, bytes, self.ways.way());
        if is_whole {
            self.ways.handle_step(began.map(|began| began.elapsed()));
        }
    }

    /// Takes the reader's mark, if it is there, and wakes who sleeps in the reader's bed. Says whether a bell is wanted, too.
    /// To be called after each write.
    pub fn wake(&self) -> bool {
        fence(SeqCst);
        let mark = self.memory.reader_sleeps();
        if mark.load(Relaxed) == 0 {
            return false;
        }
        let taken = mark.swap(0, SeqCst);
        if taken & IN_BED != 0 {
            bed::wake(mark);
        }
        taken & WANTS_BELL != 0
    }

    /// How many bytes fit: at least `wanted`, or as many as there is room for now.
    ///
    /// # Errors
    /// `InvalidData` where the peer's count cannot be.
    pub fn room_for(&mut self, wanted: usize) -> io::Result<usize> {
        let capacity = self.memory.capacity;
        let room = capacity - (self.tail - self.head) as usize;
        if room >= wanted {
            return Ok(room);
        }
        let head = self.memory.head().load(Acquire);
        let unread = self.tail.wrapping_sub(head);
        if unread > self.tail - self.head {
            return Err(torn());
        }
        self.head = head;
        Ok(capacity - unread as usize)
    }

    /// Leaves the mark of a writer that waits until a quarter is free, unless that is so already. Says whether it waits.
    pub fn await_room(&mut self) -> bool {
        if self.has_room() {
            return false;
        }
        let mark = self.memory.writer_sleeps();
        if mark.load(Relaxed) == 0 {
            mark.store(1, SeqCst);
        }
        fence(SeqCst);
        !self.has_room()
    }

    /// Whether a quarter is free, as [`Writer::await_room`] waits for; or the peer lies, which the next write says.
    pub fn has_room(&mut self) -> bool {
        let wanted = self.memory.capacity / 4;
        self.room_for(wanted).map_or(true, |room| room >= wanted)
    }
}

impl Reader {
    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; `InvalidData` where the peer's count cannot be.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.unread()?;
        let count = there.min(buffer.len());
        // SAFETY: `buffer` is borrowed exclusively, and has room for `count` bytes, of which no fewer are there.
        unsafe { self.take(buffer.as_mut_ptr(), count, there) };
        Ok(count)
    }

    /// Reads what is there, at most `count` bytes, to the end of `buffer`, which has room for them.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_onto(&mut self, buffer: &mut Vec<u8>, count: usize) -> io::Result<usize> {
        let there = self.unread()?;
        let spare = buffer.spare_capacity_mut();
        let count = there.min(count).min(spare.len());
        // SAFETY: the spare room belongs to `buffer` alone, and is at least `count` bytes, of which no fewer are there.
        unsafe { self.take(spare.as_mut_ptr().cast(), count, there) };
        // SAFETY: the first `count` bytes of the spare room have just been written.
        unsafe { buffer.set_len(buffer.len() + count) };
        Ok(count)
    }

    /// Whether nothing is there. (What cannot be is something, and reading it says so.)
    pub fn is_empty(&self) -> bool {
        self.memory.tail().load(Acquire) == self.head
    }

    /// Leaves the mark of a reader that wants a bell. Says whether it may sleep: nothing is there, and whoever writes from now
    /// on finds the mark.
    pub fn listen(&mut self) -> bool {
        self.leave_mark(WANTS_BELL)
    }

    /// The same for one that sleeps in its [`Bed`].
    pub fn lie_down(&mut self) -> bool {
        self.leave_mark(IN_BED)
    }

    /// Where one of its threads, and no more at a time, can sleep.
    pub fn bed(&self) -> Bed {
        Bed(self.memory.clone())
    }

    /// Another mark that somebody else has left for this reader stays.
    fn leave_mark(&mut self, mark: u32) -> bool {
        self.memory.reader_sleeps().fetch_or(mark, SeqCst);
        fence(SeqCst);
        self.look_for_writer(0);
        self.is_empty()
    }

    /// Whether the writer waits for room, and there is: it has to be told, and its mark is taken.
    pub fn take_mark(&mut self) -> bool {
        std::mem::take(&mut self.owes_room)
    }

    fn unread(&self) -> io::Result<usize> {
        let unread = self.memory.tail().load(Acquire).wrapping_sub(self.head);
        match usize::try_from(unread) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(unread) if unread <= self.memory.capacity => Ok(unread),
            _ => Err(torn()),
        }
    }

    /// Takes `count` bytes of those that are `there`.
    ///
    /// # Safety
    /// `to` may be written for `count` bytes, which nobody else sees; and `count` is no more than is there.
    unsafe fn take(&mut self, to: *mut u8, count: usize, there: usize) {
        // SAFETY: by this function's own condition.
        let is_short = unsafe { self.memory.take_short(self.head, there, to, count) };
        if !is_short {
            // SAFETY: by this function's own condition; and the ring holds `there` bytes from `head` on, by `unread`.
            unsafe { self.memory.copy_out(self.head, to, count) };
        }
        self.head += count as u64;
        self.memory.head().store(self.head, Release);
        self.look_for_writer(there - count);
    }

    /// Where the writer waits, it is told once half of the ring is free: that is worth waking it for.
    fn look_for_writer(&mut self, left: usize) {
        let mark = self.memory.writer_sleeps();
        if mark.load(Relaxed) != 0 && left <= self.memory.capacity / 2 {
            mark.store(0, SeqCst);
            self.owes_room = true;
        }
    }
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

fn is_capacity(bytes: usize) -> bool {
    bytes.is_power_of_two() && (CAPACITY_MIN..=CAPACITY_MAX).contains(&bytes)
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "shared memory says what cannot be",
    )
}

/// What is written before the reader sees it, so that both copy at the same time.
const STEP_BYTES: usize = 16 << 10;

/// What is worth the question which way it goes.
const LONG_BYTES: usize = 4 << 10;

const CAPACITY_MIN: usize = 4 << 10;
const CAPACITY_MAX: usize = 64 << 20;
