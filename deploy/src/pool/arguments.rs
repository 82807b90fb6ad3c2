//! What is passed to a function, and what comes back, as bytes.
//!
//! Each argument is encoded by itself, so that a `Vec` of numbers or a `String` goes as it lies in memory, as in a channel.

use crate::codec::{self, CodecError};
use serde::{Serialize, de::DeserializeOwned};

/// What can be passed to a function on a pool, and returned by it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel to the workers of a pool",
    label = "it needs `serde::Serialize` and `serde::Deserialize`, and to own what it holds",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to a type of your own"
)]
pub trait Travels: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Travels for T {}

/// All that is passed to a function: a tuple.
pub trait Arguments: Send + Sized + 'static {
    /// Appends them to `bytes`.
    #[doc(hidden)]
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Takes them from the front of `bytes`.
    #[doc(hidden)]
    fn decode(bytes: &mut &[u8]) -> Result<Self, CodecError>;
}

macro_rules! arguments {
    ($($name:ident)*) => {
        impl<$($name: Travels),*> Arguments for ($($name,)*) {
            fn encode(&self, _bytes: &mut Vec<u8>) -> Result<(), CodecError> {
                #[allow(non_snake_case, reason = "a type and its value have one name here")]
                let ($($name,)*) = self;
                $(codec::encode_part($name, _bytes)?;)*
                Ok(())
            }

            fn decode(_bytes: &mut &[u8]) -> Result<Self, CodecError> {
                Ok(($(codec::decode_part::<$name>(_bytes)?,)*))
            }
        }
    };
}
arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
arguments!(A B C D E F G);
arguments!(A B C D E F G H);
arguments!(A B C D E F G H I);
arguments!(A B C D E F G H I J);
arguments!(A B C D E F G H I J K);
arguments!(A B C D E F G H I J K L);
