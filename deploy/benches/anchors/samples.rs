//! How often to time a thing, and what to say of the times: medians, because a machine that others use too adds to
//! some samples and takes from none.

use std::time::{Duration, Instant};

/// Microseconds, the median: does `trip` for a while untimed and then for a while timed.
pub fn median_trip_us(mut trip: impl FnMut()) -> f64 {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        trip();
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < SAMPLES_MIN || start.elapsed() < TIMED {
        let trip_start = Instant::now();
        trip();
        samples.push(trip_start.elapsed().as_secs_f64() * 1e6);
    }
    median(&mut samples)
}

/// The median of `count` values, after a few that are not counted.
pub fn median_of(warm_up: usize, count: usize, mut sample: impl FnMut() -> f64) -> f64 {
    for _ in 0..warm_up {
        sample();
    }
    let mut samples: Vec<f64> = (0..count).map(|_| sample()).collect();
    median(&mut samples)
}

/// The one in the middle; the upper one of two.
///
/// # Panics
/// If there is none.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Until windows have grown, pages are touched and processors awake.
const WARM_UP: Duration = Duration::from_millis(60);

/// Thousands of small round trips, and dozens of the largest.
const TIMED: Duration = Duration::from_millis(300);

/// Where one takes longer than that, still a few.
const SAMPLES_MIN: usize = 7;

/// For how long the streams flow.
pub const STREAM: Duration = Duration::from_millis(400);
