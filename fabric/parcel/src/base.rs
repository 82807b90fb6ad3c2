//! A program as those see it who read parts of it; and what they say of bytes that make no sense.
//!
//! Deliberately absent: where it lies.

use std::io;

/// A program of which only what is needed is read.
pub trait Base {
    /// How long it is, in bytes.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `bytes` with what is there from `at` on.
    ///
    /// # Errors
    /// If it is shorter, or cannot be read.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
}

impl<B: Base + ?Sized> Base for &B {
    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        (**self).read_at(bytes, at)
    }
}

impl Base for [u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let there = rest.and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(there.ok_or_else(nonsense)?);
        Ok(())
    }
}

/// Why something is no change of that program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(&'static str);

pub(crate) fn nonsense() -> io::Error {
    let nonsense = Nonsense("it is no change of that program");
    io::Error::new(io::ErrorKind::InvalidData, nonsense)
}
