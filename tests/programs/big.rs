//! Values larger than any buffer, there and back, of types that travel in bulk and of one that does not; and as the
//! argument of a process.
//!
//! How long an argument of 300 MiB takes: `cargo run --release -p deploy-tests --bin big -- 300`

//= main: exits 0, out "16 MiB of bytes, 8 MiB of numbers, 4 MiB of text, 200000 pairs\n"
//=   mirror: exits 0
//=   heard<alloc::vec::Vec<u8>>: exits 0
//=   heard<alloc::string::String>: exits 0
//=   heard<alloc::vec::Vec<big::Pair>>: exits 0

use deploy::*;
use serde::{Deserialize, Serialize};
use std::{env, time::Instant};

fn main() {
    init(Resources::default());
    if let Some(mib) = env::args().nth(1) {
        let bytes = vec![7u8; mib.parse::<usize>().unwrap() << 20];
        let start = Instant::now();
        as_argument(bytes);
        println!("{mib} MiB heard by a new process in {:?}", start.elapsed());
        return;
    }
    let pid = spawn(mirror, (), Resources::default()).unwrap();
    let bytes: Vec<u8> = (0..16 << 20)
        .map(|index: u32| index.to_le_bytes()[1])
        .collect();
    let numbers: Vec<u64> = (0..1 << 20).collect();
    let text = "0123456789abcdé".repeat(1 << 18);
    let pairs: Vec<Pair> = (0..200_000)
        .map(|left| Pair {
            left,
            right: left.to_string(),
        })
        .collect();
    as_argument(bytes.clone());
    as_argument(text.clone());
    as_argument(pairs.clone());
    there_and_back(pid, bytes);
    there_and_back(pid, numbers);
    there_and_back(pid, text);
    there_and_back(pid, pairs);
    println!("16 MiB of bytes, 8 MiB of numbers, 4 MiB of text, 200000 pairs");
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Pair {
    left: u32,
    right: String,
}

trait Value: Serialize + for<'a> Deserialize<'a> + Send + Clone + PartialEq + 'static {}
impl<T: Serialize + for<'a> Deserialize<'a> + Send + Clone + PartialEq + 'static> Value for T {}

fn there_and_back<T: Value>(pid: Pid, value: T) {
    let (sender, receiver) = (Sender::<T>::new(pid), Receiver::<T>::new(pid));
    sender.send(value.clone()).unwrap();
    assert!(receiver.recv().unwrap() == value);
}

/// The argument of a process goes as a value does.
fn as_argument<T: Value>(value: T) {
    let pid = spawn(heard::<T>, value.clone(), Resources::default()).unwrap();
    assert!(Receiver::<T>::new(pid).recv().unwrap() == value);
}

fn heard<T: Value>(parent: Pid, value: T) {
    Sender::<T>::new(parent).send(value).unwrap();
}

fn mirror(parent: Pid, (): ()) {
    back::<Vec<u8>>(parent);
    back::<Vec<u64>>(parent);
    back::<String>(parent);
    back::<Vec<Pair>>(parent);
}

fn back<T: Value>(parent: Pid) {
    let (sender, receiver) = (Sender::<T>::new(parent), Receiver::<T>::new(parent));
    sender.send(receiver.recv().unwrap()).unwrap();
}
