//! What the kernel allows, with no runtime on top: plain programs for the same workloads. Each floor is one process that
//! measures and one or more that answer, told by a few words which.
//!
//! They are the plainest programs for the mechanism, not proven lower bounds.

mod round_trip;
mod start;
mod stream;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

/// Measures, in the unit of the workload.
pub fn measure(words: &[&str]) -> f64 {
    match *words {
        ["rtt", how, bytes] => round_trip::measure(how, number(bytes), false),
        ["rtt-one-cpu", how, bytes] => round_trip::measure(how, number(bytes), true),
        ["stream", bytes, batch_bytes] => stream::measure(number(bytes), number(batch_bytes)),
        ["start", way] => start::measure_one(way),
        ["start-many", way, count, then] => start::measure_many(way, number(count), then),
        _ => panic!("there is no floor {words:?}"),
    }
}

/// Answers the process that measures.
pub fn answer(words: &[&str]) {
    match *words {
        ["rtt", how, bytes] => round_trip::answer(how, number(bytes)),
        ["stream"] => stream::answer(),
        ["start-tcp", address, then] => start::answer_by_tcp(address, then),
        ["start-socket", then] => start::answer_by_socket(then),
        _ => panic!("there is no peer {words:?}"),
    }
}

/// A process that answers, with a connection to it that it was born with.
fn peer(words: &[&str]) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets can be made");
    let child = start(words, OwnedFd::from(theirs).into());
    (child, ours)
}

/// A process that answers.
fn start(words: &[&str], stdin: Stdio) -> Child {
    Command::new("/proc/self/exe")
        .arg("--peer")
        .args(words)
        .stdin(stdin)
        .spawn()
        .expect("this program can be started again")
}

/// The connection that this process was born with.
fn inherited() -> UnixStream {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    socket
        .expect("whoever measures gives a socket as standard input")
        .into()
}

fn number(word: &str) -> usize {
    word.parse()
        .expect("the table of workloads has a number here")
}
