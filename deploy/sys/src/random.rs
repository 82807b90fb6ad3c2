//! Bits that nobody can guess.

use std::io;

/// 128 random bits from the kernel.
pub fn bits() -> io::Result<u128> {
    bytes().map(u128::from_ne_bytes)
}

/// So many random bytes from the kernel, at most 256.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    // SAFETY: the kernel writes at most as many bytes as there are.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(written) {
        // Requests of up to 256 bytes are never cut.
        Ok(written) if written == bytes.len() => Ok(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bits().unwrap(), super::bits().unwrap());
    }
}
