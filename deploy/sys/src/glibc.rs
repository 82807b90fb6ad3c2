//! Which C library there is, for programs that were linked elsewhere.

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

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    #[test]
    fn it_is_two_numbers() {
        let version = super::version().unwrap();
        let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        assert!(numbers.unwrap() > vec![2, 0], "{version}");
    }
}
