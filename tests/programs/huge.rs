//! A value far larger than any buffer, there and back, in each way to send and to receive: neither side ever holds more than
//! the value and 16 MiB. What comes after one that was dropped half-way, or both ways at once from two threads, is whole.
//!
//! The long form, with 1 GiB: `cargo run --release -p deploy-tests --bin huge -- 1024`

//= main: exits 0, out "flat: bytes text numbers packed rows, in 6 ways; given back: true; 2 threads, both ways: 4\n"
//=   mirror: exits 0
//=   forsake: exits 0
//=   endless: killed SIGKILL (killed)

use deploy::*;
use deploy_tests::memory::status_kib;
use futures::{SinkExt, StreamExt, executor::block_on};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    env, fs,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let mib = env::args().nth(1).map_or(64, |word| word.parse().unwrap());
    let len = mib << 20;
    let pid = spawn(mirror, (), Resources::default()).unwrap();
    there_and_back(pid, Way::Threads, "bytes", || vec![7u8; len]);
    there_and_back(pid, Way::Threads, "text", || "deploy ß".repeat(len / 9));
    there_and_back(pid, Way::Threads, "numbers", || vec![0.5f64; len / 8]);
    let packed = |len| Packed {
        bytes: vec![7; len],
    };
    there_and_back(pid, Way::Threads, "packed", || packed(len));
    for way in OTHER_WAYS {
        there_and_back(pid, way, &format!("bytes by {way:?}"), || {
            vec![7u8; len / 2]
        });
        there_and_back(pid, way, &format!("packed by {way:?}"), || packed(len / 2));
    }
    // Last, because the allocator keeps what so many small values had, and gives it back when it likes.
    there_and_back(pid, Way::Threads, "rows", || rows(len / 64));
    report_most("who sends");
    let given_back = too_large(pid, len);
    let both = both_ways(pid, len / 4);
    dropped_half_way(len);
    killed_half_way(len);
    println!(
        "flat: bytes text numbers packed rows, in {} ways; given back: {given_back}; 2 threads, both ways: {both}",
        1 + OTHER_WAYS.len()
    );
}

/// How a value is sent, and received.
#[derive(Clone, Copy, Debug)]
enum Way {
    Threads,
    Tasks,
    Streams,
    Selecting,
    InTime,
    Trying,
}

/// All but the first, with values of half the length, of which each would still show that it was held twice.
const OTHER_WAYS: [Way; 5] = [
    Way::Tasks,
    Way::Streams,
    Way::Selecting,
    Way::InTime,
    Way::Trying,
];

trait Value: Serialize + DeserializeOwned + PartialEq + Send + 'static {}
impl<T: Serialize + DeserializeOwned + PartialEq + Send + 'static> Value for T {}

