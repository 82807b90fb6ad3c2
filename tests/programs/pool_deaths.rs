//! Calls whose worker ends: by the call itself, by a stranger, by its time limit; and pools whose own process ends.

//= run a poison, with its retries
//= args poison
//= code 134
//= main: exits 0, out "the worker that ran it ended: SIGABRT; it was tried 3 times\n[1, 2, 4, 5]\n"
//=   pool_worker x3: killed SIGABRT
//=   pool_worker: exits 0

//= run at most once
//= args once
//= code 134
//= main: exits 0, out "the worker that ran it ended: SIGABRT\n[1, 2, 4, 5]\n"
//=   pool_worker: killed SIGABRT
//=   pool_worker: exits 0

//= run killed by a stranger, and repeated
//= only alone
//= args stranger
//= code 137
//= main: exits 0, out "7 after 2\n"
//=   pool_worker: killed SIGKILL
//=   pool_worker: exits 0

//= run a worker that exits
//= args exit
//= code 3
//= main: exits 0, out "the worker that ran it ended: 3\n"
//=   pool_worker: exits 3

//= run a time limit
//= args timeout
//= main: exits 0, out "it ran for more than 50ms\n1\n"
//=   pool_worker: killed SIGKILL (killed)
//=   pool_worker: exits 0

//= run dropped before they run
//= only alone
//= args dropped
//= main: exits 0, out "ran: 1\n"
//=   pool_worker: exits 0

//= run main panics
//= args panic
//= code 101
//= main: exits 101, err "\n*panicked at*\non purpose\n*\n"
//=   pool_worker x2: exits 0

//= run main exits while a worker works
//= args leave
//= code 5
//= main: exits 5
//=   witness: killed SIGKILL (killed)
//=   pool_worker: killed SIGKILL (killed)

//= run main is killed
//= args killed
//= code 137
//= main: killed SIGKILL
//=   pool_worker x2: killed SIGKILL (linked)

//= run workers that go when they are not needed
//= args idle
//= main: exits 0, out "4 workers, later 1\n"
//=   pool_worker x4: exits 0

//= run the last one dies soon after there was no room for another
//= only alone
//= args room
//= env DEPLOY_CAPACITY=512MiB 1
//= code 134
//= main: exits 0, out "2 runs, 1\n"
//=   pool_worker: killed SIGABRT
//=   pool_worker: exits 0

//= run not even one fits
//= args refused
//= env DEPLOY_CAPACITY=512MiB 2
//= main: exits 0, out "no worker could be started: *2GiB*\ntrue\n"
//=   pool_worker: exits 0

