//! What an executable file of Linux says of itself: for which machine it is, how long it must be, what it needs there.
//!
//! Deliberately absent: everything else in it, and big-endian files and those of 32 bits, which only are recognised.
//! Every number in the file may be wrong: each read is checked, and nothing is reserved for a count.

use std::{fs::File, io, os::unix::fs::FileExt};

/// What it says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Elf {
    /// The kind of machine, as the file numbers them.
    pub machine: u16,
    /// It can be started: it has a place to begin.
    pub is_program: bool,
    /// The program that loads its libraries; none if it needs none.
    pub interpreter: Option<String>,
    /// The libraries that it names.
    pub libraries: Vec<String>,
    /// The newest glibc that it asks for, as numbers.
    pub glibc: Option<Vec<u32>>,
    /// How many bytes of the file are loaded, or say how to; behind them are symbols and what debuggers want.
    pub loaded_len: u64,
    /// Where all that ends that its tables speak of.
    pub end: u64,
}

/// Why it cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It does not begin like one.
    #[error("it is not a program for Linux (an ELF file), but {0}")]
    NotElf(&'static str),
    /// 32 bits, or big-endian.
    #[error("it is a program for {0}: only 64 bits, little-endian, are supported")]
    OtherClass(&'static str),
    /// It ends before what it speaks of.
    #[error(
        "it is cut off: it should have {expected} bytes or more, and has {len}: build or copy it once more"
    )]
    Truncated {
        /// As its tables say.
        expected: u64,
        /// As it is.
        len: u64,
    },
    /// Its tables make no sense.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// The system says no.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads the tables of a file.
pub fn read(file: &File) -> Result<Elf, ElfError> {
    read_at(file, file.metadata()?.len())
}

/// The same of whatever can be read at any place, and is so long.
pub fn read_at(file: &impl FileExt, len: u64) -> Result<Elf, ElfError> {
    let file = Bytes { file, len };
    let header = file.header()?;
    let segments = file.segments(&header)?;
    let mut elf = Elf {
        machine: u16_at(&header, 18),
        is_program: matches!(u16_at(&header, 16), EXEC | DYN) && u64_at(&header, 24) != 0,
        loaded_len: file.segments_end(&header)?,
        ..Elf::default()
    };
    for segment in &segments {
        let end = file.must_have(segment.offset, segment.len)?;
        elf.loaded_len = elf.loaded_len.max(end);
        match segment.kind {
            INTERP => elf.interpreter = Some(file.text(segment.offset, segment.len)?),
            DYNAMIC => file.dynamic(segment, &segments, &mut elf)?,
            _ => {}
        }
    }
    elf.end = elf.loaded_len.max(file.sections_end(&header)?);
    Ok(elf)
}

/// A file, read at places that it names itself.
struct Bytes<'f, F> {
    file: &'f F,
    len: u64,
}

/// A part of the file that is loaded, or says how to.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

/// Where the tables for the linker lie, by address, and how long they are.
#[derive(Default)]
struct Tables {
    strings: u64,
    needed: Vec<u64>,
    versions: u64,
    versions_count: u64,
}

