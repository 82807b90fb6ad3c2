//! A value to bytes and back: beside the encoder the only file that knows which format that is.
//!
//! Values travel between processes of one image, so the format need not outlive them: bincode, fixed width. Long runs
//! of bytes and numbers go as they lie in memory, since bincode takes them one by one, a hundred times slower.

use super::encoder::{Encoder, Refusal};
use bincode::error::DecodeError;
use deploy_sys::{
    limit,
    same::{WithoutLifetimes, as_type, into_type, is_same},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::{Any, TypeId},
    borrow::Cow,
    io::{self, Read, Write},
};

/// A value that the format cannot hold, or bytes that are no such value: which, in words.
pub(crate) type CodecError = String;

/// Writes the value to `writer`, whose own errors come back as they are inside the text.
pub(crate) fn encode<T: Serialize>(value: &T, mut writer: impl Write) -> Result<(), CodecError> {
    let refused = |refusal| match refusal {
        Refusal::Endless | Refusal::LeftOut(_) => format!("{refusal}; {ASKING}"),
        Refusal::Write(_) | Refusal::Value(_) => refusal.to_string(),
    };
    value.serialize(Encoder(&mut writer)).map_err(refused)
}

/// The value in these bytes, which hold nothing else and came in one record.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bincode::serde::decode_from_slice(bytes, CONFIG.with_limit::<RECORD_BYTES_LIMIT>()) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok(_) => Err("the value ends before its bytes do".to_string()),
        Err(error) => Err(decode_error(error)),
    }
}

/// The value that `reader` holds next.
pub(crate) fn decode_from<T: DeserializeOwned>(mut reader: impl Read) -> Result<T, CodecError> {
    bincode::serde::decode_from_std_read(&mut reader, CONFIG.with_limit::<STREAM_BYTES_LIMIT>())
        .map_err(decode_error)
}

/// Appends the value to others: one that goes as it lies in memory with its length before it.
pub(crate) fn encode_part<T: Serialize + 'static>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let Some(bulk) = as_bulk(value) else {
        return encode(value, bytes);
    };
    bytes.extend_from_slice(&(bulk.len() as u64).to_le_bytes());
    bytes.extend_from_slice(bulk);
    Ok(())
}

/// Takes the value from the front of these bytes.
pub(crate) fn decode_part<T: DeserializeOwned + 'static>(
    bytes: &mut &[u8],
) -> Result<T, CodecError> {
    if !is_bulk::<T>() {
        return decode_from(bytes);
    }
    let bulk = bytes.split_first_chunk::<8>().and_then(|(len, rest)| {
        *bytes = rest;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let bulk;
        (bulk, *bytes) = rest.split_at_checked(len)?;
        Some(bulk.to_vec())
    });
    let ended = || "the bytes end before the value does".to_string();
    from_bulk(bulk.ok_or_else(ended)?).expect("the type goes as it lies in memory")
}

fn decode_error(error: DecodeError) -> CodecError {
    match error {
        DecodeError::OtherString(why) => why,
        DecodeError::Io { inner, .. } => inner.to_string(),
        DecodeError::UnexpectedEnd { .. } => {
            format!("the bytes end before the value does; {ASKING}")
        }
        DecodeError::Serde(serde) => format!("{serde:?}; {ASKING}"),
        error => error.to_string(),
    }
}

/// The value's bytes, which hold nothing else: as it lies in memory, where it goes that way.
pub(crate) fn encode_whole<T: Serialize>(value: &T) -> Result<Cow<'_, [u8]>, CodecError> {
    if let Some(bytes) = as_bulk(value) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut bytes = Vec::new();
    encode(value, &mut bytes)?;
    Ok(Cow::Owned(bytes))
}

/// The value in what [`encode_whole`] gave.
pub(crate) fn decode_whole<T: DeserializeOwned>(bytes: Vec<u8>) -> Result<T, CodecError> {
    match from_bulk(bytes) {
        Ok(value) => value,
        Err(bytes) => decode_from(bytes.as_slice()),
    }
}

/// Does the same for each number of which vectors go as they lie in memory. One that is left out goes number by number, and
/// nothing else tells.
macro_rules! for_each_number {
    ($does:ident) => {
        $does!(u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64)
    };
}