use deploy::*;
use futures::{FutureExt, future::join_all};
use std::{
    env, fs,
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

static POOL: Pool = Pool::new().replicas(1..=1);
static TWO: Pool = Pool::new().replicas(2..=2);
static UP_TO_TWO: Pool = Pool::new().replicas(1..=2);
static FOUR: Pool = Pool::new().replicas(1..=4).idle(Duration::from_millis(200));

#[on(POOL)]
fn poison(number: u32) -> u32 {
    if number == 3 {
        process::abort();
    }
    number
}

#[with(POOL, retries = 0)]
fn poison_once(number: u32) -> u32 {
    if number == 3 {
        process::abort();
    }
    number
}

#[with(POOL, timeout = "50ms")]
fn slow() {
    park_forever();
}

/// In time, however much the machine has to do.
#[with(POOL, timeout = "30s")]
fn quick(number: u32) -> u32 {
    number
}

#[with(POOL, retries = 0)]
fn exits(code: i32) {
    process::exit(code);
}

/// Kills its worker the first time, as a stranger would.
#[on(POOL)]
fn killed_once(file: String) -> (u32, usize) {
    let runs = note_run(Path::new(&file));
    if runs == 1 {
        kill(process::id());
    }
    fs::remove_file(file).unwrap();
    (7, runs)
}

/// Ends its worker the first time, while its pool pauses behind a refusal. Says how often it ran.
#[on(UP_TO_TWO)]
fn aborts_once(directory: &Path) -> usize {
    let runs = note_run(&directory.join("runs"));
    if runs == 1 {
        thread::sleep(Duration::from_millis(50));
        process::abort();
    }
    runs
}

#[on(UP_TO_TWO)]
fn one_of_two(number: u32) -> u32 {
    number
}

/// Says that it runs, and goes on when there is another file.
#[on(POOL)]
fn hold(directory: &Path) {
    fs::write(directory.join("held"), "").unwrap();
    await_file(&directory.join("go"));
}

/// How often it ran.
#[on(POOL)]
fn count(directory: &Path) -> usize {
    note_run(&directory.join("runs"))
}

/// How often something ran, with this time.
fn note_run(file: &Path) -> usize {
    let runs = fs::read(file).map_or(0, |runs| runs.len()) + 1;
    fs::write(file, vec![b'.'; runs]).unwrap();
    runs
}

#[on(TWO)]
fn two(number: u32) -> u32 {
    number
}

#[on(FOUR)]
fn nap(_: u32) {
    thread::sleep(Duration::from_millis(50));
}

#[with(POOL, mem = "2GiB")]
fn large() {}

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "poison" => with_others(poison),
        "once" => with_others(poison_once),
        "stranger" => {
            let file = format!("{}/runs-{}", env::temp_dir().display(), process::id());
            let (result, runs) = killed_once(file).wait().unwrap();
            println!("{result} after {runs}");
        }
        "exit" => println!("{}", exits(3).wait().unwrap_err()),
        "timeout" => {
            println!("{}", slow().wait().unwrap_err());
            println!("{}", quick(1).wait().unwrap());
        }
        "dropped" => dropped(),
        "panic" => {
            two(1).wait().unwrap();
            panic!("on purpose");
        }
        "leave" => {
            let witness = spawn(witness, (), Resources::default()).unwrap();
            let mut call = slow_forever(witness);
            assert!((&mut call).now_or_never().is_none());
            witness.wait().unwrap();
            process::exit(5);
        }
        "killed" => {
            two(1).wait().unwrap();
            kill(process::id());
        }
        "idle" => idle(),
        "room" => room(),
        _ => {
            println!("{}", large().wait().unwrap_err());
            println!("{}", poison(1).wait() == Ok(1));
        }
    }
}

#[with(POOL, retries = 0)]
fn slow_forever(witness: Pid) {
    witness.kill().unwrap();
    park_forever();
}

/// Its end tells that a call has begun: the worker's one channel to whoever calls is the pool's.
fn witness(_: Pid, (): ()) {
    park_forever();
}

fn park_forever() -> ! {
    loop {
        thread::park();
    }
}

fn with_others(function: fn(u32) -> Call<u32>) {
    let results = futures::executor::block_on(join_all((1..=5).map(function)));
    let (right, wrong): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    for error in wrong {
        println!("{}", error.unwrap_err());
    }
    let right: Vec<u32> = right.into_iter().map(Result::unwrap).collect();
    println!("{right:?}");
}

/// Calls that are begun and dropped while the only worker is busy.
fn dropped() {
    let directory = env::temp_dir().join(format!("dropped-{}", process::id()));
    fs::create_dir(&directory).unwrap();
    let mut held = hold(&directory);
    assert!((&mut held).now_or_never().is_none());
    await_file(&directory.join("held"));
    let mut calls: Vec<_> = (0..9).map(|_| count(&directory)).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    drop(calls);
    fs::write(directory.join("go"), "").unwrap();
    held.wait().unwrap();
    println!("ran: {}", count(&directory).wait().unwrap());
    fs::remove_dir_all(directory).unwrap();
}

/// Two calls and room for one worker, which ends in the midst of the first.
fn room() {
    let directory = env::temp_dir().join(format!("room-{}", process::id()));
    fs::create_dir(&directory).unwrap();
    let calls = futures::future::join(aborts_once(&directory), one_of_two(1));
    let (runs, other) = futures::executor::block_on(calls);
    println!("{} runs, {}", runs.unwrap(), other.unwrap());
    fs::remove_dir_all(directory).unwrap();
}

fn await_file(file: &Path) {
    while !file.exists() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn idle() {
    let results = futures::executor::block_on(join_all((0..16).map(nap)));
    assert!(results.iter().all(Result::is_ok));
    let most = FOUR.workers();
    let start = Instant::now();
    while FOUR.workers() > 1 && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(5));
    }
    println!("{most} workers, later {}", FOUR.workers());
}

fn kill(process: u32) {
    let status = process::Command::new("kill")
        .args(["-9", &process.to_string()])
        .status();
    assert!(status.unwrap().success());
    loop {
        thread::park();
    }
}
