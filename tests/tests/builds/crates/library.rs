//! Workers in a library.

use deploy::{Pid, Sender};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Display, ops::Add};

pub trait Answer: Copy + Add<Output = Self> + Display + Serialize + DeserializeOwned + Send + 'static {}

impl Answer for u64 {}
impl Answer for f32 {}

pub fn in_library(parent: Pid, n: u64) {
    Sender::<u64>::new(parent).send(n * 10).unwrap();
}

pub fn of_any_type<T: Answer>(parent: Pid, n: T) {
    Sender::<T>::new(parent).send(n + n).unwrap();
}
