//! Amounts as people write them: `"1.5GiB"`, `0.5`, `"250ms"`.
//!
//! Deliberately absent: rounding. What is no whole number of the smallest unit is cut.

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

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    decimal(number.trim_end(), unit)
}

/// A plain decimal number, times the unit.
fn decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let scale = 10u128.pow(fraction.len() as u32);
    let fraction = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / scale;
    whole.checked_add(fraction as u64)
}

/// As many as 64 bits hold for certain.
const FRACTION_DIGITS_MAX: usize = 18;

/// The plain byte last: every other name ends in its letter.
const BYTES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Plain seconds last, as above.
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
