//! Programs as they travel: one zstd frame, of the program itself or of a change of another that both sides have. And what
//! they write (`talk.rs`).
//!
//! Nothing is believed of what arrives: a frame may become as long as was announced and no longer, with a window of bounded
//! size. Deliberately absent: digests, files and sockets. That what was made is what was meant, the caller looks.

#![forbid(unsafe_code)]

mod base;
pub mod delta;
mod moves;
mod numbers;
mod parts;
mod references;
mod regions;
mod search;
pub mod talk;
pub mod tree;
mod windows;

use base::Base;
use delta::LIST_BYTES_MAX;
use std::io::{self, BufReader, Cursor, Read, Write};
pub use windows::Stream;
use zstd::{
    stream::read::{Decoder, Encoder},
    zstd_safe::DCtx,
};

/// A program on its way out: what is read from it travels.
pub enum Packed<'p> {
    /// The program itself.
    Whole(Encoder<'static, BufReader<Box<dyn Read + 'p>>>),
    /// What to change of another.
    Change(Encoder<'static, BufReader<Cursor<Vec<u8>>>>),
}

impl<'p> Packed<'p> {
    /// A whole program, which is read as the frame is.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn whole<B: Base + ?Sized>(program: &'p B) -> io::Result<Packed<'p>> {
        let program: Box<dyn Read + 'p> = Box::new(Stream::of(program));
        Encoder::new(program, LEVEL_WHOLE).map(Packed::Whole)
    }

    /// A program as a change of another. Looks for what they have in common at once, some 100 ms for some megabytes. Nothing,
    /// if they have so little in common that it is better sent whole.
    ///
    /// # Errors
    /// If it cannot be read, or there is no memory for it.
    pub fn change<B: Base + ?Sized>(base: Vec<u8>, program: &B) -> io::Result<Option<Packed<'p>>> {
        let Some(change) = delta::make(base, program, LIST_BYTES_MAX)? else {
            return Ok(None);
        };
        let change = Cursor::new(change);
        Encoder::new(change, LEVEL_CHANGE).map(|change| Some(Packed::Change(change)))
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Packed::Whole(frame) => frame.read(bytes),
            Packed::Change(frame) => frame.read(bytes),
        }
    }
}

/// Writes a program as a frame, the same as [`Packed::whole`] would be. Blocks as long as both do.
///
/// # Errors
/// What they say.
pub fn pack(program: impl Read, mut frame: impl Write) -> io::Result<()> {
    let mut packed = Encoder::new(program, LEVEL_WHOLE)?;
    io::copy(&mut packed, &mut frame).map(drop)
}

/// Writes the program in a frame, of at most `len_max` bytes, which is a change of `base` if there is one. Blocks as long
/// as `frame` and `out` do.
///
/// # Errors
/// What they say; or that the frame makes no sense, ends too early or would become longer.
pub fn unpack<B: Base + ?Sized>(
    frame: impl Read,
    base: Option<&B>,
    len_max: u64,
    out: impl Write,
) -> io::Result<()> {
    let memory = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    let mut unpacker = Unpacker {
        memory,
        block: Vec::new(),
    };
    unpacker.unpack(frame, base, len_max, out)
}

/// Takes frames apart, one after another, in the same memory: for whoever has many short ones. To make it anew takes longer
/// than to read one of those.
#[derive(Default)]
pub struct Unpacker {
    memory: DCtx<'static>,
    /// What was read and is not written yet.
    block: Vec<u8>,
}

impl Unpacker {
    /// As [`unpack`], whatever was read before, and wherever that ended.
    ///
    /// # Errors
    /// The same.
    pub fn unpack<B: Base + ?Sized>(
        &mut self,
        frame: impl Read,
        base: Option<&B>,
        len_max: u64,
        out: impl Write,
    ) -> io::Result<()> {
        let frame = BufReader::with_capacity(DCtx::in_size(), frame);
        let mut decoder = Decoder::with_context(frame, &mut self.memory).single_frame();
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        let mut out = Bounded { out, left: len_max };
        match base {
            None => copy(&mut decoder, &mut out, &mut self.block),
            Some(base) => {
                delta::apply(base, &mut decoder, len_max, &mut out)?;
                out.left = 0; // It must have been all of the frame.
                copy(&mut decoder, &mut out, &mut self.block)
            }
        }
    }
}