/// The bytes of a value that goes as it lies in memory.
pub(crate) fn as_bulk<T>(value: &T) -> Option<&[u8]> {
    if let Some(bytes) = as_type::<T, Vec<u8>>(value) {
        return Some(bytes);
    }
    if let Some(text) = as_type::<T, String>(value) {
        return Some(text.as_bytes());
    }
    macro_rules! numbers {
        ($($number:ty)*) => {$(
            if let Some(numbers) = as_type::<T, Vec<$number>>(value) {
                return Some(bytemuck::cast_slice(numbers));
            }
        )*};
    }
    for_each_number!(numbers);
    None
}

/// Whether values of this type go as they lie in memory.
pub(crate) fn is_bulk<T>() -> bool {
    from_bulk::<T>(Vec::new()).is_ok()
}

/// Whether values of this type are bytes, which go in runs.
pub(crate) fn is_byte<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<u8>()
}

/// The value whose memory held these bytes, if its type goes that way; else the bytes again.
pub(crate) fn from_bulk<T>(bytes: Vec<u8>) -> Result<Result<T, CodecError>, Vec<u8>> {
    if is_same::<T, Vec<u8>>() {
        return Ok(Ok(same(bytes)));
    }
    if is_same::<T, String>() {
        let text = String::from_utf8(bytes).map_err(|error| error.to_string());
        return Ok(text.map(same));
    }
    macro_rules! numbers {
        ($($number:ty)*) => {$(
            if is_same::<T, Vec<$number>>() {
                return Ok(numbers_of::<$number>(&bytes).map(same));
            }
        )*};
    }
    for_each_number!(numbers);
    Err(bytes)
}

/// The value as what it is.
fn same<U: WithoutLifetimes, T>(value: U) -> T {
    into_type(value)
        .ok()
        .expect("the two types were found to be the same")
}

/// Where the bytes of a long value of such a type are put together, at their place: the value is never held twice.
pub(crate) enum Bulk {
    /// Bytes and text, as they come.
    Bytes(Vec<u8>),
    /// A vector of numbers, all there and the first bytes of it right.
    Numbers {
        memory: Box<dyn Memory>,
        bytes: usize,
        filled: usize,
    },
}

/// A vector of numbers, whichever they are.
pub(crate) trait Memory: Any {
    /// Its bytes.
    fn bytes(&mut self) -> &mut [u8];
}

impl<N: bytemuck::Pod> Memory for Vec<N> {
    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }
}

impl Bulk {
    /// Room for a value of this type whose memory held so many bytes, if the type goes that way.
    pub(crate) fn with_room<T: 'static>(bytes: u64) -> Option<Result<Bulk, CodecError>> {
        let wanted = TypeId::of::<T>();
        if wanted == TypeId::of::<Vec<u8>>() || wanted == TypeId::of::<String>() {
            return Some(byte_room(bytes).map(Bulk::Bytes));
        }
        macro_rules! numbers {
            ($($number:ty)*) => {$(
                if wanted == TypeId::of::<Vec<$number>>() {
                    return Some(number_room::<$number>(bytes));
                }
            )*};
        }
        for_each_number!(numbers);
        None
    }

    /// How many more bytes there is room for.
    pub(crate) fn left(&self) -> usize {
        match self {
            Bulk::Bytes(bytes) => bytes.capacity() - bytes.len(),
            Bulk::Numbers { bytes, filled, .. } => bytes - filled,
        }
    }

    /// The bytes that are there.
    pub(crate) fn filled(&mut self) -> &[u8] {
        match self {
            Bulk::Bytes(bytes) => bytes,
            Bulk::Numbers { memory, filled, .. } => &memory.bytes()[..*filled],
        }
    }

    /// The next bytes, which had arrived before. What there is no room for is no value.
    pub(crate) fn append(&mut self, more: &[u8]) {
        match self {
            Bulk::Bytes(bytes) => bytes.extend_from_slice(more),
            Bulk::Numbers { memory, filled, .. } => {
                let place = memory.bytes().get_mut(*filled..*filled + more.len());
                if let Some(place) = place {
                    place.copy_from_slice(more);
                }
                *filled += more.len();
            }
        }
    }

    /// The value, once its last byte is there.
    pub(crate) fn into_value<T: 'static>(self) -> Result<T, CodecError> {
        match self {
            Bulk::Numbers { bytes, filled, .. } if filled != bytes => {
                Err("a value is not as long as it was said to be".to_string())
            }
            Bulk::Bytes(bytes) => {
                from_bulk(bytes).expect("bytes and text go as they lie in memory")
            }
            Bulk::Numbers { memory, .. } => {
                let memory: Box<dyn Any> = memory;
                Ok(*memory.downcast().expect("room was made for this type"))
            }
        }
    }
}

