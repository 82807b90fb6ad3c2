//! What an executable file says of itself, to the client that is asked to send it.

use crate::{Target, words};
use cargo_deploy::elf;
use std::{
    io::{self, Read},
    os::unix::fs::FileExt,
};

/// Tables may be wrong in any way; none of them takes more time or memory than a real one.
pub(crate) const ELF: Target = Target {
    name: "elf",
    check: |input| {
        if let Ok(elf) = elf::read_at(&InMemory(input), input.len() as u64) {
            words::accepted();
            assert!(elf.loaded_len <= elf.end && elf.end <= input.len() as u64);
        }
        // Names of libraries, each a part of the file, and one that is just read; segments, where they overlap.
        (1 << 20) + 64 * input.len()
    },
    seeds: || vec![SMALLEST.concat()],
    short: 30_000,
};

/// A file that the system knows nothing of: to ask it for each number would take longer than to understand all of them.
struct InMemory<'b>(&'b [u8]);

impl FileExt for InMemory<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = self.0.len().min(offset as usize);
        (&self.0[from..]).read(bytes)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A program with an interpreter, a library and a version, as small as one can be written down: header, three segments,
/// and what they speak of, each at the address that is its place.
const SMALLEST: &[&[u8]] = &[
    b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0\x10\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\x38\0\x03\0\x40\0\0\0\0\0",
    // What is loaded: all of it.
    b"\x01\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x98\x01\0\0\0\0\0\0\x98\x01\0\0\0\0\0\0\0\x10\0\0\0\0\0\0",
    // The interpreter, at 0xe8.
    b"\x03\0\0\0\x04\0\0\0\xe8\0\0\0\0\0\0\0\xe8\0\0\0\0\0\0\0\xe8\0\0\0\0\0\0\0",
    b"\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
    // What the linker reads, at 0xf8.
    b"\x02\0\0\0\x06\0\0\0\xf8\0\0\0\0\0\0\0\xf8\0\0\0\0\0\0\0\xf8\0\0\0\0\0\0\0",
    b"\x50\0\0\0\0\0\0\0\x50\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0",
    b"/lib/ld-linux.so",
    // A library, by its name's place; where names are; where versions are, and of how many libraries; the end.
    b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x68\x01\0\0\0\0\0\0",
    b"\xfe\xff\xff\x6f\0\0\0\0\x48\x01\0\0\0\0\0\0\xff\xff\xff\x6f\0\0\0\0\x01\0\0\0\0\0\0\0",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    // Of one library, one version; at 0x148.
    b"\x01\0\x01\0\x01\0\0\0\x10\0\0\0\0\0\0\0",
    b"\0\0\0\0\0\0\x02\0\x0b\0\0\0\0\0\0\0",
    // Names, at 0x168.
    b"\0libc.so.6\0GLIBC_2.34\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_sys::memfd;

    #[test]
    fn the_smallest_program_is_one() {
        let file = memfd::sealed("smallest", &SMALLEST.concat()).unwrap();
        let elf = elf::read(&file).unwrap();
        assert_eq!(elf.interpreter.as_deref(), Some("/lib/ld-linux.so"));
        assert_eq!(elf.libraries, ["libc.so.6"]);
        assert_eq!(elf.glibc, Some(vec![2, 34]));
    }
}
