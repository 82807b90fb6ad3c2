//! Lines over the loopback, whose clock the tests set. That kernels ask and answer, `tests/tests/hosts/cut.rs` looks at.

use super::*;
use deploy_wire::{hello::Accept, pid::Job, secret::Secret};
use mio::{Events, Poll};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

const KEY: Secret = Secret::from_bytes([1; 32]);
const JOB: Job = Job::from_bits(5);

/// Lines, their poll, and the time.
struct World {
    lines: Lines,
    outside: Outside,
    poll: Poll,
    now: Instant,
    cut: Vec<(u32, u32)>,
}

impl World {
    fn new() -> World {
        World {
            lines: Lines::default(),
            outside: Outside::new(Some(KEY)),
            poll: Poll::new().unwrap(),
            now: Instant::now(),
            cut: Vec::new(),
        }
    }

    /// A second later the lines have done what there was to do.
    fn pass_second(&mut self) {
        self.now += Duration::from_secs(1);
        self.tend();
    }

    fn tend(&mut self) {
        let mut events = Events::with_capacity(16);
        self.poll
            .poll(&mut events, Some(Duration::from_millis(5)))
            .unwrap();
        for event in &events {
            if let Watched::Line(count) = Watched::of(event.token()) {
                self.lines.handle_ready(count);
            }
        }
        let dialer = (&self.outside, Route::line(JOB));
        let cut = self.lines.tend(dialer, self.poll.registry(), self.now);
        self.cut.extend(cut);
    }

    /// Goes on until the other machine is through with its part.
    fn tend_until<T>(&mut self, other: JoinHandle<T>) -> T {
        while !other.is_finished() {
            self.tend();
        }
        other.join().unwrap()
    }
}

/// Another machine, which takes a line.
fn take(listener: &TcpListener) -> JoinHandle<TcpStream> {
    let listener = listener.try_clone().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut accept = Accept::new([4; 32]);
        while accept.wanted() > 0 {
            let mut bytes = vec![0; accept.wanted()];
            stream.read_exact(&mut bytes).unwrap();
            accept.handle_bytes(&bytes, |_| Some(KEY)).unwrap();
            let answer = accept.poll_transmit().unwrap_or_default();
            stream.write_all(&answer).unwrap();
        }
        assert!(accept.proved().unwrap().is_line());
        stream
    })
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

#[test]
fn one_answers_for_all_connections_there_and_goes_with_the_last() {
    let (mut world, (listener, at)) = (World::new(), listener());
    for (one, other) in [(1, 2), (1, 3), (4, 2)] {
        world.lines.answer_for(one, other, at, world.now);
    }
    let mut there = world.tend_until(take(&listener));
    // The other kernel may take its time to acknowledge the last word, and here a second is none.
    while matches!(&world.lines.dialed[&at].state, State::Proved(socket, _) if !stream::is_acknowledged(socket.as_fd()))
    {
        world.tend();
    }
    for _ in 0..60 {
        world.pass_second();
    }
    assert!(matches!(world.lines.dialed[&at].state, State::Up(_)));
    assert_eq!(world.lines.poll_timeout(world.now), None);
    world.lines.forget(1, 2);
    world.lines.forget_all_of(1);
    assert_eq!(
        world.lines.dialed[&at].connections,
        [(4, [2].into())].into()
    );
    world.lines.forget(4, 2);
    assert_eq!(there.read(&mut [0]).unwrap(), 0);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "there was another");
    assert_eq!(world.cut, []);
}

#[test]
fn one_that_ends_with_an_answer_is_dialed_again() {
    let (mut world, (listener, at)) = (World::new(), listener());
    world.lines.answer_for(1, 2, at, world.now);
    for _ in 0..3 {
        let there = world.tend_until(take(&listener));
        world.pass_second();
        drop(there);
        for _ in 0..3 {
            world.pass_second();
        }
    }
    // Somebody is there, whatever is wrong with it.
    let other = thread::spawn(move || (0..30).for_each(|_| drop(listener.accept().unwrap())));
    while !other.is_finished() {
        world.pass_second();
    }
    assert_eq!(world.cut, []);
}

#[test]
fn who_is_not_reached_for_12_s_is_cut_off() {
    let (mut world, (nobody, at)) = (World::new(), listener());
    drop(nobody);
    let begun = world.now;
    world.lines.answer_for(1, 2, at, begun);
    world.lines.answer_for(1, 3, at, begun);
    while world.cut.is_empty() {
        world.pass_second();
    }
    assert_eq!(world.now - begun, Duration::from_secs(12));
    assert_eq!(world.cut, [(1, 2), (1, 3)]);
    world.pass_second();
    assert_eq!((world.cut.len(), world.lines.dialed.len()), (2, 0));
}

#[test]
fn one_that_is_held_goes_with_its_dialer_or_a_word() {
    let mut world = World::new();
    let (listener, at) = listener();
    let held = |world: &World| world.lines.held.len();
    for word in [None, Some(b"x")] {
        let mut dialer = Some(TcpStream::connect(at).unwrap());
        let (socket, _) = listener.accept().unwrap();
        world.lines.hold(socket.into(), world.poll.registry());
        world.pass_second();
        assert_eq!(held(&world), 1);
        match word {
            Some(word) => dialer.as_mut().unwrap().write_all(word).unwrap(),
            None => drop(dialer.take()),
        }
        while held(&world) > 0 {
            world.tend();
        }
    }
}
