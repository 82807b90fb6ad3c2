//! `cargo run --release -p deploy-tests --bin pool_kills -- --calls 100000 --kills 200 --seed 1`: calls on a pool whose
//! workers are killed, by SIGKILL, at random moments. Every call must be answered once, with the right value or, where it has
//! had as many workers as it may, with an error that says so; then as many calls again with nobody killed, during which
//! memory must not grow. It prints what it counted.
//!
//! Deliberately absent: kills of the process that calls (`pool_deaths`), and of machines.

use deploy::*;
use deploy_tests::{memory::resident_kib, soak::number};
use futures::{StreamExt, executor::block_on, stream};
use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread,
    time::{Duration, Instant},
};

static POOL: Pool = Pool::new().replicas(2..=4).in_flight(64).retries(3);

/// The number doubled, and who did it.
#[on(POOL)]
fn double(number: u64) -> (u64, Pid) {
    if number.is_multiple_of(64) {
        thread::sleep(Duration::from_micros(200)); // So that some are hit in the midst of it.
    }
    (2 * number, pid())
}

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    let (calls, kills) = (
        number(&args, "--calls", 20_000),
        number(&args, "--kills", 40),
    );
    let seed = number(&args, "--seed", 1);
    let (victims, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let killed = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| kill_some(kills, seed, &victims, &killed, &is_over));
        // More calls, where they are done before the last kill.
        let (mut right, mut failed) = (0, 0);
        while right + failed < calls || killed.load(SeqCst) < kills {
            let (more, less) = call(calls.min(10_000), &victims);
            (right, failed) = (right + more, failed + less);
        }
        is_over.store(true, SeqCst);
        println!(
            "{} calls, {} workers killed",
            right + failed,
            killed.load(SeqCst)
        );
        println!("right: {right}, failed after their retries: {failed}, wrong, doubled or lost: 0");
        assert!(failed * 100 < right, "an error is rare");
    });
    let unused = Mutex::new(Vec::new());
    call(calls.min(50_000), &unused);
    let (before, start) = (resident_kib(), Instant::now());
    let mut done = 0;
    while done < calls {
        let (right, failed) = call(calls.min(50_000), &unused);
        assert_eq!(failed, 0);
        done += right;
    }
    let (after, rate) = (resident_kib(), done as f64 / start.elapsed().as_secs_f64());
    println!("{done} more calls, {rate:.0}/s, memory from {before} to {after} KiB");
    assert!(
        after < before + GROWTH_KIB_MAX,
        "memory grows: {before} to {after} KiB"
    );
}

/// So many calls: how many were right, and how many failed as they may. Who answered last is a victim.
fn call(count: u64, victims: &Mutex<Vec<Pid>>) -> (u64, u64) {
    let mut seen = vec![false; count as usize];
    let numbers = stream::iter(0..count);
    let calls = numbers.map(|number| async move { (number, double(number).await) });
    let (mut right, mut failed) = (0, 0);
    block_on(calls.buffer_unordered(128).for_each(|(number, result)| {
        assert!(!seen[number as usize], "{number} was answered twice");
        seen[number as usize] = true;
        match result {
            Ok((doubled, worker)) => {
                assert_eq!(doubled, 2 * number);
                right += 1;
                let mut victims = victims.lock().unwrap();
                if !victims.contains(&worker) {
                    victims.push(worker);
                }
            }
            Err(DistributionError::Died { status, deaths: 4 }) => {
                assert_eq!(status.signal_name().as_deref(), Some("SIGKILL"));
                failed += 1;
            }
            Err(error) => panic!("{number}: {error}"),
        }
        std::future::ready(())
    }));
    assert!(seen.into_iter().all(|seen| seen), "every call is answered");
    (right, failed)
}

fn kill_some(
    kills: u64,
    seed: u64,
    victims: &Mutex<Vec<Pid>>,
    killed: &AtomicU64,
    is_over: &AtomicBool,
) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while killed.load(SeqCst) < kills && !is_over.load(SeqCst) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 10_000));
        let victim = victims.lock().unwrap().pop();
        if let Some(victim) = victim {
            victim.kill().unwrap();
            killed.fetch_add(1, SeqCst);
        }
    }
}

/// What an allocator may keep for itself.
const GROWTH_KIB_MAX: u64 = 4 << 10;
