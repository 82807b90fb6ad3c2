//! Amounts in an attribute: `"1.5GiB"`, `0.5`, `"250ms"`. Deliberately absent: how they are read, which is
//! `deploy_wire::amount`.

use deploy_wire::amount::{BYTES, decimal, with_unit};

/// An amount of memory, in bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    with_unit(text, &BYTES)
}

/// A number of cores, in millionths of one.
pub(crate) fn millionths(text: &str) -> Option<u64> {
    decimal(text, 1_000_000)
}

/// A time, in nanoseconds.
pub(crate) fn nanoseconds(text: &str) -> Option<u64> {
    with_unit(text, &TIMES)
}

/// Plain seconds last: every other name that ends in their letter stands before.
const TIMES: [(&str, u64); 5] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("s", 1_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("1.5 KiB"), Some(1536));
        assert_eq!(bytes("7B"), Some(7));
        assert_eq!(millionths("0.0625"), Some(62_500));
        assert_eq!(millionths("34"), Some(34_000_000));
        assert_eq!(nanoseconds("250ms"), Some(250_000_000));
        assert_eq!(nanoseconds("1.5 s"), Some(1_500_000_000));
        assert_eq!(nanoseconds("2min"), Some(120_000_000_000));
    }

    #[test]
    fn nonsense_is_no_amount() {
        for text in ["", "GiB", "-1GiB", "1 GB", "1", "99999999999999TiB", "1.B"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for text in ["", "s", "5", "1 day", "-1s"] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
        assert_eq!(millionths("much"), None);
    }
}
