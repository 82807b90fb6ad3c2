//! Numbers as they stand in a change: seven bits a byte, the lowest first, the eighth bit set in all but the last.
//!
//! Deliberately absent: any width. What is too large for a place is refused by who reads it.

use crate::base::nonsense;
use std::io;

pub(crate) fn put(list: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        list.push(number as u8 | 0x80);
        number >>= 7;
    }
    list.push(number as u8);
}

pub(crate) fn take(list: &mut &[u8]) -> io::Result<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = list.split_first().ok_or_else(nonsense)?;
        *list = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(nonsense())
}

/// With the sign in the lowest bit.
pub(crate) fn put_signed(list: &mut Vec<u8>, number: i64) {
    put(list, ((number << 1) ^ (number >> 63)) as u64);
}

pub(crate) fn take_signed(list: &mut &[u8]) -> io::Result<i64> {
    let number = take(list)?;
    Ok((number >> 1) as i64 ^ -((number & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut list = Vec::new();
            put_signed(&mut list, number);
            put(&mut list, number as u64);
            let mut rest = list.as_slice();
            assert_eq!(take_signed(&mut rest).unwrap(), number);
            assert_eq!(take(&mut rest).unwrap(), number as u64);
            assert!(rest.is_empty());
        }
    }
}
