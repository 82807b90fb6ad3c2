//! Bytes that begin where a page begins. A floor must: 16 bytes past a page, where a large `Vec` lies, the kernel's copy
//! takes up to twice as long.

use std::ops::{Deref, DerefMut, Range};

pub struct Buffer {
    memory: Vec<u8>,
    used: Range<usize>,
}

impl Buffer {
    /// So many bytes, each page of them touched.
    pub fn new(len: usize) -> Buffer {
        let memory = vec![1; len + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        Buffer {
            memory,
            used: start..start + len,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.used.clone()]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.used.clone()]
    }
}

const PAGE_BYTES: usize = 4096;
