//! Functions on pools: one call at a time, many at once, and a farm of short computations.

use crate::samples::{STREAM, median_trip_us};
use deploy::{Pool, on};
use futures::{
    executor::block_on,
    future::join_all,
    stream::{self, StreamExt},
};
use std::{thread, time::Instant};

/// One worker: what is measured is the way there and back.
static ONE: Pool = Pool::new().replicas(1..=1).in_flight(1000);

/// As many as a machine of the usual kind for measurements runs at a time; on a larger one more of them would be faster.
static FARM: Pool = Pool::new().replicas(1..=2);

#[on(ONE)]
fn nothing(number: u64) -> u64 {
    number
}

#[on(FARM)]
fn computed(number: u64) -> u64 {
    compute(number)
}

/// Microseconds for one call, awaited before the next is made.
pub fn latency() -> f64 {
    block_on(nothing(0)).expect("a worker can be started");
    median_trip_us(|| {
        block_on(nothing(7)).expect("the worker lives");
    })
}

/// Calls a second, 1000 begun at once and all awaited, again and again.
pub fn throughput() -> f64 {
    rate(1000, || {
        let done = block_on(join_all((0..1000).map(nothing)));
        assert!(done.into_iter().all(|result| result.is_ok()));
    })
}

/// Calls a second, of which 64 are out at any time.
pub fn in_flight() -> f64 {
    rate(10_000, || {
        let calls = stream::iter((0..10_000).map(nothing)).buffer_unordered(64);
        assert_eq!(block_on(calls.count()), 10_000);
    })
}

/// Milliseconds for a thousandth of a second of work on each of 2000 inputs, one call for each.
pub fn farm() -> f64 {
    block_on(computed(0)).expect("a worker can be started");
    let start = Instant::now();
    let sum = FARM
        .map(computed, 0..FARM_INPUTS)
        .map(|result| result.expect("a worker lives"))
        .fold(0, u64::wrapping_add);
    let took = start.elapsed();
    let right = (0..FARM_INPUTS).map(compute).fold(0, u64::wrapping_add);
    assert_eq!(sum, right, "every input was computed once");
    took.as_secs_f64() * 1e3
}

/// Milliseconds for the same by one thread, divided by as many as could do it at a time.
pub fn farm_ideal() -> f64 {
    let processors = thread::available_parallelism().map_or(1, |count| count.get().min(2));
    let start = Instant::now();
    let sum = (0..FARM_INPUTS).map(compute).fold(0, u64::wrapping_add);
    std::hint::black_box(sum);
    start.elapsed().as_secs_f64() * 1e3 / processors as f64
}

fn rate(count: usize, mut calls: impl FnMut()) -> f64 {
    calls(); // Until the worker is there, and known.
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < STREAM {
        calls();
        done += count;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// About a millisecond of integers that depend on one another, the same as in the other anchors.
fn compute(number: u64) -> u64 {
    let mut x = number;
    for _ in 0..FARM_ROUNDS {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    x
}

const FARM_INPUTS: u64 = 2000;
const FARM_ROUNDS: u32 = 240_000;
