use super::*;
use deploy_trust::{
    authority::Authority,
    endpoint::Acceptor,
    session::Session,
    state::StateDir,
    subject::{Name, Role},
};
use mio::{Events, Poll};
use nix::poll::{PollFd, PollFlags, poll};
use std::{fs, net::TcpListener, os::fd::AsFd, time::SystemTime};
use tempfile::TempDir;

/// A master that gives what a test says.
struct Stub {
    address: SocketAddr,
    acceptor: Acceptor,
    road: Road,
    dir: TempDir,
}

impl Stub {
    /// It listens at the second.
    fn new() -> (Stub, TcpListener) {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = StateDir::open(&dir.path().join("authority")).unwrap();
        let authority = Authority::open(&state, SystemTime::now()).unwrap();
        let identity = |role, name| {
            let (name, address) = (Name::like(name), address.to_string());
            let signed = authority.identity(role, &name, &address, SystemTime::now());
            signed.unwrap()
        };
        let master = identity(Role::Master, "master");
        let roles = &[Role::Node];
        let stub = Stub {
            address,
            acceptor: Acceptor::new(&master, roles, authority.revocations(), true).unwrap(),
            road: Road {
                connector: Connector::member(&identity(Role::Node, "n1")).unwrap(),
                master: address,
                images: Images::open(&dir.path().join("images"), 1 << 30).unwrap(),
                transits: Transits::default(),
            },
            dir,
        };
        (stub, listener)
    }

    /// Answers the next who asks with these bytes of a program so long, and is gone. Returns from where on and at which
    /// try they were asked for.
    fn give(&self, listener: &TcpListener, len: usize, bytes: &[u8]) -> (u64, u8) {
        let mut dialed = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let dials = poll(&mut dialed, ASKED_WITHIN_MS).unwrap();
        assert_eq!(dials, 1, "nobody asks");
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = mio::net::TcpStream::from_std(stream);
        let mut session = self.acceptor.accept(stream, Instant::now()).unwrap();
        let mut poll = Poll::new().unwrap();
        session.register(poll.registry(), Token(0)).unwrap();
        let message = loop {
            if let Some(message) = session.poll_message().unwrap() {
                break message;
            }
            wait(&mut session, &mut poll);
        };
        let chunk = Order::Chunk {
            len: len as u64,
            bytes: bytes.to_vec(),
        };
        session.send(chunk.encode()).unwrap();
        session.flush().unwrap();
        while !session.is_flushed() {
            wait(&mut session, &mut poll);
        }
        match Report::decode(&message).unwrap() {
            Report::Fetch { offset, tries, .. } => (offset, tries),
            other => panic!("{other:?}"),
        }
    }

    fn image(&self, digest: &Digest) -> Vec<u8> {
        let name = crate::images::hex(digest);
        fs::read(self.dir.path().join("images").join(name)).unwrap()
    }
}

fn wait(session: &mut Session, poll: &mut Poll) {
    poll.poll(&mut Events::with_capacity(4), Some(PATIENCE))
        .unwrap();
    session.handle_ready().unwrap();
}

/// Bytes that do not become fewer by packing, their name, and their frame.
fn program(seed: u8) -> (Vec<u8>, Digest, Vec<u8>) {
    let mut bytes = vec![0; PROGRAM_BYTES];
    let mut stream = blake3::Hasher::new().update(&[seed]).finalize_xof();
    stream.fill(&mut bytes);
    let mut frame = Vec::new();
    let packed = deploy_parcel::Packed::whole(bytes.as_slice());
    packed.unwrap().read_to_end(&mut frame).unwrap();
    let digest = *blake3::hash(&bytes).as_bytes();
    (bytes, digest, frame)
}

#[test]
fn a_master_that_is_killed_and_back_is_asked_for_the_rest() {
    let (stub, listener) = Stub::new();
    let (bytes, digest, frame) = program(0);
    let (first, rest) = frame.split_at(frame.len() / 2);
    thread::scope(|scope| {
        let fetching = scope.spawn(|| stub.road.fetch(digest));
        assert_eq!(stub.give(&listener, bytes.len(), first), (0, 0));
        drop(listener);
        thread::sleep(2 * ASKED_EVERY); // Who is refused is announced to nobody.
        let listener = TcpListener::bind(stub.address).unwrap();
        let asked = stub.give(&listener, bytes.len(), rest);
        assert_eq!(asked, (first.len() as u64, 0));
        fetching.join().unwrap().unwrap();
    });
    assert_eq!(stub.image(&digest), bytes);
}

/// Many times, as who is first is a matter of chance.
#[test]
fn who_is_overtaken_when_it_has_got_damaged_bytes_tries_again() {
    let (stub, listener) = Stub::new();
    let (.., other) = program(0);
    for round in 1..=ROUNDS {
        let (bytes, digest, frame) = program(round);
        thread::scope(|scope| {
            let fetching = scope.spawn(|| stub.road.fetch(digest));
            let transit = loop {
                if let Some((_, transit)) = stub.road.transits.find(&digest) {
                    break transit;
                }
                thread::yield_now();
            };
            // That somebody is to be told of its end takes a moment, in which another may begin.
            let told = scope.spawn(move || transit.wait_for_end());
            let overtaking = scope.spawn(|| {
                let _begun = loop {
                    match stub.road.transits.begin(digest) {
                        Ok(begun) => break begun,
                        Err(_) => std::hint::spin_loop(),
                    }
                };
                thread::sleep(FAILS_AFTER);
            });
            assert_eq!(stub.give(&listener, bytes.len(), &other), (0, 0));
            let asked = stub.give(&listener, bytes.len(), &frame);
            assert_eq!(asked, (0, ALL_TRIES));
            fetching.join().unwrap().unwrap();
            assert_eq!(told.join().unwrap(), End::Failed);
            overtaking.join().unwrap();
        });
        assert_eq!(stub.image(&digest), bytes);
    }
}

/// More than the kernel takes at once.
const PROGRAM_BYTES: usize = 100_000;
const ROUNDS: u8 = 20;
/// Who has overtaken another fails, too, after a moment.
const FAILS_AFTER: Duration = Duration::from_millis(20);
/// Who has not asked by then never will.
const ASKED_WITHIN_MS: u16 = 20_000;
