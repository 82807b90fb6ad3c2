//! What the kernel allows, with no runtime on top: plain programs for the same workloads. Each floor is one process that
//! measures and one or more that answer, told by a few words which.
//!
//! They are the plainest programs for the mechanism, not proven lower bounds.

mod round_trip;
mod start;
mod stream;

use crate::pooled;
use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

/// Measures, in the unit of the workload.
pub fn measure(words: &[&str]) -> f64 {
    match *words {
        ["rtt", over, how, bytes] => round_trip::measure(over, how, number(bytes), false),
        ["rtt-one-cpu", over, how, bytes] => round_trip::measure(over, how, number(bytes), true),
        ["stream", over, bytes, batch_bytes] => {
            stream::measure(over, number(bytes), number(batch_bytes))
        }
        ["stream-values", over, bytes] => stream::measure_values(over, number(bytes)),
        ["farm"] => pooled::farm_ideal(),
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
        ["stream-values", bytes] => stream::answer_values(number(bytes)),
        ["start-tcp", address, then] => start::answer_by_tcp(address, then),
        ["start-socket", then] => start::answer_by_socket(then),
        _ => panic!("there is no peer {words:?}"),
    }
}

/// A process that answers, with a connection to it that it was born with: of either kind, since all that is done with
/// it is the same for both.
fn peer(over: &str, words: &[&str]) -> (Child, UnixStream) {
    let (ours, theirs) = match over {
        "unix" => UnixStream::pair().expect("sockets can be made"),
        "tcp" => tcp_pair().expect("loopback has a port left"),
        _ => panic!("there is no connection called {over}"),
    };
    let child = start(words, OwnedFd::from(theirs).into());
    (child, ours)
}

fn tcp_pair() -> io::Result<(UnixStream, UnixStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    let held = |socket: TcpStream| {
        socket.set_nodelay(true)?;
        io::Result::Ok(UnixStream::from(OwnedFd::from(socket)))
    };
    Ok((held(ours)?, held(theirs)?))
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
