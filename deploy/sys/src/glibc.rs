//! Which C library there is, for programs that were linked elsewhere; and how much memory it keeps.

/// The version of this machine's glibc, such as `2.36`, if this program itself was loaded with it.
pub fn version() -> Option<String> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes nothing, and returns a text that is there, unchanged, as long as the library is loaded.
        let text = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        Some(text.to_string_lossy().into_owned())
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

/// Has the allocator keep some MiB of what is given back to it. For programs that carry much in large buffers, each of which
/// would otherwise be fetched from the kernel anew, page by page: that was a fifth of what carrying output cost. With another C
/// library it does nothing.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    for (option, bytes) in [
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
        (libc::M_TRIM_THRESHOLD, KEPT_BYTES),
    ] {
        // SAFETY: it takes two numbers, and sets a limit of the allocator under the allocator's own lock.
        unsafe { libc::mallopt(option, bytes) };
    }
}

/// What is longer is mapped by itself, and so given back at once: programs on their way, and the longest arguments.
#[cfg(target_env = "gnu")]
const MAPPED_FROM_BYTES: i32 = 1 << 20;
/// What is granted of output is on its way twice over.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: i32 = 8 << 20;

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    #[test]
    fn it_is_two_numbers() {
        let version = super::version().unwrap();
        let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        assert!(numbers.unwrap() > vec![2, 0], "{version}");
    }
}
