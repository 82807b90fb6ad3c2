//! The node's end of the leash, and the process that has it.
//!
//! Deliberately absent: what the node does for its master.

use super::{Reply, Terms, Word};
use crate::{
    capacity, head,
    images::{ImageError, Images, KEPT_BYTES_MAX},
    node::{self, Data, Estate, LEASE, Node, Tenants},
};
use deploy_sys::{fd, packet, process, tell};
use deploy_trust::{
    identity::Identity,
    session::SessionError,
    state::{Lock, StateDir, StateError},
    subject::Role,
};
use mio::{Interest, Poll, Registry, Token, unix::SourceFd};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// The leash as its node has it.
#[derive(Debug)]
pub struct Leash {
    listener: OwnedFd,
    secret: Vec<u8>,
    terms: Vec<u8>,
    isolation: String,
    voice: Voice,
    holder: Option<OwnedFd>,
    /// Somebody who has not said who it is.
    caller: Option<OwnedFd>,
    /// When the node ends, if nobody takes it up.
    alone_until: Option<Instant>,
    is_over: bool,
    /// What a later master has said otherwise.
    changed: Option<Terms>,
    connections: VecDeque<(OwnedFd, Vec<u8>)>,
    _claim: Lock,
}

/// Why the node on the head cannot serve.
#[derive(Debug, thiserror::Error)]
enum HeldError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error("this machine is no node of the cluster any more: start its master again")]
    Nobody,
    #[error(transparent)]
    Kernel(#[from] io::Error),
}

/// Serves as the node beside the master that has started this process, with the leash's socket as standard input.
///
/// # Errors
/// If it cannot begin, which the master is told too, or the kernel fails it.
pub fn serve(state: &Path) -> io::Result<()> {
    process::set_name(c"fabric")?;
    // Fails where it has one of its own already, and then it needs no other.
    let _ = process::begin_session();
    let listener = fd::raise(io::stdin().as_fd().try_clone_to_owned()?)?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    let holder = packet::accept(listener.as_fd())?;
    let Some((Word::Hello { secret, terms }, words)) = hear(&holder, packet::receive)? else {
        return Ok(()); // Its master has ended.
    };
    let voice = Voice::begin()?;
    voice.go_to(words);
    let begun = begin(
        state,
        (listener, holder.try_clone()?),
        (secret, terms),
        voice,
    );
    match begun {
        Ok(node) => node.run(),
        Err(why) => {
            let over = Reply::Over(why.to_string()).encode();
            packet::send(holder.as_fd(), &over, &[])
        }
    }
}

fn begin(
    state: &Path,
    (listener, holder): (OwnedFd, OwnedFd),
    (secret, terms): (Vec<u8>, Vec<u8>),
    voice: Voice,
) -> Result<Node, HeldError> {
    let dir = StateDir::open(&head::place(state, Role::Node))?;
    let claim = dir.claim_soon()?; // The node before this one may be about to end.
    let understood = Terms::decode(&terms).map_err(|why| io::Error::other(why.0))?;
    let config = node::Config {
        identity: Identity::load(&dir)?.ok_or(HeldError::Nobody)?,
        identity_dir: dir,
        master: understood.address,
        address: understood.address,
        capacity: capacity::given(understood.capacity),
        labels: understood.labels,
    };
    // The master is in the group that jobs are to have theirs in.
    let estate = Estate::open(&state.join("jobs"), &[process::parent()])?;
    let poll = Poll::new()?;
    let mut leash = Leash {
        listener,
        secret,
        terms,
        isolation: estate.isolation(),
        voice,
        holder: None,
        caller: None,
        alone_until: None,
        is_over: false,
        changed: None,
        connections: VecDeque::new(),
        _claim: claim,
    };
    leash.register(poll.registry())?;
    leash.take_up(holder, poll.registry())?;
    let images = Images::open(&state.join("node/images"), KEPT_BYTES_MAX)?;
    let tenants = Tenants::new(images, estate)?;
    Ok(Node::new(
        config,
        tenants,
        poll,
        Data::Leash(Box::new(leash)),
    )?)
}

impl Leash {
    fn register(&self, registry: &Registry) -> io::Result<()> {
        let raw = self.listener.as_raw_fd();
        registry.register(&mut SourceFd(&raw), LISTENER, Interest::READABLE)
    }

    /// Somebody holds it now, and is told so.
    fn take_up(&mut self, holder: OwnedFd, registry: &Registry) -> io::Result<()> {
        let raw = holder.as_raw_fd();
        registry.register(&mut SourceFd(&raw), HOLDER, Interest::READABLE)?;
        let here = Reply::Here(self.isolation.clone()).encode();
        packet::try_send(holder.as_fd(), &here, &[])?;
        self.holder = Some(holder);
        self.alone_until = None;
        Ok(())
    }

    /// Takes in what has come by one of its [tokens](TOKENS).
    pub fn handle_ready(&mut self, token: Token, registry: &Registry, now: Instant) {
        match token {
            LISTENER => {
                while let Ok(caller) = packet::accept(self.listener.as_fd()) {
                    let raw = caller.as_raw_fd();
                    let mut source = SourceFd(&raw);
                    // Who has called before and said nothing is gone.
                    if registry
                        .register(&mut source, CALLER, Interest::READABLE)
                        .is_ok()
                    {
                        self.caller = Some(caller);
                    }
                }
            }
            CALLER => self.hear_caller(registry),
            _ => self.hear_holder(now),
        }
    }

