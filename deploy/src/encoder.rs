//! A value to bytes, in bincode's format with fixed width, which bincode decodes.
//!
//! Bincode's own encoder leaves a field out where `skip_serializing_if` has it do so. Its decoder, to which nothing says so,
//! then takes the next field for it, and often finds some other value. Here it is an error, as every part is of which the
//! decoder would not know where it ends. Serde says so of named fields alone: of a tuple struct, and of `skip_serializing` without
//! its counterpart, nothing shows here.
//!
//! Deliberately absent: numbers of another width or order, and any way back.

use serde::{
    Serialize,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use std::{
    fmt::{self, Display},
    io::{self, Write},
};

/// Writes a value, and each part of it.
pub(crate) struct Encoder<'a, W>(pub(crate) &'a mut W);

/// Why a value was not written to its end.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Of the writer.
    Write(io::Error),
    /// Of the value's own `Serialize`.
    Value(String),
    /// A run whose length is not known before.
    Endless,
    /// This field was left out.
    LeftOut(&'static str),
}

type Encoded = Result<(), Refusal>;

impl<W: Write> Encoder<'_, W> {
    #[inline]
    fn bytes(self, bytes: &[u8]) -> Encoded {
        self.0.write_all(bytes).map_err(Refusal::Write)
    }

    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Encoded {
        value.serialize(Encoder(self.0))
    }

    /// A length or the number of a variant, and then more.
    #[inline]
    fn begin(self, number: &[u8]) -> Result<Self, Refusal> {
        self.0.write_all(number).map_err(Refusal::Write)?;
        Ok(self)
    }

    #[inline]
    fn begin_run(self, len: Option<usize>) -> Result<Self, Refusal> {
        let len = len.ok_or(Refusal::Endless)? as u64;
        self.begin(&len.to_le_bytes())
    }
}

macro_rules! numbers {
    ($($serialize:ident $number:ty)*) => {$(
        #[inline]
        fn $serialize(self, number: $number) -> Encoded {
            self.bytes(&number.to_le_bytes())
        }
    )*};
}

impl<W: Write> ser::Serializer for Encoder<'_, W> {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_u8 u8  serialize_u16 u16  serialize_u32 u32  serialize_u64 u64  serialize_u128 u128
        serialize_i8 i8  serialize_i16 i16  serialize_i32 i32  serialize_i64 i64  serialize_i128 i128
        serialize_f32 f32  serialize_f64 f64
    }

    fn serialize_bool(self, is_so: bool) -> Encoded {
        self.bytes(&[u8::from(is_so)])
    }

    fn serialize_char(self, character: char) -> Encoded {
        self.bytes(character.encode_utf8(&mut [0; 4]).as_bytes())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Encoded {
        self.serialize_bytes(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Encoded {
        self.begin_run(Some(bytes.len()))?.bytes(bytes)
    }

    fn serialize_none(self) -> Encoded {
        self.bytes(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Encoded {
        value.serialize(self.begin(&[1])?)
    }

    fn serialize_unit(self) -> Encoded {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Encoded {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Encoded {
        self.bytes(&index.to_le_bytes())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Encoded {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Encoded {
        value.serialize(self.begin(&index.to_le_bytes())?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Refusal> {
        self.begin_run(len)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refusal> {
        self.begin(&index.to_le_bytes())
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Refusal> {
        self.begin_run(len)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refusal> {
        self.begin(&index.to_le_bytes())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Parts one behind the other, without names.
macro_rules! parts {
    ($($trait:ident $($part:ident)+;)*) => {$(
        impl<W: Write> $trait for Encoder<'_, W> {
            type Ok = ();
            type Error = Refusal;

            $(
                fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Encoded {
                    self.part(value)
                }
            )+

            fn end(self) -> Encoded {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
    SerializeMap serialize_key serialize_value;
}

/// Fields, none of which may be left out.
macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl<W: Write> $trait for Encoder<'_, W> {
            type Ok = ();
            type Error = Refusal;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Encoded {
                self.part(value)
            }

            fn skip_field(&mut self, name: &'static str) -> Encoded {
                Err(Refusal::LeftOut(name))
            }

            fn end(self) -> Encoded {
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);

impl ser::Error for Refusal {
    fn custom<T: Display>(why: T) -> Refusal {
        Refusal::Value(why.to_string())
    }
}

impl std::error::Error for Refusal {}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Write(error) => error.fmt(f),
            Refusal::Value(why) => f.write_str(why),
            Refusal::Endless => f.write_str("it has a part whose length is not known before"),
            Refusal::LeftOut(field) => write!(f, "it leaves out its field `{field}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Any {
        Unit,
        Newtype(Option<Box<Any>>),
        Tuple(u8, char),
        Struct {
            text: &'static str,
            none: Option<()>,
        },
    }

    #[derive(Serialize)]
    struct Fields(Unit, Wrapped, BTreeMap<char, Vec<Any>>);

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Wrapped(bool);

    fn check(value: impl Serialize) {
        let config = bincode::config::standard().with_fixed_int_encoding();
        let mut bytes = Vec::new();
        value.serialize(Encoder(&mut bytes)).unwrap();
        assert_eq!(
            bytes,
            bincode::serde::encode_to_vec(&value, config).unwrap()
        );
    }

    #[test]
    fn the_bytes_are_those_of_bincode() {
        check((1u8, 2u16, 3u32, 4u64, 5u128, 6usize, 0.5f32, 0.25f64));
        check((-1i8, -2i16, -3i32, -4i64, -5i128, -6isize, [true, false]));
        check(('a', 'ß', '€', '🦀', "text", b"bytes", [""; 2], ()));
        check(serde_bytes());
        check(Fields(
            Unit,
            Wrapped(true),
            BTreeMap::from([(
                'k',
                vec![
                    Any::Newtype(Some(Box::new(Any::Unit))),
                    Any::Newtype(None),
                    Any::Tuple(7, 'x'),
                    Any::Struct {
                        text: "t",
                        none: Some(()),
                    },
                ],
            )]),
        ));
    }

    /// What `serialize_bytes` takes.
    fn serde_bytes() -> impl Serialize {
        struct Bytes;
        impl Serialize for Bytes {
            fn serialize<S: ser::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bytes(&[1, 2, 3])
            }
        }
        Bytes
    }
}
