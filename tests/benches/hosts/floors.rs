//! What plain TCP does between the same two hosts: the plainest programs for it, and no proven bounds.

use super::ours::STREAM;
use deploy_tests::cluster::Cluster;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use std::{
    hint,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Microseconds for eight bytes to the other host and back, where both sides sleep until something comes.
pub fn round_trip_blocking(cluster: &Cluster) -> f64 {
    round_trip(cluster, false)
}

/// The same, where both sides look again and again.
pub fn round_trip_spinning(cluster: &Cluster) -> f64 {
    round_trip(cluster, true)
}

fn round_trip(cluster: &Cluster, spins: bool) -> f64 {
    between(
        cluster,
        |mut socket| {
            socket
                .set_nonblocking(spins)
                .expect("a socket can be set so");
            pin(spins, 1);
            let mut bytes = [0; 8];
            while receive(&mut socket, &mut bytes) {
                socket
                    .write_all(&bytes)
                    .expect("there is room for eight bytes");
            }
        },
        |mut socket| {
            socket
                .set_nonblocking(spins)
                .expect("a socket can be set so");
            pin(spins, 0);
            median_trip_us(|| {
                socket
                    .write_all(&[7; 8])
                    .expect("there is room for eight bytes");
                assert!(receive(&mut socket, &mut [0; 8]), "the peer answers");
            })
        },
    )
}

/// Keeps a thread that spins on the n-th processor, because on a busy machine the kernel puts both on one, and then each
/// waits in vain until its time is up.
fn pin(spins: bool, index: usize) {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).expect("a thread may ask where it runs");
    let mut allowed = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
    if let (true, Some(cpu)) = (spins, allowed.nth(index)) {
        let mut only = CpuSet::new();
        only.set(cpu).expect("the number came from such a set");
        sched_setaffinity(this, &only).expect("a thread may choose among its processors");
    }
}

/// Says whether they came, rather than the end.
fn receive(socket: &mut TcpStream, bytes: &mut [u8; 8]) -> bool {
    loop {
        match socket.read(bytes) {
            Ok(count) => return count == bytes.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => hint::spin_loop(),
            Err(error) => panic!("the peer is gone: {error}"),
        }
    }
}

/// Messages of eight bytes and their length a second, in writes of 64 KiB.
pub fn stream_small(cluster: &Cluster) -> f64 {
    stream(cluster, 64 << 10) / 12.0
}

/// Gigabytes a second, in writes of 1 MiB.
pub fn stream_large(cluster: &Cluster) -> f64 {
    stream(cluster, 1 << 20) / 1e9
}

/// Bytes a second.
fn stream(cluster: &Cluster, write_bytes: usize) -> f64 {
    between(
        cluster,
        |mut socket| {
            let mut buffer = vec![0; 256 << 10];
            while socket.read(&mut buffer).expect("it can be read") > 0 {}
            socket.write_all(&[1]).expect("the peer waits for it");
        },
        |mut socket| {
            let (bytes, mut sent) = (vec![7; write_bytes], 0);
            let start = Instant::now();
            while start.elapsed() < STREAM {
                socket.write_all(&bytes).expect("the peer reads");
                sent += bytes.len();
            }
            socket.shutdown(Shutdown::Write).expect("it is connected");
            socket
                .read_exact(&mut [0])
                .expect("the peer says that all came");
            sent as f64 / start.elapsed().as_secs_f64()
        },
    )
}

/// Has one host answer and another measure.
fn between(
    cluster: &Cluster,
    answer: impl FnOnce(TcpStream) + Send,
    measure: impl FnOnce(TcpStream) -> f64 + Send,
) -> f64 {
    let (here, there) = (cluster.hosts.host("n1"), cluster.hosts.host("n2"));
    let address = SocketAddr::new(there.address, 7_000);
    let listener = there.within(|| TcpListener::bind(address).expect("the port is free"));
    let nodelay = |socket: TcpStream| {
        socket.set_nodelay(true).expect("a socket can be set so");
        socket
    };
    thread::scope(|scope| {
        scope.spawn(move || answer(nodelay(listener.accept().expect("somebody dials").0)));
        let dial = || nodelay(TcpStream::connect(address).expect("the hosts are connected"));
        here.within(|| measure(dial()))
    })
}

/// Microseconds, the median: does `trip` for a while untimed and then for a while timed.
pub fn median_trip_us(mut trip: impl FnMut()) -> f64 {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        trip();
    }
    let (start, mut samples) = (Instant::now(), Vec::new());
    while start.elapsed() < TIMED {
        let began = Instant::now();
        trip();
        samples.push(began.elapsed().as_secs_f64() * 1e6);
    }
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

const WARM_UP: Duration = Duration::from_millis(60);
/// Thousands of trips.
const TIMED: Duration = Duration::from_millis(400);
