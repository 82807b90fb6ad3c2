//! What is passed to a function, and what comes back, as bytes; and the question whether a type can travel so.
//!
//! # One question, one answer
//! A bound that is not met is an error wherever it is stated, and one more for each of its parts. So the attributes' code
//! states none. It looks for a method of [`Asked`]: what it finds is [`Can`]'s where the type meets all, and otherwise
//! [`Cannot`]'s, which is one reference further away. What that returns is shown to a function that has the only bound,
//! [`Travels`], and the name of the argument. Its result says nothing but [`Way`]: so all that follows is proven by it,
//! and has no bound that could fail again.
//!
//! Each argument is encoded by itself, so that a `Vec` of numbers or a `String` goes as it lies in memory, as in a channel.
//! Deliberately absent: when that happens (`call.rs`).

#[cfg(feature = "distributed")]
use crate::codec::{self, CodecError};
#[cfg(feature = "distributed")]
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// What a type needs to be passed to a function on a pool, and to be returned by it.
#[cfg(feature = "distributed")]
pub trait Able: Serialize + DeserializeOwned + Send + 'static {}

#[cfg(feature = "distributed")]
impl<T: Serialize + DeserializeOwned + Send + 'static> Able for T {}

/// What a type needs to be passed to a function that runs in place, and to be returned by it.
#[cfg(not(feature = "distributed"))]
pub trait Able: Send + 'static {}

#[cfg(not(feature = "distributed"))]
impl<T: Send + 'static> Able for T {}

/// The question whether a type can travel: `(&Asked::<T>::NOW).way()`, where [`Can`] and [`Cannot`] are in scope.
#[derive(Debug)]
pub struct Asked<T>(PhantomData<fn() -> T>);

impl<T> Asked<T> {
    /// The question.
    pub const NOW: Asked<T> = Asked(PhantomData);
}

/// The answer where it can.
pub trait Can<T> {
    /// How it does.
    fn way(&self) -> Coded;
}

impl<T: Able> Can<T> for Asked<T> {
    fn way(&self) -> Coded {
        Coded
    }
}

/// The answer where it cannot.
pub trait Cannot<T> {
    /// That there is no way.
    fn way(&self) -> Missing;
}

impl<T> Cannot<T> for &Asked<T> {
    fn way(&self) -> Missing {
        Missing
    }
}

/// The way of types that can travel.
#[derive(Debug)]
pub struct Coded;

/// In the place of a way, for types that cannot.
#[derive(Debug)]
pub struct Missing;

/// A way for a `T` to the workers of a pool and back.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot travel to the workers of a pool",
    label = "it needs `serde::Serialize` and `serde::Deserialize`, and to be `Send` and own what it holds",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to a type of your own, and to those that it holds",
    note = "a type parameter needs the bounds `T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static`"
)]
pub trait Travels<T>: Way<T> {}

#[diagnostic::do_not_recommend]
impl<T: Able> Travels<T> for Coded {}

/// How a `T` becomes bytes, and bytes a `T`.
pub trait Way<T> {
    /// Appends it to `bytes`.
    #[cfg(feature = "distributed")]
    #[doc(hidden)]
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Takes it from the front of `bytes`.
    #[cfg(feature = "distributed")]
    #[doc(hidden)]
    fn decode(bytes: &mut &[u8]) -> Result<T, CodecError>;
}

impl<T: Able> Way<T> for Coded {
    #[cfg(feature = "distributed")]
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        codec::encode_part(value, bytes)
    }

    #[cfg(feature = "distributed")]
    fn decode(bytes: &mut &[u8]) -> Result<T, CodecError> {
        codec::decode_part(bytes)
    }
}

/// So that the question has been answered when this is looked for.
impl<T> Way<T> for Missing {
    #[cfg(feature = "distributed")]
    fn encode(_: &T, _: &mut Vec<u8>) -> Result<(), CodecError> {
        unreachable!("what cannot travel does not compile")
    }

    #[cfg(feature = "distributed")]
    fn decode(_: &mut &[u8]) -> Result<T, CodecError> {
        unreachable!("what cannot travel does not compile")
    }
}

/// The ways of all that is passed to a function: a tuple for a tuple.
pub trait Ways<A> {
    /// Appends all of it to `bytes`.
    #[cfg(feature = "distributed")]
    #[doc(hidden)]
    fn encode(given: &A, bytes: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Takes all of it from the front of `bytes`.
    #[cfg(feature = "distributed")]
    #[doc(hidden)]
    fn decode(bytes: &mut &[u8]) -> Result<A, CodecError>;
}

macro_rules! ways {
    ($($name:ident $way:ident)*) => {
        impl<$($name, $way: Way<$name>),*> Ways<($($name,)*)> for ($($way,)*) {
            #[cfg(feature = "distributed")]
            fn encode(given: &($($name,)*), _bytes: &mut Vec<u8>) -> Result<(), CodecError> {
                #[allow(non_snake_case, reason = "a type and its value have one name here")]
                let ($($name,)*) = given;
                $($way::encode($name, _bytes)?;)*
                Ok(())
            }

            #[cfg(feature = "distributed")]
            fn decode(_bytes: &mut &[u8]) -> Result<($($name,)*), CodecError> {
                Ok(($($way::decode(_bytes)?,)*))
            }
        }
    };
}
ways!();
ways!(A VA);
ways!(A VA B VB);
ways!(A VA B VB C VC);
ways!(A VA B VB C VC D VD);
ways!(A VA B VB C VC D VD E VE);
ways!(A VA B VB C VC D VD E VE F VF);
ways!(A VA B VB C VC D VD E VE F VF G VG);
ways!(A VA B VB C VC D VD E VE F VF G VG H VH);
ways!(A VA B VB C VC D VD E VE F VF G VG H VH I VI);
ways!(A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ);
ways!(A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ K VK);
ways!(A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ K VK L VL);
