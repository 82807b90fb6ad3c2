//! What is sent, as it is read: a program's file up to some place, or bytes that were made here.
//!
//! A program may be as long as the memory here, so it is read where it lies, as often as it is needed. Deliberately absent: a copy
//! that nobody else can change. If somebody does, what comes is not the program that was named, and the cluster refuses it.

use deploy_parcel::{Stream, delta::Base};
use deploy_wire::client::Digest;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

/// Bytes, wherever they are.
pub enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file, up to `len`, with another beginning.
    File {
        file: File,
        len: u64,
        beginning: Vec<u8>,
    },
}

impl Content {
    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { len, .. } => *len,
        }
    }

    /// Its name on the cluster. Reads all of it.
    pub fn digest(&self) -> io::Result<Digest> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(self.from(0).stream())?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// Whether these bytes are somewhere in it.
    pub fn has(&self, wanted: &[u8]) -> io::Result<bool> {
        let mut stream = self.from(0).stream();
        let mut window = Vec::new();
        loop {
            // What may begin in one window and end in the next is looked at with both.
            let kept = window.len().min(wanted.len().saturating_sub(1));
            window.drain(..window.len() - kept);
            let read = (&mut stream).take(WINDOW_BYTES).read_to_end(&mut window)?;
            if memchr::memmem::find(&window, wanted).is_some() {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
        }
    }

    /// What is left of it from there on.
    pub fn from(&self, start: u64) -> Rest<'_> {
        Rest {
            content: self,
            start: start.min(self.len()),
        }
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let (file, len, beginning) = match self {
            Content::Bytes(all) => return all.as_slice().read_at(bytes, at),
            Content::File {
                file,
                len,
                beginning,
            } => (file, *len, beginning),
        };
        let end = at.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.read_exact_at(bytes, at)?;
        let other = usize::try_from(at).ok().and_then(|at| beginning.get(at..));
        for (byte, other) in bytes.iter_mut().zip(other.unwrap_or_default()) {
            *byte = *other;
        }
        Ok(())
    }
}

/// The end of some content.
#[derive(Clone, Copy)]
pub struct Rest<'c> {
    content: &'c Content,
    start: u64,
}

impl<'c> Rest<'c> {
    /// As a stream.
    pub fn stream(self) -> impl Read + 'c {
        Stream::of(self)
    }
}

impl Base for Rest<'_> {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.content.len() - self.start)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let at = self.start.checked_add(at);
        self.content
            .read_at(bytes, at.ok_or(io::ErrorKind::UnexpectedEof)?)
    }
}

/// What is looked through at once.
const WINDOW_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_its_bytes_with_another_beginning() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let file = deploy_sys::memfd::sealed("content", &bytes).unwrap();
        let mut expected = bytes[..2_500_000].to_vec();
        expected[..4].copy_from_slice(b"here");
        let at = WINDOW_BYTES as usize - 2;
        let across = expected[at..at + 300].to_vec();
        let of_file = Content::File {
            file,
            len: 2_500_000,
            beginning: b"here".to_vec(),
        };
        let of_bytes = Content::Bytes(expected.clone());
        assert_eq!(of_file.digest().unwrap(), of_bytes.digest().unwrap());
        for content in [of_file, of_bytes] {
            assert_eq!(content.len(), 2_500_000);
            for start in [0, 2, 2_400_000] {
                let mut read = Vec::new();
                let rest = content.from(start);
                rest.stream().read_to_end(&mut read).unwrap();
                assert!(read == expected[start as usize..]);
                assert_eq!(rest.bytes().unwrap(), read.len() as u64);
                assert!(rest.read_at(&mut [0; 2], read.len() as u64 - 1).is_err());
            }
            assert!(content.has(b"here").unwrap() && content.has(&across).unwrap());
            assert!(!content.has(b"not there").unwrap());
        }
    }
}
