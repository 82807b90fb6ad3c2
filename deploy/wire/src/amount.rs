//! Amounts as people write them: `1.5GiB`, `0.5`.
//!
//! Deliberately absent: rounding. What is no whole number of the smallest unit is cut.

/// `text`, a number and behind it the name of one of `units`, in the unit that counts as 1; nothing for any other text.
/// A name that ends as another does stands before it.
///
/// ```
/// use deploy_wire::amount::{BYTES, with_unit};
/// assert_eq!(with_unit("1.5 KiB", &BYTES), Some(1536));
/// assert_eq!(with_unit("1536", &BYTES), None);
/// ```
pub fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    decimal(number.trim_end(), unit)
}

/// `number`, a plain decimal, times `unit`; nothing for any other text, a negative number or one too large.
pub fn decimal(number: &str, unit: u64) -> Option<u64> {
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

/// Amounts of memory, largest first, and the plain byte last: every other name ends in its letter.
pub const BYTES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
