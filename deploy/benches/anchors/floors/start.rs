//! This program started again, until it was heard from: it connects back, or was born with a connection.

use crate::samples::median_of;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Stdio},
    thread,
    time::Instant,
};

/// Microseconds for one.
pub fn measure_one(way: &str) -> f64 {
    let way = Way::new(way);
    median_of(STARTS_WARM_UP, STARTS, || {
        let start = Instant::now();
        let (mut child, own) = way.start("leave");
        let heard = way.hear(own);
        let took = start.elapsed();
        drop(heard);
        child.wait().expect("it is our child");
        took.as_secs_f64() * 1e6
    })
}

/// Milliseconds for so many, asked for back to back; `then` says whether each leaves when it has said its word, or
/// stays until all were heard.
pub fn measure_many(way: &str, count: usize, then: &str) -> f64 {
    let way = Way::new(way);
    median_of(1, if count > BURST_LARGE { 1 } else { BURSTS }, || {
        let start = Instant::now();
        let (children, heard) = way.start_and_hear(count, then);
        let took = start.elapsed();
        drop(heard);
        for mut child in children {
            child.wait().expect("it is our child");
        }
        took.as_secs_f64() * 1e3
    })
}

/// Says a word to the process that measures, over TCP.
pub fn answer_by_tcp(address: &str, then: &str) {
    let socket = TcpStream::connect(address).expect("whoever measures listens");
    say(socket, then);
}

/// Says a word over the connection it was born with.
pub fn answer_by_socket(then: &str) {
    say(super::inherited(), then);
}

fn say(mut socket: impl Read + Write, then: &str) {
    socket.write_all(&WORD).expect("whoever measures listens");
    if then == "stay" {
        // It says nothing, and goes when all were heard.
        let _ = socket.read(&mut [0]);
    }
}

/// How a newborn and the process that measures find one another.
enum Way {
    Tcp {
        listener: TcpListener,
        address: String,
    },
    Socket,
}

/// The connection to a newborn that was heard, which lives as long as this.
type Heard = OwnedFd;

impl Way {
    fn new(way: &str) -> Way {
        match way {
            "tcp" => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port left");
                let address = listener.local_addr().expect("it is bound").to_string();
                Way::Tcp { listener, address }
            }
            "socket" => Way::Socket,
            _ => panic!("there is no way to start called {way}"),
        }
    }

    /// Starts one; returns our end of the connection that it was born with, if that is the way.
    fn start(&self, then: &str) -> (Child, Option<UnixStream>) {
        match self {
            Way::Tcp { address, .. } => {
                let words = ["start-tcp", address, then];
                (super::start(&words, Stdio::null()), None)
            }
            Way::Socket => {
                let (child, own) = super::peer("unix", &["start-socket", then]);
                (child, Some(own))
            }
        }
    }

    /// Blocks until it was heard: this one, or whichever connects next.
    fn hear(&self, own: Option<UnixStream>) -> Heard {
        let mut word = WORD;
        match (self, own) {
            (Way::Tcp { listener, .. }, _) => {
                let (mut socket, _) = listener.accept().expect("a newborn connects");
                socket.read_exact(&mut word).expect("it says its word");
                socket.into()
            }
            (Way::Socket, own) => {
                let mut socket = own.expect("it was born with a connection");
                socket.read_exact(&mut word).expect("it says its word");
                socket.into()
            }
        }
    }

    fn start_and_hear(&self, count: usize, then: &str) -> (Vec<Child>, Vec<Heard>) {
        thread::scope(|scope| {
            // Those who connect are let in meanwhile: the kernel lets only so many wait.
            let ears = matches!(self, Way::Tcp { .. })
                .then(|| scope.spawn(|| (0..count).map(|_| self.hear(None)).collect()));
            let (children, own): (Vec<_>, Vec<_>) = (0..count).map(|_| self.start(then)).unzip();
            let heard = match ears {
                Some(ears) => ears.join().expect("all are heard"),
                None => own.into_iter().map(|own| self.hear(own)).collect(),
            };
            (children, heard)
        })
    }
}

const WORD: [u8; 8] = [7; 8];

const STARTS: usize = 100;

const STARTS_WARM_UP: usize = 10;

/// How often many are started.
const BURSTS: usize = 3;

/// So many are started once.
const BURST_LARGE: usize = 100;
