//! The name of a type as it travels: whole, unless it is longer than a frame may carry.
//!
//! Deliberately absent: types. A name is what the compiler calls one, and both ends are built by the same.

use crate::frame::NAME_BYTES_MAX;
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hasher},
};

/// The name that travels. Of a longer one, as generic types within one another may have, the beginning, and a digest of
/// all of it, so that two types which begin alike are still told apart.
///
/// ```
/// assert_eq!(deploy_wire::type_name::travelling("usize"), "usize");
/// ```
pub fn travelling(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX as usize {
        return Cow::Borrowed(name);
    }
    let mut hasher = DefaultHasher::new(); // Without random keys: the same in each process of an image.
    hasher.write(name.as_bytes());
    let end = (0..=SHOWN_BYTES)
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .expect("nothing is before the first character");
    Cow::Owned(format!("{}.. ({:016x})", &name[..end], hasher.finish()))
}

/// How much of a name that is too long people get to see.
const SHOWN_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_travels_whole_and_longer_ones_stay_apart() {
        let longest = "x".repeat(NAME_BYTES_MAX as usize);
        assert_eq!(travelling(&longest), longest);
        let one = format!("{longest}{}", "é".repeat(1000));
        let other = format!("{one}é");
        assert!(travelling(&one).len() < 2 * SHOWN_BYTES);
        assert_eq!(travelling(&one), travelling(&one));
        assert_ne!(travelling(&one), travelling(&other));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for before in 0..4 {
            let name = "x".repeat(before) + &"é→𝄞".repeat(NAME_BYTES_MAX as usize);
            assert!(name.starts_with(travelling(&name).split("..").next().expect("a beginning")));
        }
    }
}
