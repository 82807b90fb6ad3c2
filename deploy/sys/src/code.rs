//! Functions as offsets: the same function in another process that runs the same executable.
//!
//! Address-space randomisation moves an executable as a whole, so how far a function lies from where the executable was
//! loaded is the same in every process. Functions of shared libraries move by themselves and are refused. This crate
//! may itself be linked into one: the executable's place is asked of the loader, not taken from an address of ours.
//!
//! Deliberately absent: what tells two functions apart. A linker may fold those with the same code into one, which runs
//! as well as the other; whoever needs a name for people carries it beside the offset.

use std::{fs, io, mem, ops::Range, os::unix::fs::MetadataExt, ptr, sync::OnceLock};

/// A function that can be found again: it takes its encoded argument, and returns its encoded result, where it has one.
pub type Entry = fn(Vec<u8>) -> Vec<u8>;

/// What makes a function impossible to find in another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreachable {
    /// It lies outside the main executable, in a shared library.
    OutsideExecutable,
    /// The offset comes from another executable.
    OtherImage,
}

/// How far `entry` lies from where the executable was loaded.
pub fn offset(entry: Entry) -> Result<i64, Unreachable> {
    let address = entry as usize;
    let base = base_of(|_| address)?;
    Ok(address.wrapping_sub(base) as i64)
}

/// The function that lies at `offset`, where `image` is the executable that [`offset`] was asked in.
///
/// Sound for offsets that [`offset`] made in the same executable, which is what the comparison of images is for; the
/// caller must not make them up.
pub fn entry(image: u128, offset: i64) -> Result<Entry, Unreachable> {
    if !is_own(image) {
        return Err(Unreachable::OtherImage);
    }
    let at = |base: usize| base.wrapping_add(offset as usize);
    let address = at(base_of(at)?);
    // SAFETY: a function pointer is as wide as an address and this one is not null, since it lies in the executable's
    // code. That an `Entry` begins there is what its maker promised with the same image.
    Ok(unsafe { mem::transmute::<usize, Entry>(address) })
}

/// Looks ahead for what [`entry`] will ask: which executable this is, and where it was loaded.
pub fn find() {
    // What fails now fails again there, and is said.
    let _ = image();
    Executable::find();
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

/// This executable, told apart from every other file that this machine holds while it runs: device, inode and length.
/// Not the time, which `touch` changes; and a newer build of it is another file beside the one that runs.
pub fn image() -> io::Result<u128> {
    static IMAGE: OnceLock<u128> = OnceLock::new();
    if let Some(image) = IMAGE.get() {
        return Ok(*image);
    }
    let image = image_of(&fs::metadata(EXECUTABLE)?);
    Ok(*IMAGE.get_or_init(|| image))
}

/// The same of the executable in that file.
pub fn image_in(file: &fs::File) -> io::Result<u128> {
    Ok(image_of(&file.metadata()?))
}

/// Whether this executable is that image. Under valgrind it is valgrind that the kernel executes, but the link reads as
/// the program's name; a file of that name which is not this executable is not the image either.
fn is_own(image: u128) -> bool {
    let named = || fs::metadata(fs::read_link(EXECUTABLE)?);
    self::image().is_ok_and(|own| own == image)
        || named().is_ok_and(|named| image_of(&named) == image)
}

fn image_of(file: &fs::Metadata) -> u128 {
    [file.dev(), file.ino(), file.len()]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .fold(FNV_BASIS, |digest, byte| {
            (digest ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
        })
}

/// Where the main executable was loaded, if the address that `at` makes of that lies in its code.
fn base_of(at: impl Fn(usize) -> usize) -> Result<usize, Unreachable> {
    let executable = Executable::find();
    let address = at(executable.base);
    match executable.code.iter().any(|code| code.contains(&address)) {
        true => Ok(executable.base),
        false => Err(Unreachable::OutsideExecutable),
    }
}

/// The main executable in memory, as the loader knows it.
#[derive(Default)]
struct Executable {
    base: usize,
    code: Vec<Range<usize>>,
}

impl Executable {
    fn find() -> &'static Executable {
        static FOUND: OnceLock<Executable> = OnceLock::new();
        FOUND.get_or_init(|| {
            let mut found = Executable::default();
            // SAFETY: `visit` has the type that the loader calls, and `found` outlives the call.
            unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
            found
        })
    }
}

/// Called by the loader for the main executable first; asks for no more.
extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader calls this with a valid entry, and `found` is what `Executable::find` passes.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Executable>()) };
    // SAFETY: the entry names that many program headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    found.base = info.dlpi_addr as usize;
    found.code = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
        .map(|header| {
            let start = found.base.wrapping_add(header.p_vaddr as usize);
            start..start.wrapping_add(header.p_memsz as usize)
        })
        .collect();
    1
}

const EXECUTABLE: &str = "/proc/self/exe";
const FNV_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static SEEN: Cell<usize> = const { Cell::new(0) });

    fn remember(argument: Vec<u8>) -> Vec<u8> {
        SEEN.set(argument.len());
        vec![7]
    }

    #[test]
    fn an_offset_leads_back_to_the_function() {
        let offset = offset(remember).unwrap();
        let result = entry(image().unwrap(), offset).unwrap()(b"four".to_vec());
        assert_eq!((SEEN.get(), result), (4, vec![7]));
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