    fn hear_caller(&mut self, registry: &Registry) {
        let Some(caller) = self.caller.take() else {
            return;
        };
        let (secret, terms, words) = match hear(&caller, packet::try_receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return self.caller = Some(caller);
            }
            Ok(Some((Word::Hello { secret, terms }, words))) => (secret, terms, words),
            _ => return,
        };
        if secret != self.secret || self.holder.is_some() {
            return;
        }
        if !self.agree(terms) {
            self.is_over = true;
            // It sees the end of this process.
            let _ = packet::try_send(caller.as_fd(), &Reply::Other.encode(), &[]);
            self.holder = Some(caller);
            return;
        }
        self.voice.go_to(words);
        let raw = caller.as_raw_fd();
        let registered = registry.deregister(&mut SourceFd(&raw));
        if let Err(error) = registered.and_then(|()| self.take_up(caller, registry)) {
            tell!("the master cannot take up its node: {error}");
        }
    }

    /// On other terms the node goes on, but not as one of another cluster or at another address; nor for another release.
    fn agree(&mut self, terms: Vec<u8>) -> bool {
        let [now, before] = [&terms, &self.terms].map(|terms| Terms::decode(terms));
        let (Ok(now), Ok(before)) = (now, before) else {
            return false;
        };
        if (&now.cluster, now.address) != (&before.cluster, before.address) {
            return false;
        }
        if now != before {
            (self.terms, self.changed) = (terms, Some(now));
        }
        true
    }

    /// On what terms the node goes on, if a later master has said otherwise.
    pub fn poll_changed(&mut self) -> Option<Terms> {
        self.changed.take()
    }

    fn hear_holder(&mut self, now: Instant) {
        while let Some(holder) = &self.holder {
            match hear(holder, packet::try_receive) {
                Ok(Some((Word::Connection(hello), Some(stream)))) => {
                    self.connections.push_back((stream, hello));
                }
                Ok(Some((Word::Connection(_), None))) => {} // There was no descriptor for it.
                Ok(Some((Word::Stop, _))) => self.is_over = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(Some((Word::Hello { .. }, _)) | None) | Err(_) => {
                    self.holder = None;
                    self.voice.go_to(None);
                    self.alone_until = Some(now + LEASE);
                }
            }
        }
    }

    /// The next connection for data, and what its dialer said first.
    pub fn poll_connection(&mut self) -> Option<(OwnedFd, Vec<u8>)> {
        self.connections.pop_front()
    }

    /// When to ask again whether it [is over](Leash::is_over).
    pub fn deadline(&self) -> Option<Instant> {
        self.alone_until
    }

    /// Whether the node is to end.
    pub fn is_over(&self, now: Instant) -> bool {
        self.is_over || self.alone_until.is_some_and(|until| until <= now)
    }

    /// Tells whoever holds it why the node ends.
    pub fn say_over(&self, why: &str) {
        if let Some(holder) = &self.holder {
            // Who does not hear it sees the end of this process.
            let _ = packet::try_send(holder.as_fd(), &Reply::Over(why.to_string()).encode(), &[]);
        }
    }
}

type Received = io::Result<Option<packet::Beside>>;

/// The next that is said, and what lies beside it.
fn hear(
    socket: &OwnedFd,
    receive: fn(std::os::fd::BorrowedFd<'_>, &mut Vec<u8>) -> Received,
) -> io::Result<Option<(Word, Option<OwnedFd>)>> {
    let mut packet = Vec::new();
    let Some(beside) = receive(socket.as_fd(), &mut packet)? else {
        return Ok(None);
    };
    let word =
        Word::decode(&packet).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.0))?;
    Ok(Some((word, beside.into_iter().next())))
}

/// Where the words of this process and its wardens go: to its master, while there is one. None of them may hold its master's
/// output open: whoever waits for the end of that would wait for this node.
#[derive(Debug)]
struct Voice(Arc<Mutex<Option<Arc<File>>>>);

impl Voice {
    fn begin() -> io::Result<Voice> {
        let (mut reader, writer) = io::pipe()?;
        nix::unistd::dup2_stderr(writer)?;
        let to = Arc::new(Mutex::new(None::<Arc<File>>));
        let voice = Voice(to.clone());
        let carry = move || {
            let mut words = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut words) {
                let file = to.lock().expect("nobody panics with it").clone();
                // A master that reads no more is nobody's loss.
                let _ = file.map(|file| (&*file).write_all(&words[..len]));
            }
        };
        thread::Builder::new()
            .name("voice".to_string())
            .spawn(carry)?;
        Ok(voice)
    }

    fn go_to(&self, file: Option<OwnedFd>) {
        let file = file.map(|file| Arc::new(File::from(file)));
        *self.0.lock().expect("nobody panics with it") = file;
    }
}

const LISTENER: Token = Token(usize::MAX - 4);
const CALLER: Token = Token(usize::MAX - 5);
const HOLDER: Token = Token(usize::MAX - 6);
/// What is the leash's of the node's tokens.
pub const TOKENS: [Token; 3] = [LISTENER, CALLER, HOLDER];
