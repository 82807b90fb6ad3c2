//! Programs as they arrive: a frame, and within it what to change of another program.

use crate::Target;
use deploy_parcel::{Packed, delta, unpack};
use std::io::{self, Read};

pub(crate) const FRAME: Target = Target {
    name: "frame",
    check: |input| {
        for base in [None, Some(OLD)] {
            let _ = unpack(input, base, LEN_MAX, io::sink());
        }
        // What zstd allocates for a window of 16 MiB is not seen here. The lists of a change are no longer than the
        // program, and double as they grow.
        12 * LEN_MAX as usize + (256 << 10)
    },
    seeds: || {
        let packed = [
            Packed::whole(NEW).expect("there is memory"),
            Packed::change(OLD, NEW).expect("there is memory"),
        ];
        packed.map(bytes_of).to_vec()
    },
    short: 4_000,
};

pub(crate) const CHANGE: Target = Target {
    name: "change",
    check: |input| {
        let mut new = Vec::new();
        if delta::apply(OLD, input, LEN_MAX, Short(&mut new)).is_ok() {
            let again = delta::make(OLD, &new);
            let mut same = Vec::new();
            delta::apply(OLD, again.as_slice(), LEN_MAX * 2, &mut same).expect("it was made so");
            assert!(same == new, "what is made of a change is the new program");
        }
        // An index of the old program, lists, and what they make.
        64 * (OLD.len() + input.len()) + 16 * LEN_MAX as usize
    },
    seeds: || vec![delta::make(OLD, NEW), delta::make(NEW, OLD)],
    short: 200_000,
};

/// Takes no more than a program may have.
struct Short<'n>(&'n mut Vec<u8>);

impl io::Write for Short<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LEN_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bytes_of(mut packed: Packed<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packed.read_to_end(&mut bytes).expect("it is in memory");
    bytes
}

const LEN_MAX: u64 = 4096;
const OLD: &[u8] = b"an old program with some lines of code, one behind the other, and numbers: 1000 2000 3000 4000";
const NEW: &[u8] = b"a new program with some lines of code and more, one behind the other, and numbers: 1004 2004 3004";