impl<F: FileExt> Bytes<'_, F> {
    fn header(&self) -> Result<[u8; HEADER], ElfError> {
        let mut header = [0; HEADER];
        let len = self.len.min(HEADER as u64) as usize;
        self.file.read_exact_at(&mut header[..len], 0)?;
        match header {
            [0x7f, b'E', b'L', b'F', ..] => {}
            _ if len == 0 => return Err(ElfError::NotElf("empty")),
            [b'#', b'!', ..] => return Err(ElfError::NotElf("a script")),
            [b'M', b'Z', ..] => return Err(ElfError::NotElf("a program for Windows")),
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => {
                return Err(ElfError::NotElf("a program for macOS"));
            }
            _ => return Err(ElfError::NotElf("something else")),
        }
        self.must_have(0, HEADER as u64)?;
        match (header[4], header[5]) {
            (2, 1) => Ok(header),
            (1, _) => Err(ElfError::OtherClass("32 bits")),
            (2, 2) => Err(ElfError::OtherClass("a big-endian machine")),
            _ => Err(ElfError::Damaged("its header names no class")),
        }
    }

    fn segments(&self, header: &[u8; HEADER]) -> Result<Vec<Segment>, ElfError> {
        let (start, size, count) = (u64_at(header, 32), u16_at(header, 54), u16_at(header, 56));
        if size as usize != PROGRAM_HEADER {
            return Err(ElfError::Damaged("its segments have an unknown form"));
        }
        let mut segments = Vec::new();
        for number in 0..u64::from(count) {
            let at = start.saturating_add(number * PROGRAM_HEADER as u64);
            let entry: [u8; PROGRAM_HEADER] = self.array(at)?;
            segments.push(Segment {
                kind: u32_at(&entry, 0),
                offset: u64_at(&entry, 8),
                address: u64_at(&entry, 16),
                len: u64_at(&entry, 32),
            });
        }
        Ok(segments)
    }

    /// Where their table ends.
    fn segments_end(&self, header: &[u8; HEADER]) -> Result<u64, ElfError> {
        let len = u64::from(u16_at(header, 54)) * u64::from(u16_at(header, 56));
        self.must_have(u64_at(header, 32), len)
    }

    /// The table of sections is the last thing in most files, so that a cut is seen by it.
    fn sections_end(&self, header: &[u8; HEADER]) -> Result<u64, ElfError> {
        let (start, size, count) = (u64_at(header, 40), u16_at(header, 58), u16_at(header, 60));
        if start == 0 {
            return Ok(0);
        }
        if size as usize != SECTION_HEADER {
            return Err(ElfError::Damaged("its sections have an unknown form"));
        }
        let mut end = self.must_have(start, u64::from(size) * u64::from(count))?;
        for number in 0..u64::from(count) {
            let entry: [u8; SECTION_HEADER] = self.array(start + number * SECTION_HEADER as u64)?;
            if u32_at(&entry, 4) != NOBITS {
                end = end.max(self.must_have(u64_at(&entry, 24), u64_at(&entry, 32))?);
            }
        }
        Ok(end)
    }

    /// What the linker on the other machine will look for.
    fn dynamic(
        &self,
        segment: &Segment,
        segments: &[Segment],
        elf: &mut Elf,
    ) -> Result<(), ElfError> {
        let tables = self.tables(segment)?;
        let strings = offset_of(tables.strings, segments)?;
        for needed in &tables.needed {
            let name = self.text(strings.saturating_add(*needed), NAME_MAX)?;
            elf.libraries.push(name);
        }
        if tables.versions_count > 0 {
            elf.glibc = self.newest_glibc(&tables, strings, segments)?;
        }
        Ok(())
    }

    fn tables(&self, segment: &Segment) -> Result<Tables, ElfError> {
        let mut tables = Tables::default();
        for number in 0..segment.len / DYNAMIC_ENTRY as u64 {
            let at = segment.offset + number * DYNAMIC_ENTRY as u64;
            let entry: [u8; DYNAMIC_ENTRY] = self.array(at)?;
            let value = u64_at(&entry, 8);
            match u64_at(&entry, 0) {
                DT_NULL => break,
                DT_NEEDED if tables.needed.len() as u64 == LIST_MAX => {
                    return Err(ElfError::Damaged("it names more libraries than there are"));
                }
                DT_NEEDED => tables.needed.push(value),
                DT_STRTAB => tables.strings = value,
                DT_VERNEED => tables.versions = value,
                DT_VERNEEDNUM => tables.versions_count = value,
                _ => {}
            }
        }
        Ok(tables)
    }

    /// Each library has a list of versions that are needed of it; those of glibc's are called `GLIBC_2.34`.
    fn newest_glibc(
        &self,
        tables: &Tables,
        strings: u64,
        segments: &[Segment],
    ) -> Result<Option<Vec<u32>>, ElfError> {
        let mut newest = None;
        let mut at = offset_of(tables.versions, segments)?;
        let mut seen = 0;
        for _ in 0..tables.versions_count.min(LIST_MAX) {
            let need: [u8; 16] = self.array(at)?;
            let mut entry_at = at.saturating_add(u32_at(&need, 8).into());
            for _ in 0..u16_at(&need, 2) {
                seen += 1;
                if seen > LIST_MAX {
                    return Err(ElfError::Damaged("it lists more versions than there are"));
                }
                let entry: [u8; 16] = self.array(entry_at)?;
                let name = self.text(strings.saturating_add(u32_at(&entry, 8).into()), NAME_MAX)?;
                newest = newest.max(glibc_version(&name));
                entry_at = entry_at.saturating_add(u32_at(&entry, 12).into());
            }
            at = at.saturating_add(u32_at(&need, 12).into());
        }
        Ok(newest)
    }

    /// Where that ends.
    fn must_have(&self, offset: u64, len: u64) -> Result<u64, ElfError> {
        match offset.checked_add(len) {
            None => Err(ElfError::Damaged("a part of it lies beyond all addresses")),
            Some(expected) if expected > self.len => Err(ElfError::Truncated {
                expected,
                len: self.len,
            }),
            Some(end) => Ok(end),
        }
    }

    fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N], ElfError> {
        self.must_have(offset, N as u64)?;
        let mut array = [0; N];
        self.file.read_exact_at(&mut array, offset)?;
        Ok(array)
    }

    /// The text at a place, up to its zero byte.
    fn text(&self, offset: u64, len_max: u64) -> Result<String, ElfError> {
        self.must_have(offset, 1)?;
        let len = len_max.min(self.len - offset).min(NAME_MAX);
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// Where in the file lies what is loaded at an address.
fn offset_of(address: u64, segments: &[Segment]) -> Result<u64, ElfError> {
    let holds = |segment: &&Segment| {
        segment.kind == LOAD
            && address
                .checked_sub(segment.address)
                .is_some_and(|distance| distance < segment.len)
    };
    let segment = segments
        .iter()
        .find(holds)
        .ok_or(ElfError::Damaged("its tables lie in no part of it"))?;
    segment
        .offset
        .checked_add(address - segment.address)
        .ok_or(ElfError::Damaged("a part of it lies beyond all addresses"))
}

/// `GLIBC_2.34` as numbers; nothing for other names, such as `GLIBC_PRIVATE`.
fn glibc_version(name: &str) -> Option<Vec<u32>> {
    let numbers = name.strip_prefix("GLIBC_")?;
    numbers.split('.').map(|part| part.parse().ok()).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("a slice of so many bytes")
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const DYNAMIC_ENTRY: usize = 16;
const SECTION_HEADER: usize = 64;
const EXEC: u16 = 2;
const DYN: u16 = 3;
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERP: u32 = 3;
/// A section without bytes in the file.
const NOBITS: u32 = 8;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// Names of libraries and versions are far shorter.
const NAME_MAX: u64 = 4096;
/// More libraries, and more versions of them, than any program has.
const LIST_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    fn read_bytes(bytes: &[u8]) -> Result<Elf, ElfError> {
        read(&deploy_sys::memfd::sealed("elf", bytes).unwrap())
    }

    /// This very test, which is a program of this machine.
    fn own() -> Vec<u8> {
        fs::read(env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn this_test_is_understood() {
        let elf = read_bytes(&own()).unwrap();
        assert!(elf.is_program);
        assert!(elf.interpreter.unwrap().starts_with("/lib"));
        assert!(elf.libraries.iter().any(|name| name == "libc.so.6"));
        assert!(elf.glibc.unwrap() >= vec![2, 17]);
    }

    #[test]
    fn what_is_cut_off_is_told_wherever_it_is_cut() {
        let whole = own();
        for len in [1, 63, 64, 500, whole.len() / 2, whole.len() - 1] {
            let error = read_bytes(&whole[..len]).unwrap_err();
            let is_told = matches!(error, ElfError::Truncated { .. }) || len < 4;
            assert!(is_told, "{len}: {error}");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        let check = |bytes: &[u8], expected: &str| {
            let error = read_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "empty");
        check(b"#!/bin/sh\nexit 0\n", "a script");
        check(b"MZ and so on", "Windows");
        check(b"{}", "something else");
        let mut narrow = own();
        narrow[4] = 1;
        check(&narrow, "32 bits");
    }

    /// Its loaded part seemed to be longer than any memory, and room for it was made.
    #[test]
    fn a_table_without_rows_lies_in_the_file_too() {
        let mut bytes = own();
        bytes[32..40].copy_from_slice(&(1_u64 << 60).to_le_bytes());
        bytes[56..58].fill(0);
        let error = read_bytes(&bytes).unwrap_err();
        assert!(matches!(error, ElfError::Truncated { .. }), "{error}");
    }

    #[test]
    fn damaged_tables_are_refused_or_read_and_never_more() {
        let path = env::temp_dir().join(format!("elf-{}", std::process::id()));
        fs::write(&path, own()).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut tables = [0; 4096];
        file.read_exact_at(&mut tables, 0).unwrap();
        let mut seed = 1_u64;
        for _ in 0..10_000 {
            let mut damaged = tables;
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                damaged[(seed >> 33) as usize % damaged.len()] = (seed >> 20) as u8;
            }
            file.write_all_at(&damaged, 0).unwrap();
            let _ = read(&file);
        }
    }
}