/// Bytes within a structure: `serde_bytes` has them go in one piece, and not one by one.
#[derive(PartialEq, Serialize, Deserialize)]
struct Packed {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

fn rows(count: usize) -> Vec<(u64, String)> {
    (0..count as u64)
        .map(|number| (number, format!("the row with the number {number}")))
        .collect()
}

fn there_and_back<T: Value>(pid: Pid, way: Way, name: &str, make: impl Fn() -> T) {
    let (mut sender, mut receiver) = (Sender::new(pid), Receiver::<T>::new(pid));
    let start = Instant::now();
    send_flat(&mut sender, way, make());
    let value = receive_flat(&mut receiver, way);
    let took = start.elapsed();
    assert!(value == make(), "{name}");
    report(name, took);
}

fn mirror(parent: Pid, (): ()) {
    back::<Vec<u8>>(parent, Way::Threads);
    back::<String>(parent, Way::Threads);
    back::<Vec<f64>>(parent, Way::Threads);
    back::<Packed>(parent, Way::Threads);
    for way in OTHER_WAYS {
        back::<Vec<u8>>(parent, way);
        back::<Packed>(parent, way);
    }
    back::<Vec<(u64, String)>>(parent, Way::Threads);
    report_most("the mirror");
    let nothing = Receiver::<Vec<u64>>::new(parent).recv();
    assert_eq!(nothing, Err(ChannelError::Closed));
    let (sender, receiver) = (Sender::new(parent), Receiver::<Vec<u64>>::new(parent));
    for _ in 0..2 {
        sender.send(receiver.recv().unwrap()).unwrap();
    }
}

fn back<T: Value>(parent: Pid, way: Way) {
    let (mut sender, mut receiver) = (Sender::new(parent), Receiver::<T>::new(parent));
    let value = receive_flat(&mut receiver, way);
    send_flat(&mut sender, way, value);
}

fn send_flat<T: Value>(sender: &mut Sender<T>, way: Way, value: T) {
    let before_kib = forget_peak();
    let sent = match way {
        Way::Threads | Way::InTime | Way::Trying => Sender::send(sender, value),
        Way::Tasks => block_on(sender.send_async(value)),
        Way::Streams => block_on(SinkExt::send(sender, value)),
        Way::Selecting => select! { send(sender, value) -> sent => sent },
    };
    sent.unwrap();
    // The kernel counts a little behind.
    check(way, status_kib("VmHWM:").saturating_sub(before_kib));
}

fn receive_flat<T: Value>(receiver: &mut Receiver<T>, way: Way) -> T {
    forget_peak();
    let received = match way {
        Way::Threads => receiver.recv(),
        Way::Tasks => block_on(receiver.recv_async()),
        Way::Streams => block_on(receiver.next()).unwrap(),
        Way::Selecting => select! { recv(receiver) -> value => value },
        Way::InTime => Ok(receiver.recv_timeout(Duration::from_secs(60)).unwrap()),
        Way::Trying => loop {
            match receiver.try_recv() {
                Err(TryRecvError::Empty) => thread::yield_now(),
                received => break Ok(received.unwrap()),
            }
        },
    };
    let value = received.unwrap();
    check(
        way,
        status_kib("VmHWM:").saturating_sub(status_kib("VmRSS:")),
    );
    value
}

fn check(way: Way, more_kib: u64) {
    MOST_KIB.fetch_max(more_kib, SeqCst);
    assert!(
        more_kib <= 16 << 10,
        "{way:?}: {more_kib} KiB more than the value"
    );
}

fn too_large(pid: Pid, len: usize) -> bool {
    let sender = Sender::new(pid);
    match sender.try_send(vec![3u64; len / 8]) {
        Err(TrySendError::TooLarge(back)) => back.len() == len / 8,
        other => panic!("{:?}", other.map_err(|error| error.to_string())),
    }
}

/// Two threads that send at once, and one that receives meanwhile.
fn both_ways(pid: Pid, len: usize) -> usize {
    let (sender, receiver) = (Sender::new(pid), Receiver::<Vec<u64>>::new(pid));
    thread::scope(|scope| {
        for number in [1u64, 2] {
            let sender = &sender;
            scope.spawn(move || sender.send(vec![number; len / 8]).unwrap());
        }
        let whole = (0..2).filter(|_| {
            let value = receiver.recv().unwrap();
            value.len() == len / 8 && value.iter().all(|number| *number == value[0])
        });
        2 * whole.count()
    })
}

/// The receiver is dropped while a value comes, and the next one finds the next.
fn dropped_half_way(len: usize) {
    let pid = spawn(forsake, (), Resources::default()).unwrap();
    let sender = Sender::<Vec<u8>>::new(pid);
    assert_eq!(sender.send(vec![1; len]), Err(ChannelError::Closed));
    drop(sender);
    Sender::new(pid).send(7u64).unwrap();
    assert!(pid.wait().unwrap().success());
}

fn forsake(parent: Pid, (): ()) {
    let receiver = Receiver::<Vec<u8>>::new(parent);
    let begun = receiver.recv_timeout(Duration::from_millis(1));
    assert!(begun.is_err(), "it is too long to be there at once");
    drop(receiver);
    assert_eq!(Receiver::<u64>::new(parent).recv(), Ok(7));
}

/// What was begun when its sender's process was killed is no value; how that ended is told instead.
fn killed_half_way(len: usize) {
    let pid = spawn(endless, len, Resources::default()).unwrap();
    let receiver = Receiver::<Vec<u8>>::new(pid);
    assert_eq!(receiver.recv().unwrap().len(), len);
    // Has the next one begun.
    let _ = receiver.recv_timeout(Duration::from_millis(1));
    pid.kill().unwrap();
    let error = loop {
        match receiver.recv() {
            Ok(value) => assert_eq!(value.len(), len),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ChannelError::Exited(pid.wait().unwrap()));
}

fn endless(parent: Pid, len: usize) {
    let sender = Sender::new(parent);
    while sender.send(vec![1u8; len]).is_ok() {}
}

/// The peak is what is resident now, from here on.
fn forget_peak() -> u64 {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    status_kib("VmHWM:")
}

/// Figures for whoever asked for the long form.
fn report(name: &str, took: Duration) {
    if env::args().len() > 1 {
        eprintln!("{name}: there and back in {took:.2?}");
    }
}

fn report_most(who: &str) {
    if env::args().len() > 1 {
        eprintln!(
            "{who}: at most {} KiB beside the value",
            MOST_KIB.load(SeqCst)
        );
    }
}

/// What this process held beside a value, at most.
static MOST_KIB: AtomicU64 = AtomicU64::new(0);
