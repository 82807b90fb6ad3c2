//! A new program, read one window after the other, so that a long one needs no memory of its length.
//!
//! Deliberately absent: windows that overlap. A part of a program ends where its window does, and goes on in the next.

use crate::base::Base;
use std::io;

/// The windows of a program, in its order.
pub(crate) struct Windows<'p, B: ?Sized> {
    program: &'p B,
    at: u64,
}

/// Some of a program.
pub(crate) struct Window {
    /// Where it begins there.
    pub start: usize,
    pub bytes: Vec<u8>,
}

impl<'p, B: Base + ?Sized> Windows<'p, B> {
    pub(crate) fn of(program: &'p B) -> Windows<'p, B> {
        Windows { program, at: 0 }
    }

    fn read(&mut self) -> io::Result<Option<Window>> {
        let left = self.program.bytes()?.saturating_sub(self.at);
        let len = left.min(WINDOW_BYTES as u64) as usize;
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        self.program.read_at(&mut bytes, self.at)?;
        let start = usize::try_from(self.at).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.at += len as u64;
        Ok(Some(Window { start, bytes }))
    }
}

impl<B: Base + ?Sized> Iterator for Windows<'_, B> {
    type Item = io::Result<Window>;

    fn next(&mut self) -> Option<io::Result<Window>> {
        self.read().transpose()
    }
}

/// A program as a stream of its bytes.
#[derive(Debug)]
pub struct Stream<B> {
    program: B,
    at: u64,
}

impl<B: Base> Stream<B> {
    /// From its first byte on.
    pub fn of(program: B) -> Stream<B> {
        Stream { program, at: 0 }
    }
}

impl<B: Base> io::Read for Stream<B> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.program.bytes()?.saturating_sub(self.at);
        let len = left.min(bytes.len() as u64) as usize;
        self.program.read_at(&mut bytes[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Most programs are one.
pub(crate) const WINDOW_BYTES: usize = 16 << 20;
