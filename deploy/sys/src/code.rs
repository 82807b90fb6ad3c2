//! Functions as offsets: the same function in another process that runs the same executable.
//!
//! Address-space randomisation moves an executable as a whole, so the distance between two of its functions is the
//! same in every process. Functions of shared libraries move by themselves and are refused.

use std::{fs, io, mem, os::unix::fs::MetadataExt, ptr, sync::OnceLock};

/// A function that can be found again: it takes its encoded argument.
pub type Entry = fn(&[u8]);

/// What makes a function impossible to find in another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// It lies outside the main executable, in a shared library.
    OutsideExecutable,
    /// The offset comes from another executable.
    OtherImage,
}

/// How far `entry` lies from this file's anchor.
pub fn offset(entry: Entry) -> Result<i64, Unreachable> {
    let address = entry as usize;
    if !is_in_executable(address) || !is_in_executable(anchor_address()) {
        return Err(Unreachable::OutsideExecutable);
    }
    Ok(address.wrapping_sub(anchor_address()) as i64)
}

/// The function that lies `offset` from the anchor, where `image` is the executable that [`offset`] was asked in.
///
/// Sound for offsets that [`offset`] made in the same executable, which is what the comparison of images is for; the
/// caller must not make them up.
pub fn entry(image: u128, offset: i64) -> Result<Entry, Unreachable> {
    if self::image().ok() != Some(image) {
        return Err(Unreachable::OtherImage);
    }
    let address = anchor_address().wrapping_add(offset as usize);
    if !is_in_executable(address) || !is_in_executable(anchor_address()) {
        return Err(Unreachable::OutsideExecutable);
    }
    // SAFETY: a function pointer is as wide as an address and this one is not null, since it lies in the executable's
    // code. That an `Entry` begins there is what its maker promised with the same image.
    Ok(unsafe { mem::transmute::<usize, Entry>(address) })
}

/// The value of a type that has only one: a function named by its own type, or a closure that captures nothing.
///
/// The caller makes it only in place of one that was given to it, in this process or in one of the same image, and
/// given up there. (A closure may capture a value of no bytes that stands for a right: then the right moves.)
pub fn only_value<F>() -> F {
    const {
        assert!(
            size_of::<F>() == 0,
            "pass a function by name, or a closure that captures nothing"
        )
    };
    // SAFETY: a value of no bytes may be read from any aligned address, and the caller gave one up for it.
    unsafe { ptr::NonNull::<F>::dangling().read() }
}

/// This executable, told apart from every other file that this machine has held: device, inode, length and time.
pub fn image() -> io::Result<u128> {
    static IMAGE: OnceLock<u128> = OnceLock::new();
    if let Some(image) = IMAGE.get() {
        return Ok(*image);
    }
    let file = fs::metadata("/proc/self/exe")?;
    let facts = [
        file.dev(),
        file.ino(),
        file.len(),
        file.mtime() as u64,
        file.mtime_nsec() as u64,
    ];
    let digest = facts
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .fold(FNV_BASIS, |digest, byte| {
            (digest ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
        });
    Ok(*IMAGE.get_or_init(|| digest))
}

#[inline(never)]
fn anchor(_argument: &[u8]) {
    std::hint::black_box("an address that offsets are counted from");
}

fn anchor_address() -> usize {
    anchor as Entry as usize
}

/// Whether the address lies in code that was loaded from the main executable.
fn is_in_executable(address: usize) -> bool {
    extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader calls this with a valid entry, and `found` is the `Search` below.
        let (info, search) = unsafe { (&*info, &mut *found.cast::<Search>()) };
        // SAFETY: the entry names that many program headers.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        search.found = headers.iter().any(|header| {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            let code = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0;
            code && (start..start.wrapping_add(header.p_memsz as usize)).contains(&search.address)
        });
        1 // The first entry is the main executable; no more of them.
    }
    let mut search = Search {
        address,
        found: false,
    };
    // SAFETY: `visit` has the type that the loader calls, and `search` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

struct Search {
    address: usize,
    found: bool,
}

const FNV_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static SEEN: Cell<usize> = const { Cell::new(0) });

    fn remember(argument: &[u8]) {
        SEEN.set(argument.len());
    }

    #[test]
    fn an_offset_leads_back_to_the_function() {
        let offset = offset(remember).unwrap();
        entry(image().unwrap(), offset).unwrap()(b"four");
        assert_eq!(SEEN.get(), 4);
    }

    #[test]
    fn strangers_are_refused() {
        let offset = offset(remember).unwrap();
        assert_eq!(
            entry(image().unwrap() ^ 1, offset).err(),
            Some(Unreachable::OtherImage)
        );
        assert_eq!(
            entry(image().unwrap(), 1 << 40).err(),
            Some(Unreachable::OutsideExecutable)
        );
    }

    #[test]
    fn a_function_named_by_its_type_can_be_called_without_its_value() {
        fn call<F: Fn(usize) -> usize>(_: F) -> usize {
            only_value::<F>()(20)
        }
        assert_eq!(call(|number| number + 1), 21);
    }
}
