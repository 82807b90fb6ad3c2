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
//! Who sleeps stores its mark, then looks once more; who moves a count stores that first, and then looks at the mark. With
//! a fence between the two on either side, at least one of them sees what the other stored: either the sleeper finds
//! that it need not sleep, or its peer finds the mark, takes it, and wakes it. A reader that takes many bytes looks for the
//! writer's mark without a fence, which can miss it; but before it sleeps, in [`Reader::listen`], it looks behind the fence,
//! and then the ring is empty and there is room for whatever the writer waits for.

use crate::fd::raise;
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
    num::NonZeroUsize,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence},
};

/// The end that writes.
#[derive(Debug)]
pub struct Writer {
    memory: Memory,
    /// How many bytes it wrote.
    tail: u64,
    /// How many of them had been read when that was looked at last.
    head: u64,
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
/// with the mark of a reader that sleeps.
pub fn make(capacity: usize) -> io::Result<(OwnedFd, Reader)> {
    assert!(is_capacity(capacity), "a ring has a power of two");
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = raise(memfd_create(c"deploy-ring", flags)?)?;
    let bytes = (MARKS_BYTES + capacity) as libc::off_t;
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
    memory.reader_sleeps().store(1, SeqCst);
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
        })
    }

    /// Writes what fits of one slice and then the other, in steps that the reader sees one by one.
    ///
    /// # Errors
    /// `WouldBlock` where nothing fits; `InvalidData` where the peer's count cannot be.
    pub fn write(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        for mut bytes in [first, second] {
            while !bytes.is_empty() {
                let wanted = bytes.len().min(STEP_BYTES);
                let count = wanted.min(self.room_for(wanted)?);
                if count == 0 {
                    break;
                }
                self.memory.put(self.tail, &bytes[..count]);
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

    /// Whether the reader's mark was there, and is taken: it sleeps, and has to be woken. To be asked after each write.
    pub fn take_mark(&self) -> bool {
        fence(SeqCst);
        let mark = self.memory.reader_sleeps();
        mark.load(Relaxed) != 0 && mark.swap(0, SeqCst) != 0
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
        // SAFETY: `buffer` is borrowed exclusively, and has room for `count` bytes.
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
        // SAFETY: the spare room belongs to `buffer` alone, and is at least `count` bytes.
        unsafe { self.take(spare.as_mut_ptr().cast(), count, there) };
        // SAFETY: the first `count` bytes of the spare room have just been written.
        unsafe { buffer.set_len(buffer.len() + count) };
        Ok(count)
    }

    /// Whether nothing is there. (What cannot be is something, and reading it says so.)
    pub fn is_empty(&self) -> bool {
        self.memory.tail().load(Acquire) == self.head
    }

    /// Leaves the mark of a reader that sleeps. Says whether it may: nothing is there, and whoever writes from now on finds
    /// the mark.
    pub fn listen(&mut self) -> bool {
        self.memory.reader_sleeps().store(1, SeqCst);
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
    /// `to` may be written for `count` bytes, which nobody else sees.
    unsafe fn take(&mut self, to: *mut u8, count: usize, there: usize) {
        // SAFETY: by this function's own condition; and the ring holds `there` bytes from `head` on, by `unread`.
        unsafe { self.memory.copy_out(self.head, to, count) };
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

/// The marks, and the bytes behind them, for as long as this lives.
#[derive(Debug)]
struct Memory {
    at: NonNull<u8>,
    capacity: usize,
}

// SAFETY: the mapping belongs to this value alone, whichever thread has it; what other processes do to it is met by atomics
// and by copies through raw pointers.
unsafe impl Send for Memory {}

// SAFETY: shared between threads only atomics of it are loaded and stored; the bytes are copied by `&mut` ends alone.
unsafe impl Sync for Memory {}

impl Memory {
    /// All of the file, which is as long as this capacity says and cannot shrink.
    fn map(file: &impl AsRawFd, capacity: usize) -> io::Result<Memory> {
        let bytes = NonZeroUsize::new(MARKS_BYTES + capacity).expect("there are marks");
        let may = libc::PROT_READ | libc::PROT_WRITE;
        let how = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: the kernel chooses a place where nothing is, so no memory of ours is touched.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes.get(), may, how, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).expect("the kernel maps nothing at zero by itself");
        Ok(Memory { at, capacity })
    }

    fn tail(&self) -> &AtomicU64 {
        self.mark(0)
    }

    fn head(&self) -> &AtomicU64 {
        self.mark(1)
    }

    fn reader_sleeps(&self) -> &AtomicU32 {
        self.half_mark(2)
    }

    fn writer_sleeps(&self) -> &AtomicU32 {
        self.half_mark(3)
    }

    fn mark(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the page of marks is mapped for as long as `self`, it holds this many lines, each is aligned, and no
        // process that has it looks at a mark but by atomics. (One that does otherwise changes a number under us, which is
        // what an atomic is for.)
        unsafe { AtomicU64::from_ptr(self.at.as_ptr().add(index * LINE_BYTES).cast()) }
    }

    fn half_mark(&self, index: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at.as_ptr().add(index * LINE_BYTES).cast()) }
    }

    /// Where the byte with this count lies, and how many lie behind it before the ring begins anew.
    fn place(&self, count: u64) -> (*mut u8, usize) {
        let offset = count as usize & (self.capacity - 1);
        // SAFETY: the offset is below the capacity, and so many bytes are mapped behind the marks.
        let at = unsafe { self.at.as_ptr().add(MARKS_BYTES + offset) };
        (at, self.capacity - offset)
    }

    /// Copies bytes, no more than the ring has, to where those from this count on lie.
    fn put(&self, count: u64, bytes: &[u8]) {
        assert!(bytes.len() <= self.capacity);
        let (at, before_end) = self.place(count);
        let (now, later) = bytes.split_at(bytes.len().min(before_end));
        // SAFETY: both runs lie in the ring, by `place` and the assertion; nobody has a reference into it; and a reader
        // that keeps to the rules does not look at what lies behind the tail.
        unsafe {
            ptr::copy_nonoverlapping(now.as_ptr(), at, now.len());
            let begin = self.at.as_ptr().add(MARKS_BYTES);
            ptr::copy_nonoverlapping(later.as_ptr(), begin, later.len());
        }
    }

    /// Copies so many bytes, no more than the ring has, from where those from this count on lie.
    ///
    /// # Safety
    /// `to` may be written for `bytes` bytes, which nobody else sees.
    unsafe fn copy_out(&self, count: u64, to: *mut u8, bytes: usize) {
        assert!(bytes <= self.capacity);
        let (at, before_end) = self.place(count);
        let now = bytes.min(before_end);
        // SAFETY: both runs lie in the ring, by `place` and the assertion, and `to` has room for them by this function's
        // own condition. A writer that keeps to the rules leaves them alone until the head is moved; one that does not has
        // us copy other bytes, which mean nothing yet.
        unsafe {
            ptr::copy_nonoverlapping(at, to, now);
            let begin = self.at.as_ptr().add(MARKS_BYTES);
            ptr::copy_nonoverlapping(begin, to.add(now), bytes - now);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and nothing refers to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), MARKS_BYTES + self.capacity) };
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

/// The page of marks; bytes that begin with a page are copied best.
const MARKS_BYTES: usize = 4096;

/// Two lines of 64 bytes: some processors fetch both at once.
const LINE_BYTES: usize = 128;

/// What is written before the reader sees it, so that both copy at the same time.
const STEP_BYTES: usize = 16 << 10;

const CAPACITY_MIN: usize = 4 << 10;
const CAPACITY_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fd::socketpair_stream, memfd, stream};
    use std::{os::fd::AsFd, thread};

    fn pair(capacity: usize) -> (Writer, Reader) {
        let (file, reader) = make(capacity).unwrap();
        (Writer::map(file.as_fd(), capacity).unwrap(), reader)
    }

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn bytes_come_in_order_around_the_end() {
        let (mut writer, mut reader) = pair(4096);
        let mut buffer = [0; 4096];
        assert_eq!(kind(reader.read(&mut buffer)), io::ErrorKind::WouldBlock);
        for round in 0..50u32 {
            let first = round.to_le_bytes();
            let second: Vec<u8> = (0..1000).map(|n| (n + round) as u8).collect();
            assert_eq!(writer.write(&first, &second).unwrap(), 1004);
            assert_eq!(reader.read(&mut buffer[..4]).unwrap(), 4);
            assert_eq!(buffer[..4], first);
            let mut onto = vec![9];
            onto.reserve(1000);
            assert_eq!(reader.read_onto(&mut onto, 1000).unwrap(), 1000);
            assert_eq!(onto[1..], second);
        }
        assert_eq!(writer.write(&[1; 3000], &[2; 3000]).unwrap(), 4096);
        assert_eq!(kind(writer.write(&[3], &[])), io::ErrorKind::WouldBlock);
        assert_eq!(reader.read(&mut buffer).unwrap(), 4096);
        assert_eq!((buffer[2999], buffer[3000]), (1, 2));
    }

    #[test]
    fn marks_are_found_and_taken_once() {
        let (mut writer, mut reader) = pair(4096);
        assert!(!writer.await_room());
        writer.write(&[0; 4096], &[]).unwrap();
        assert!(writer.take_mark() && !writer.take_mark());
        assert!(!reader.listen() && writer.take_mark());
        assert!(writer.await_room() && !writer.has_room());
        reader.read(&mut [0; 1000]).unwrap();
        assert!(!reader.take_mark(), "it is not worth waking it yet");
        reader.read(&mut [0; 2000]).unwrap();
        assert!(reader.take_mark() && !reader.take_mark());
        assert!(writer.has_room() && !writer.await_room());
        reader.read(&mut [0; 4096]).unwrap();
        assert!(reader.is_empty() && reader.listen());
    }

    #[test]
    fn a_peer_that_lies_is_found_out() {
        let (mut writer, mut reader) = pair(4096);
        writer.write(b"some", b"thing").unwrap();
        for tail in [4097, u64::MAX, 1 << 63] {
            reader.memory.tail().store(tail, SeqCst);
            assert_eq!(kind(reader.read(&mut [0; 8])), io::ErrorKind::InvalidData);
            assert!(!reader.listen());
        }
        writer.write(&[0; 4087], &[]).unwrap();
        for head in [4097, u64::MAX, 1 << 63] {
            writer.memory.head().store(head, SeqCst);
            assert_eq!(kind(writer.write(b"x", b"")), io::ErrorKind::InvalidData);
            assert!(!writer.await_room());
        }
    }

    #[test]
    fn only_memory_that_cannot_shrink_is_mapped() {
        let (file, _reader) = make(4096).unwrap();
        assert!(nix::unistd::ftruncate(&file, 100).is_err());
        assert!(nix::unistd::ftruncate(&file, 1 << 20).is_err());
        assert!(Writer::map(file.as_fd(), 8192).is_err(), "it is shorter");
        let sealed = memfd::sealed("sealed", &[0; 8192]).unwrap();
        let unsealed = memfd_create(c"unsealed", MFdFlags::MFD_CLOEXEC).unwrap();
        nix::unistd::ftruncate(&unsealed, 8192).unwrap();
        let (socket, _other) = socketpair_stream().unwrap();
        for other in [OwnedFd::from(sealed), unsealed, socket] {
            assert!(Writer::map(other.as_fd(), 4096).is_err());
        }
    }

    /// Bytes of a generator, in pieces of any size, through a ring so small that both sleep all the time: each on its end of
    /// a socket, where it is woken by a byte. What loses a wake-up never ends.
    fn stress(capacity: usize, total: u64, seed: u64) {
        let (mut writer, mut reader) = pair(capacity);
        let (here, there) = socketpair_stream().unwrap();
        let wake = |end: &OwnedFd| drop(stream::write(end.as_fd(), b"!", b""));
        let sleep = |end: &OwnedFd| stream::read_blocking(end.as_fd(), &mut [0; 64]).unwrap();
        let writing = thread::spawn(move || {
            let (mut sent, mut sizes, mut sleeps) = (0u64, Noise(seed), 0u64);
            while sent < total {
                let longest = [64, 2 * capacity as u64][usize::from(sizes.next() % 16 == 0)];
                let count = (sizes.next() % longest + 1).min(total - sent);
                let bytes: Vec<u8> = (sent..sent + count).map(byte).collect();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    match writer.write(rest, &[]) {
                        Ok(written) => rest = &rest[written..],
                        Err(_) if writer.await_room() => {
                            sleeps += 1;
                            sleep(&here);
                        }
                        Err(_) => {}
                    }
                    if writer.take_mark() {
                        wake(&here);
                    }
                }
                sent += count;
            }
            (sent, sleeps, here)
        });
        let (mut read, mut sizes, mut sleeps) = (0u64, Noise(!seed), 0u64);
        while read < total {
            let mut buffer = vec![0; (sizes.next() % capacity as u64 + 1) as usize];
            match reader.read(&mut buffer) {
                Ok(count) => {
                    for (index, found) in buffer[..count].iter().enumerate() {
                        assert_eq!(*found, byte(read + index as u64), "seed {seed}");
                    }
                    read += count as u64;
                }
                Err(_) if reader.listen() => {
                    if reader.take_mark() {
                        wake(&there);
                    }
                    sleeps += 1;
                    sleep(&there);
                }
                Err(_) => {}
            }
            if reader.take_mark() {
                wake(&there);
            }
        }
        let (_sent, writers, _here) = writing.join().unwrap();
        println!("{total} bytes, {sleeps} sleeps of the reader, {writers} of the writer");
    }

    fn byte(count: u64) -> u8 {
        (count ^ count >> 8 ^ count >> 16) as u8
    }

    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            self.0 >> 33
        }
    }

    #[test]
    fn no_wake_up_is_lost_and_no_byte() {
        let seed = std::env::var("DEPLOY_SEED").map_or(1, |seed| seed.parse().unwrap());
        let scale = std::env::var("DEPLOY_TEST_RING").map_or(1, |scale| scale.parse().unwrap());
        for (capacity, total) in [(4096, 4 << 20), (64 << 10, 16 << 20)] {
            stress(capacity, scale * total, seed);
        }
    }
}
