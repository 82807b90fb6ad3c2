//! Fixed-width, little-endian fields, one after another.
//!
//! A reader takes what it knows and leaves the rest, so a newer writer may add fields at the end.

/// A message that ended early, or a field with a value that nothing stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// Appends fields to a message.
#[derive(Default, Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Writer {
        self.raw(&[value])
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes, signed.
    pub fn i32(&mut self, value: i32) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, value: u128) -> &mut Writer {
        self.raw(&value.to_le_bytes())
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) -> &mut Writer {
        self.u8(value.into())
    }

    /// A length of four bytes, then the bytes.
    ///
    /// # Panics
    /// If there are 4 GiB of them or more: whoever writes checks first.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        self.u32(
            u32::try_from(value.len())
                .expect("fields of 4 GiB are refused before they are written"),
        )
        .raw(value)
    }

    /// A text, as its UTF-8 bytes.
    pub fn text(&mut self, value: &str) -> &mut Writer {
        self.bytes(value.as_bytes())
    }

    /// A text for people, cut after [`NAME_BYTES_MAX`]: the names of types have no limit, messages have.
    pub fn name(&mut self, value: &str) -> &mut Writer {
        let fits = |end: &usize| value.is_char_boundary(*end);
        let end = (0..=value.len().min(NAME_BYTES_MAX)).rev().find(fits);
        self.text(&value[..end.unwrap_or(0)])
    }

    /// A byte that says whether there is one, and the field if there is.
    pub fn option<T>(
        &mut self,
        value: Option<T>,
        field: impl FnOnce(&mut Writer, T),
    ) -> &mut Writer {
        self.bool(value.is_some());
        if let Some(value) = value {
            field(self, value);
        }
        self
    }

    /// How many there are, in four bytes, then each.
    pub fn list<T>(
        &mut self,
        list: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        item: impl Fn(&mut Writer, T),
    ) -> &mut Writer {
        let list = list.into_iter();
        self.u32(
            u32::try_from(list.len()).expect("lists are shorter than what they are made from"),
        );
        list.for_each(|entry| item(self, entry));
        self
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Writer {
        if bytes.len() >= LONG {
            self.0.reserve(bytes.len() + LONG); // Or the short fields behind a long one would have it moved.
        }
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Takes fields off the front of a message.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Before the first field of `message`.
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader(message)
    }

    /// Whether no field is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        self.array().map(u128::from_le_bytes)
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a truth value is neither 0 nor 1")),
        }
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    /// A text behind its length.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A text for people, of a length that leaves room for others in the same message.
    pub fn name(&mut self) -> Result<&'a str, Malformed> {
        let name = self.text()?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Malformed("a name is too long"));
        }
        Ok(name)
    }

    /// A field that may be absent.
    pub fn option<T>(
        &mut self,
        field: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        Ok(if self.bool()? {
            Some(field(self)?)
        } else {
            None
        })
    }

    /// A list: how many there are, then each. Nothing is set aside for those that are only announced.
    pub fn list<T, C: FromIterator<T>>(
        &mut self,
        item: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<C, Malformed> {
        (0..self.u32()?).map(|_| item(self)).collect()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("take returns as many bytes as asked"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it ends before its last field"))?;
        self.0 = rest;
        Ok(field)
    }
}

/// A field that is worth some room behind it.
const LONG: usize = 4 << 10;

/// The longest [`Writer::name`]: three of them fit into a packet beside the longest argument.
pub const NAME_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_come_back_in_order() {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .u32(2)
            .i64(-3)
            .u128(4)
            .bool(true)
            .text("five")
            .option(Some(6u64), |w, v| {
                w.u64(v);
            });
        let message = writer.finish();
        let mut reader = Reader::new(&message);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u32(), Ok(2));
        assert_eq!(reader.i64(), Ok(-3));
        assert_eq!(reader.u128(), Ok(4));
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.text(), Ok("five"));
        assert_eq!(reader.option(Reader::u64), Ok(Some(6)));
        assert_eq!(reader.u8(), Err(Malformed("it ends before its last field")));
    }

    #[test]
    fn a_name_without_end_is_cut_between_characters() {
        let check = |name: &str, expect: &str| {
            let mut writer = Writer::new();
            writer.name(name);
            assert_eq!(Reader::new(&writer.finish()).name(), Ok(expect));
        };
        check("", "");
        check("short", "short");
        check(
            &format!("x{}", "é".repeat(NAME_BYTES_MAX)),
            &format!("x{}", "é".repeat(NAME_BYTES_MAX / 2 - 1)),
        );
        let mut writer = Writer::new();
        writer.text(&"x".repeat(NAME_BYTES_MAX + 1));
        let too_long = Reader::new(&writer.finish()).name().map(str::len);
        assert_eq!(too_long, Err(Malformed("a name is too long")));
    }

    proptest! {
        #[test]
        fn a_length_that_lies_takes_nothing(message in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut reader = Reader::new(&message);
            if let Ok(bytes) = reader.bytes() {
                prop_assert!(bytes.len() + 4 <= message.len());
            }
        }
    }
}
