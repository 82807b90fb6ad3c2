//! A master for tests: an authority in a directory of its own, and a loop that echoes what members say.

use deploy_trust::{
    authority::Authority,
    client::{Client, ClientError},
    door::{Arrival, DataHello, Door},
    endpoint::{Acceptor, Connector},
    identity::Identity,
    insecure,
    join::{answer, join},
    session::Session,
    state::StateDir,
    subject::{Name, Role},
    token::Token,
    tokens::LIFETIME,
};
use mio::{Events, Poll, Token as Seat, Waker};
use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// Ends and clears up when dropped.
pub struct Master {
    pub address: SocketAddr,
    pub authority: Arc<Authority>,
    pub path: PathBuf,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// What a member says to get a new certificate; everything else comes back as it is.
pub const RENEW: &[u8] = b"renew";

/// How data hellos begin here.
pub const DATA: DataHello = DataHello {
    first_byte: b'D',
    len: 16,
};

impl Master {
    pub fn start() -> Master {
        Master::start_for(&[Role::Node, Role::User])
    }

    pub fn start_for(roles: &'static [Role]) -> Master {
        Master::start_with(roles, |dir| Authority::open(dir, now()).unwrap())
    }

    pub fn start_insecure() -> Master {
        let any = "127.0.0.1:0".parse().unwrap();
        Master::start_with(&[Role::Node, Role::User], |dir| {
            insecure::authority(dir, &[any], now()).unwrap()
        })
    }

    fn start_with(roles: &'static [Role], open: impl FnOnce(&StateDir) -> Authority) -> Master {
        let path = std::env::temp_dir().join(format!("fabric-test-{:032x}", random()));
        let dir = StateDir::open(&path).unwrap();
        let authority = Arc::new(open(&dir));
        let own = authority
            .identity(Role::Master, &name("master"), "", now())
            .unwrap();
        let tls = Acceptor::new(&own, roles, authority.revocations(), true).unwrap();
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Seat(0)).unwrap());
        let any = "127.0.0.1:0".parse().unwrap();
        let door = Door::open(any, poll.registry(), 1, Some(tls), Some(DATA)).unwrap();
        let address = door.address().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let state = Loop {
            poll,
            door,
            authority: authority.clone(),
            sessions: HashMap::new(),
            next_seat: 100_000,
        };
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || state.run(&stop)
        });
        Master {
            address,
            authority,
            path,
            stop,
            waker,
            thread: Some(thread),
        }
    }

    pub fn token(&self, role: Role, is_once: bool) -> Token {
        let address = self.address.to_string();
        self.authority
            .new_token(role, &address, LIFETIME, is_once, now())
            .unwrap()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake().unwrap();
        let ended = self.thread.take().unwrap().join();
        let _ = std::fs::remove_dir_all(&self.path);
        if !std::thread::panicking() {
            ended.expect("the master's loop panicked");
        }
    }
}

struct Loop {
    poll: Poll,
    door: Door,
    authority: Arc<Authority>,
    sessions: HashMap<usize, Session>,
    next_seat: usize,
}

impl Loop {
    fn run(mut self, stop: &AtomicBool) {
        let mut events = Events::with_capacity(256);
        while !stop.load(Ordering::SeqCst) {
            let wait = self
                .door
                .deadline()
                .map(|at| at.saturating_duration_since(Instant::now()));
            self.poll.poll(&mut events, wait).unwrap();
            for event in &events {
                match self.sessions.contains_key(&event.token().0) {
                    true => self.serve(event.token().0),
                    false => self.door.handle_ready(event.token(), Instant::now()),
                }
            }
            self.door.handle_timeout(Instant::now());
            while let Some(arrival) = self.door.poll_arrival() {
                self.welcome(arrival);
            }
        }
    }

    fn welcome(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Member(mut session) => {
                let seat = self.next_seat;
                self.next_seat += 1;
                session.register(self.poll.registry(), Seat(seat)).unwrap();
                self.sessions.insert(seat, *session);
                self.serve(seat);
            }
            Arrival::Stranger(mut session, message) => {
                if answer(&mut session, &message, &self.authority, now()).is_ok() {
                    let _ = session.flush();
                }
            }
            Arrival::Data(stream, hello) => {
                use std::io::Write;
                (&stream).write_all(&hello).unwrap();
            }
        }
    }

    fn serve(&mut self, seat: usize) {
        let session = self.sessions.get_mut(&seat).unwrap();
        if echo(session, &self.authority).is_err() {
            self.sessions.remove(&seat);
        }
    }
}

fn echo(session: &mut Session, authority: &Authority) -> Result<(), Box<dyn std::error::Error>> {
    session.handle_ready()?;
    while !session.is_full() {
        let Some(mut message) = session.poll_message()? else {
            break;
        };
        if message == RENEW {
            let peer = session.peer().ok_or("members only")?;
            message = authority.renew(peer, now())?.to_bytes();
        }
        session.send(message)?;
    }
    Ok(session.flush()?)
}

pub fn now() -> SystemTime {
    SystemTime::now()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Joins with a new token.
pub fn member(master: &Master, role: Role, wished: &str) -> Identity {
    join(&master.token(role, false), &name(wished), TIMEOUT).unwrap()
}

pub fn dial(master: &Master, identity: &Identity) -> Result<Client, ClientError> {
    let connector = Connector::member(identity).unwrap();
    Client::connect(&master.address.to_string(), &connector, patience())
}

/// A session with the next who dials there, and a poll that tells when it can go on.
pub fn accept(listener: &TcpListener, acceptor: &Acceptor) -> (Session, Poll) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = mio::net::TcpStream::from_std(stream);
    let mut session = acceptor.accept(stream, Instant::now()).unwrap();
    let poll = Poll::new().unwrap();
    session.register(poll.registry(), mio::Token(0)).unwrap();
    (session, poll)
}

/// Asserts that somebody can still join, and be heard, at once.
pub fn assert_alive(master: &Master) {
    let identity = member(master, Role::Node, "alive");
    let mut client = dial(master, &identity).unwrap();
    client.send(b"are you there".to_vec(), patience()).unwrap();
    assert_eq!(client.recv(patience()).unwrap(), b"are you there");
}

/// How long to wait for an answer that comes at once.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Long enough for a machine that does much else; nothing waits so long where all is well.
pub fn patience() -> Instant {
    Instant::now() + TIMEOUT
}

pub fn random() -> u128 {
    deploy_sys::random::bits().unwrap()
}
