//! The memory of a ring: where its marks and its bytes lie, for as long as it is mapped.
//!
//! Deliberately absent: who may store which mark, and what the counts mean (`ring.rs`). What is here is a part of each write
//! and read there, and is compiled into them.

use super::{past, ways::Way};
use std::{
    io,
    num::NonZeroUsize,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64},
    },
};

/// The marks, and the bytes behind them, for as long as one of these lives.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    at: NonNull<u8>,
    pub(super) capacity: usize,
    /// What unmaps it.
    _mapping: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to these values alone, whichever threads have them; what other processes do to it is met by
// atomics and by copies through raw pointers.
unsafe impl Send for Memory {}

// SAFETY: shared between threads only atomics of it are loaded and stored; the bytes are copied by `&mut` ends alone.
unsafe impl Sync for Memory {}

// SAFETY: as `Memory`, of which it is a part.
unsafe impl Send for Mapping {}

// SAFETY: nothing of it can be looked at.
unsafe impl Sync for Mapping {}

impl Memory {
    /// All of the file, which is as long as this capacity says and cannot shrink.
    pub(super) fn map(file: &impl AsRawFd, capacity: usize) -> io::Result<Memory> {
        let bytes = NonZeroUsize::new(MARKS_BYTES + capacity).expect("there are marks");
        let may = libc::PROT_READ | libc::PROT_WRITE;
        let how = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: the kernel chooses a place where nothing is, so no memory of ours is touched.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes.get(), may, how, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).expect("the kernel maps nothing at zero by itself");
        let mapping = Mapping {
            at,
            bytes: bytes.get(),
        };
        Ok(Memory {
            at,
            capacity,
            _mapping: Arc::new(mapping),
        })
    }

    #[inline]
    pub(super) fn tail(&self) -> &AtomicU64 {
        self.mark(0)
    }

    #[inline]
    pub(super) fn head(&self) -> &AtomicU64 {
        self.mark(1)
    }

    #[inline]
    pub(super) fn reader_sleeps(&self) -> &AtomicU32 {
        self.half_mark(2)
    }

    #[inline]
    pub(super) fn writer_sleeps(&self) -> &AtomicU32 {
        self.half_mark(3)
    }

    #[inline]
    fn mark(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the page of marks is mapped for as long as `self`, it holds this many lines, each is aligned, and no
        // process that has it looks at a mark but by atomics. (One that does otherwise changes a number under us, which is
        // what an atomic is for.)
        unsafe { AtomicU64::from_ptr(self.at.as_ptr().add(index * LINE_BYTES).cast()) }
    }

    #[inline]
    fn half_mark(&self, index: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at.as_ptr().add(index * LINE_BYTES).cast()) }
    }

    /// From where in the ring on what stands beside `tail` is (`short.rs`).
    #[inline]
    pub(super) fn short_from(&self) -> &AtomicU32 {
        // SAFETY: as above, behind the first mark.
        unsafe { AtomicU32::from_ptr(self.at.as_ptr().add(SHORT_AT - size_of::<u32>()).cast()) }
    }

    /// That itself.
    #[inline]
    pub(super) fn short_words(&self) -> &[AtomicU32; SHORT_WORDS] {
        // SAFETY: as above, behind that, to the end of its line of 64 bytes.
        unsafe { &*self.at.as_ptr().add(SHORT_AT).cast() }
    }

    /// Where the byte with this count lies, and how many lie behind it before the ring begins anew.
    #[inline]
    fn place(&self, count: u64) -> (*mut u8, usize) {
        let offset = count as usize & (self.capacity - 1);
        // SAFETY: the offset is below the capacity, and so many bytes are mapped behind the marks.
        let at = unsafe { self.at.as_ptr().add(MARKS_BYTES + offset) };
        (at, self.capacity - offset)
    }

    /// Copies bytes, no more than the ring has, to where those from this count on lie.
    #[inline]
    pub(super) fn put(&self, count: u64, bytes: &[u8], way: Way) {
        assert!(bytes.len() <= self.capacity);
        let (at, before_end) = self.place(count);
        let (now, later) = bytes.split_at(bytes.len().min(before_end));
        // SAFETY: both runs lie in the ring, by `place` and the assertion; nobody has a reference into it; and a reader
        // that keeps to the rules does not look at what lies behind the tail.
        unsafe {
            let begin = self.at.as_ptr().add(MARKS_BYTES);
            match way {
                Way::Through => {
                    ptr::copy_nonoverlapping(now.as_ptr(), at, now.len());
                    ptr::copy_nonoverlapping(later.as_ptr(), begin, later.len());
                }
                Way::Past => {
                    past::copy(now.as_ptr(), at, now.len());
                    past::copy(later.as_ptr(), begin, later.len());
                }
            }
        }
    }

    /// Copies so many bytes, no more than the ring has, from where those from this count on lie.
    ///
    /// # Safety
    /// `to` may be written for `bytes` bytes, which nobody else sees.
    #[inline]
    pub(super) unsafe fn copy_out(&self, count: u64, to: *mut u8, bytes: usize) {
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

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and nothing refers to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// The page of marks; bytes that begin with a page are copied best.
pub(super) const MARKS_BYTES: usize = 4096;

/// Two lines of 64 bytes: some processors fetch both at once.
const LINE_BYTES: usize = 128;

/// What is left of the line of 64 bytes on which `tail` and `short_from` are.
pub(super) const SHORT_WORDS: usize = (64 - SHORT_AT) / size_of::<u32>();
const SHORT_AT: usize = size_of::<u64>() + size_of::<u32>();
