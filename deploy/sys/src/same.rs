//! A value of a generic type, as what that type is: for types without lifetimes, `std::any` on a wider range.
//!
//! Deliberately absent: types with lifetimes. What tells types apart does not see those.

use std::{
    any::TypeId,
    marker::PhantomData,
    mem::{self, ManuallyDrop},
};

/// A type that has no lifetime anywhere in it, so that only it has its name.
///
/// # Safety
/// As it says: otherwise a short lifetime could be taken for a long one.
pub unsafe trait WithoutLifetimes: 'static {}

// SAFETY: there is none in them.
unsafe impl WithoutLifetimes for Vec<u8> {}
// SAFETY: there is none in it.
unsafe impl WithoutLifetimes for String {}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        // SAFETY: there is none in it.
        unsafe impl WithoutLifetimes for Vec<$number> {}
    )*};
}
numbers!(u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// The value, if its type is `U`.
pub fn as_type<T, U: WithoutLifetimes>(value: &T) -> Option<&U> {
    if !is_same::<T, U>() {
        return None;
    }
    // SAFETY: the two are the same type, `U` having no lifetimes in which they could differ.
    Some(unsafe { &*std::ptr::from_ref(value).cast::<U>() })
}

/// The value as one of type `T`, if that is its type; else the value again.
pub fn into_type<U: WithoutLifetimes, T>(value: U) -> Result<T, U> {
    if !is_same::<T, U>() {
        return Err(value);
    }
    let value = ManuallyDrop::new(value);
    // SAFETY: the two are the same type, as above, and the value is not used again.
    Ok(unsafe { mem::transmute_copy::<ManuallyDrop<U>, T>(&value) })
}

/// Whether the two are the same type.
pub fn is_same<T, U: WithoutLifetimes>() -> bool {
    let asked: &dyn Named = &PhantomData::<T>;
    // SAFETY: only the bound on the method is changed, which returns a number that knows of no lifetime, and nothing is
    // kept.
    let asked = unsafe { mem::transmute::<&dyn Named, &(dyn Named + 'static)>(asked) };
    asked.id() == TypeId::of::<U>()
}

trait Named {
    fn id(&self) -> TypeId
    where
        Self: 'static;
}

impl<T> Named for PhantomData<T> {
    fn id(&self) -> TypeId
    where
        Self: 'static,
    {
        TypeId::of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    #[test]
    fn a_value_is_what_it_is_and_nothing_else() {
        assert_eq!(as_type::<_, Vec<u8>>(&vec![1u8]), Some(&vec![1]));
        assert_eq!(as_type::<_, Vec<i8>>(&vec![1u8]), None);
        assert_eq!(as_type::<_, String>(&"text"), None);
        let text = "text".to_string();
        assert_eq!(as_type::<_, String>(&Cow::Borrowed(text.as_str())), None);
        assert_eq!(as_type::<_, String>(&text), Some(&text));
    }

    #[test]
    fn a_value_moves_and_is_dropped_once() {
        assert_eq!(into_type::<_, String>("a".to_string()), Ok("a".to_string()));
        assert_eq!(into_type::<_, Vec<u64>>(vec![1u8]), Err(vec![1]));
    }
}
