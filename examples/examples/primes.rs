//! How many primes there are below a number: a function on a pool, called with one range after another.
//!
//! What was `ranges.map(count)` with one thread is `POOL.map(count, ranges)` with processes; the function is the same.
//!
//! ```text
//! cargo run --release -p deploy-examples --example primes
//! cargo run --release -p deploy-examples --example primes -- 50000000
//! ```

use deploy::*;
use std::{env, ops::Range, process};

static POOL: Pool = Pool::new().replicas(4..=4);

/// How many primes lie in the range.
#[on(POOL)]
fn count(range: Range<u64>) -> usize {
    range.filter(|number| is_prime(*number)).count()
}

fn is_prime(number: u64) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number >= 2 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

fn main() -> Result<(), DistributionError> {
    init(Resources::default());
    let Ok(end) = env::args().nth(1).map_or(Ok(1_000_000), |end| end.parse()) else {
        eprintln!("usage: primes [NUMBER]");
        process::exit(2);
    };
    let ranges = (0..end)
        .step_by(RANGE)
        .map(|start| start..end.min(start + RANGE as u64));
    let primes: usize = POOL.map(count, ranges).sum::<Result<_, _>>()?;
    println!("{primes} primes below {end}");
    Ok(())
}

/// A few milliseconds of work: long beside what a call costs, and short enough that all workers end together.
const RANGE: usize = 50_000;
