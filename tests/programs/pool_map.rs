//! A function on a pool called with one input after another: in order, in any order, as a stream, endlessly, and dropped.

//= run in every way
//= main: exits 0, out "ordered true\nunordered true\nstream true\nerrors [Ok(1), Err(\"panicked\"), Ok(3)]\nendless 9998\ndropped true\nreduced 10\n"
//=   pool_worker: exits 0
//=   pool_worker: exits 0, err "\n*panicked at*\ntwo is even\n*\n"

//= run silent where nobody watches
//= args slow
//= main: exits 0, out "40 naps\n"
//=   pool_worker x4: exits 0

use deploy::*;
use futures::StreamExt;
use std::{
    env,
    sync::atomic::{AtomicU64, Ordering::*},
    thread,
    time::Duration,
};

static POOL: Pool = Pool::new().replicas(2..=2).in_flight(8);

#[on(POOL)]
fn double(number: u64) -> u64 {
    if number % 100 == 7 {
        thread::sleep(Duration::from_millis(2)); // Others overtake it.
    }
    number * 2
}

#[on(POOL)]
fn odd(number: u64) -> u64 {
    assert!(number % 2 == 1, "two is even");
    number
}

#[on(POOL)]
fn nap(_: u32) {
    thread::sleep(Duration::from_millis(60));
}

/// Which has workers of its own.
#[with(POOL, mem = "64MiB")]
fn ready() {}

fn main() {
    init(Resources::default());
    if env::args().nth(1).is_some() {
        ready().wait().unwrap();
        println!("{} naps", POOL.map(nap, 0..40).count());
        return;
    }
    let right: Vec<u64> = (0..1000).map(|number| number * 2).collect();
    let ordered: Vec<u64> = POOL.map(double, 0..1000).map(Result::unwrap).collect();
    println!("ordered {}", ordered == right);
    let unordered = POOL.map_unordered(double, 0..1000);
    let mut unordered: Vec<u64> = unordered.map(Result::unwrap).collect();
    unordered.sort();
    println!("unordered {}", unordered == right);
    let stream = POOL.map(double, 0..1000).into_stream();
    let stream: Vec<_> = futures::executor::block_on(stream.collect());
    let stream: Vec<u64> = stream.into_iter().map(Result::unwrap).collect();
    println!("stream {}", stream == right);
    errors();
    endless();
    let sum = POOL.map(double, 2..=3).sum::<Result<u64, _>>();
    println!("reduced {}", sum.unwrap());
}

fn errors() {
    let results = POOL.map(odd, 1..=3).map(|result| {
        result.map_err(|error| match error {
            DistributionError::Panicked { .. } => "panicked",
            _ => "something else",
        })
    });
    let results: Vec<_> = results.collect();
    println!("errors {results:?}");
}

/// Inputs that never end are taken as they are needed.
fn endless() {
    let taken = AtomicU64::new(0);
    let inputs = (0..).inspect(|_| {
        taken.fetch_add(1, SeqCst);
    });
    let mut map = POOL.map(double, inputs);
    let last = map.nth(4999).unwrap().unwrap();
    println!("endless {last}");
    assert!(taken.load(SeqCst) <= 5000 + 2 * 8, "{taken:?}");
    drop(map);
    println!("dropped {}", double(4).wait() == Ok(8));
}