fn copy(decoder: &mut impl Read, out: &mut impl Write, block: &mut Vec<u8>) -> io::Result<()> {
    block.resize(BUFFER_BYTES, 0);
    loop {
        match decoder.read(block)? {
            0 => return Ok(()),
            read => out.write_all(&block[..read])?,
        }
    }
}

/// Takes so many bytes.
struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| {
            let why = "more bytes came than were announced";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Faster than most networks.
const LEVEL_WHOLE: i32 = 3;
/// A change is small, and worth looking closer.
const LEVEL_CHANGE: i32 = 9;
/// More than any frame of ours asks for: 16 MiB.
const WINDOW_LOG_MAX: u32 = 24;
/// As much as a block of a frame becomes.
const BUFFER_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(mut packed: Packed<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        packed.read_to_end(&mut frame).unwrap();
        frame
    }

    fn unpacked(frame: &[u8], base: Option<&[u8]>, len_max: u64) -> io::Result<Vec<u8>> {
        let mut program = Vec::new();
        unpack(frame, base, len_max, &mut program)?;
        Ok(program)
    }

    #[test]
    fn a_program_comes_back_whole_or_as_a_change() {
        let old: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut new = old.clone();
        new.splice(200_000..200_010, *b"a new line");
        let whole = packed(Packed::whole(new.as_slice()).unwrap());
        let change = packed(
            Packed::change(old.clone(), new.as_slice())
                .unwrap()
                .unwrap(),
        );
        assert!(change.len() < 100, "{}", change.len());
        let len = new.len() as u64;
        let mut unpacker = Unpacker::default();
        for cut in [0, 10, whole.len() / 2, whole.len()] {
            let mut program = Vec::new();
            let done = unpacker.unpack(&whole[..cut], None::<&[u8]>, len, &mut program);
            assert_eq!(done.is_ok(), cut == whole.len(), "{cut}");
            assert!(done.is_err() || program == new);
        }
        let mut streamed = Vec::new();
        pack(new.as_slice(), &mut streamed).unwrap();
        assert!(unpacked(&streamed, None, len).unwrap() == new);
        assert!(unpacked(&whole, None, len).unwrap() == new);
        assert!(unpacked(&change, Some(&old), len).unwrap() == new);
        for (frame, base) in [(&whole, None), (&change, Some(old.as_slice()))] {
            assert!(unpacked(frame, base, len - 1).is_err());
            assert!(unpacked(&frame[..frame.len() - 1], base, len).is_err());
            assert!(unpacked(&[], base, len).is_err());
        }
        assert!(unpacked(&whole, Some(&old), len).is_err());
    }

    #[test]
    fn a_change_goes_on_from_window_to_window() {
        let noise = |at: u32| at.wrapping_mul(2_654_435_761).rotate_left(9);
        let old: Vec<u8> = (0..5_000_000)
            .flat_map(|at| noise(at).to_le_bytes())
            .collect();
        assert!(old.len() > windows::WINDOW_BYTES);
        let mut new = old.clone();
        new.splice(
            windows::WINDOW_BYTES - 5..windows::WINDOW_BYTES - 5,
            *b"a new line",
        );
        let change = packed(
            Packed::change(old.clone(), new.as_slice())
                .unwrap()
                .unwrap(),
        );
        assert!(change.len() < 200, "{}", change.len());
        assert!(unpacked(&change, Some(&old), new.len() as u64).unwrap() == new);
    }

    #[test]
    fn what_would_become_a_thousand_times_as_long_does_not() {
        let mut bomb = Vec::new();
        zstd::stream::copy_encode(io::repeat(0).take(100 << 20), &mut bomb, 1).unwrap();
        assert!(bomb.len() < 20_000);
        let error = unpacked(&bomb, None, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(unpacked(&bomb, Some(b"a base"), 1 << 20).is_err());
    }
}