fn byte_room(bytes: u64) -> Result<Vec<u8>, CodecError> {
    let mut room = Vec::new();
    usize::try_from(bytes)
        .ok()
        .and_then(|bytes| room.try_reserve_exact(bytes).ok())
        .ok_or_else(|| no_memory(bytes))?;
    Ok(room)
}

/// Zeroed memory of that size comes from the kernel as it is read to: nothing is written twice.
fn number_room<N: bytemuck::Pod>(bytes: u64) -> Result<Bulk, CodecError> {
    let bytes = usize::try_from(bytes).map_err(|_| no_memory(bytes))?;
    whole_numbers::<N>(bytes)?;
    let numbers: Vec<N> = bytemuck::allocation::try_zeroed_vec(bytes / size_of::<N>())
        .map_err(|()| no_memory(bytes as u64))?;
    Ok(Bulk::Numbers {
        memory: Box::new(numbers),
        bytes,
        filled: 0,
    })
}

fn no_memory(bytes: u64) -> CodecError {
    let why = limit::explain(&limit::no_memory());
    format!("there is no memory for a value of {bytes} bytes: {why}")
}

fn whole_numbers<N>(bytes: usize) -> Result<(), CodecError> {
    match bytes.is_multiple_of(size_of::<N>()) {
        true => Ok(()),
        false => Err(format!(
            "{bytes} bytes are no whole number of {}",
            std::any::type_name::<N>()
        )),
    }
}

fn numbers_of<N: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<N>, CodecError> {
    whole_numbers::<N>(bytes.len())?;
    Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
}

/// Takes at most so many bytes, and then fails.
pub(crate) struct Capped<'a> {
    pub(crate) buffer: &'a mut Vec<u8>,
    pub(crate) bytes_max: usize,
    /// Set by the write that did not fit.
    pub(crate) overflowed: &'a mut bool,
}

