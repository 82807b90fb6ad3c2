//! How the reader of a ring sleeps: in the kernel's word for it, on its own mark, or elsewhere, until a bell rings there.
//!
//! A byte through a socket costs the kernel a buffer that it makes, accounts for and frees; where two processes share a
//! processor a message there and back takes half as long without. What it cannot tell is that the writer's process has
//! ended: whoever sleeps here is to be roused by somebody who hears of that ([`Bed::rouse`]).
//!
//! Deliberately absent: when one may sleep (`Reader::lie_down`).

use super::memory::Memory;
use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering::*},
};

/// Where one thread sleeps until something is written to a ring.
#[derive(Debug)]
pub struct Bed(pub(super) Memory);

impl Bed {
    /// Blocks until the mark that [`super::Reader::lie_down`] left was taken, or, rarely, for a shorter time: the caller
    /// looks again.
    pub fn sleep(&self) {
        let mark = self.0.reader_sleeps();
        let seen = mark.load(SeqCst);
        if seen & IN_BED != 0 {
            futex(mark, libc::FUTEX_WAIT, seen);
        }
    }

    /// Whoever sleeps here, or is about to, looks again.
    pub fn rouse(&self) {
        let mark = self.0.reader_sleeps();
        mark.fetch_and(!IN_BED, SeqCst);
        wake(mark); // Also where it was taken: a writer that was killed just then has woken nobody.
    }
}

/// Wakes whoever sleeps on this mark, which was taken.
pub(super) fn wake(mark: &AtomicU32) {
    futex(mark, libc::FUTEX_WAKE, 1);
}

/// Not the private kind: two processes have this memory, each at a place of its own.
fn futex(mark: &AtomicU32, operation: libc::c_int, value: u32) {
    // SAFETY: the kernel reads the mark as an atomic, and the rest are numbers. What it says is that the mark has changed, or
    // that a signal came, or how many woke, and whoever slept looks again in any case.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            mark.as_ptr(),
            operation,
            value,
            ptr::null::<libc::timespec>(),
        )
    };
}

/// In the reader's mark: it sleeps in its bed. A number that no thread has, so that whoever looks where threads sleep does
/// not take this for a wait for one.
pub(super) const IN_BED: u32 = 1 << 31;

/// In the reader's mark: it sleeps elsewhere, or somebody else listens for it, until a bell rings.
pub(super) const WANTS_BELL: u32 = 1;