impl Write for Capped<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > self.bytes_max {
            *self.overflowed = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What most often lies behind an error: bytes do not say what they are, as JSON does.
const ASKING: &str = "serde's `untagged`, `tag`, `flatten` and `skip_serializing_if`, and types such as \
    serde_json::Value, cannot travel: send text, or a type without them";

type Config =
    bincode::config::Configuration<bincode::config::LittleEndian, bincode::config::Fixint>;

/// A length in bytes that lie is refused before anybody allocates for it. What came in one record claims no more than a
/// record holds, and a value that streams no more than that much, which is asked of the kernel and not touched.
const RECORD_BYTES_LIMIT: usize = 64 << 10;
const STREAM_BYTES_LIMIT: usize = 1 << 36;

const CONFIG: Config = bincode::config::standard().with_fixed_int_encoding();

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::{collections::BTreeMap, fmt::Debug};

    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T, bulk: bool) {
        let mut bytes = Vec::new();
        encode(&value, &mut bytes).unwrap();
        assert_eq!(decode::<T>(&bytes).as_ref(), Ok(&value));
        assert_eq!(decode_from::<T>(bytes.as_slice()).as_ref(), Ok(&value));
        assert_eq!(is_bulk::<T>(), bulk);
        match as_bulk(&value) {
            Some(memory) => assert_eq!(from_bulk::<T>(memory.to_vec()).as_ref(), Ok(&Ok(value))),
            None => assert!(!bulk),
        }
    }

    #[test]
    fn a_type_that_asks_the_format_is_told_by_what_it_asks_with() {
        #[derive(Serialize, Deserialize, Debug)]
        #[serde(tag = "kind")]
        enum Tagged {
            One { n: u32 },
        }
        #[derive(Serialize, Deserialize, Debug)]
        struct Skipping {
            #[serde(skip_serializing_if = "Option::is_none")]
            left_out: Option<u8>,
            at: u8,
            rest: Vec<u8>,
        }
        fn check<T: Serialize + DeserializeOwned + Debug>(value: T) {
            let mut bytes = Vec::new();
            let coded = encode(&value, &mut bytes).and_then(|()| decode::<T>(&bytes));
            let why = coded.unwrap_err();
            assert!(why.contains("`tag`") && why.contains("`skip_ser"), "{why}");
        }
        check(Tagged::One { n: 1 });
        // Once it came as one that is at 1, and has no rest.
        check(Skipping {
            left_out: None,
            at: 0,
            rest: vec![0],
        });
    }

    #[test]
    fn values_come_back() {
        check(7u8, false);
        check(Some(("text".to_string(), -1i64)), false);
        check(BTreeMap::from([(1, 'a'), (2, 'ß')]), false);
    }

    /// Puts the value's memory together in two parts, as where a long one comes.
    fn put_together<T: 'static>(memory: &[u8]) -> Result<T, CodecError> {
        let mut bulk = Bulk::with_room::<T>(memory.len() as u64).expect("it goes that way")?;
        assert_eq!(bulk.left(), memory.len());
        let (front, back) = memory.split_at(memory.len() / 2);
        bulk.append(front);
        bulk.append(back);
        assert_eq!((bulk.left(), bulk.filled()), (0, memory));
        bulk.into_value()
    }

    /// One that does not arrives none the less, a hundred times slower.
    #[test]
    fn vectors_of_every_number_go_as_they_lie_in_memory_from_end_to_end() {
        macro_rules! numbers {
            ($($number:ident)*) => {$(
                let numbers = vec![$number::MIN, $number::MAX, 7 as $number];
                let memory = as_bulk(&numbers).expect(stringify!($number));
                assert_eq!(memory.len(), 3 * size_of::<$number>());
                assert_eq!(put_together::<Vec<$number>>(memory).as_ref(), Ok(&numbers));
                check(numbers, true);
            )*};
        }
        numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
        let text = "bulk ß".to_string();
        let memory = as_bulk(&text).unwrap();
        assert_eq!(memory, text.as_bytes());
        assert_eq!(put_together::<String>(memory).as_ref(), Ok(&text));
        check(text, true);
    }

    /// An argument of a process that was encoded by itself: 300 MiB of bytes took six seconds.
    #[test]
    fn a_whole_value_goes_as_it_lies_in_memory() {
        let bytes = vec![7u8; 100];
        let whole = encode_whole(&bytes).unwrap();
        assert!(std::ptr::eq(&raw const *whole, &raw const *bytes));
        assert_eq!(decode_whole(whole.into_owned()), Ok(bytes));
        let pair = (Cow::Borrowed("borrowed"), 7u8);
        let whole = encode_whole(&pair).unwrap().into_owned();
        assert_eq!(decode_whole(whole).as_ref(), Ok(&pair));
    }

    /// A length that lay made room for a gigabyte.
    #[test]
    fn a_record_claims_no_more_than_a_record_holds() {
        let text = "x".repeat(RECORD_BYTES_LIMIT - size_of::<u64>());
        let mut bytes = Vec::new();
        encode(&text, &mut bytes).unwrap();
        assert_eq!(decode::<String>(&bytes).as_ref(), Ok(&text));
        let characters = vec!['x'; text.len()];
        encode(&characters, bytes.as_mut_slice()).unwrap();
        assert_eq!(decode::<Vec<char>>(&bytes), Ok(characters));
        bytes[..8].copy_from_slice(&(RECORD_BYTES_LIMIT as u64).to_le_bytes());
        let error = decode::<String>(&bytes).unwrap_err();
        assert_eq!(error, "LimitExceeded");
    }

    #[test]
    fn bytes_that_are_no_such_value_are_an_error() {
        assert!(decode::<String>(&[255; 8]).is_err());
        assert!(decode::<u64>(&[0; 9]).is_err());
        assert!(from_bulk::<String>(vec![0xff]).unwrap().is_err());
        assert!(from_bulk::<Vec<u32>>(vec![0; 5]).unwrap().is_err());
    }
}
