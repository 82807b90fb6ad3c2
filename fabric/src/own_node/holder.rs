//! The master's end of the leash: it finds the node of the master before it, or starts one, and starts another when that is
//! killed.
//!
//! Deliberately absent: the poll.

use super::{Reply, SECRET, SOCKET, Terms, WORD, Word, secret};
use deploy_sys::{packet, random, tell};
use deploy_trust::state::{StateDir, StateError};
use deploy_wire::bytes::Malformed;
use mio::{Interest, Registry, Token, unix::SourceFd};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The node beside a master, as that one has it.
#[derive(Debug)]
pub struct OwnNode {
    dir: StateDir,
    state: PathBuf,
    terms: Vec<u8>,
    leash: OwnedFd,
    /// None, where an earlier master has started it.
    child: Option<Child>,
    /// When to start another.
    begin_at: Option<Instant>,
    /// Connections for data that the leash has no room for yet, each behind its word.
    waiting: VecDeque<(Vec<u8>, OwnedFd)>,
}

/// What became of the node.
#[derive(PartialEq, Eq, Debug)]
pub enum Said {
    /// It ends by itself, for this reason.
    Over(String),
    /// Nothing is left of it.
    Ended,
}

/// Why the node on the head cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum OwnNodeError {
    /// It says so itself.
    #[error("the node on this machine cannot serve: {0}")]
    Refused(String),
    /// It has ended without a word.
    #[error("the node on this machine was killed before it could serve: start the master again")]
    Killed,
    /// The one before it does not answer.
    #[error(
        "the node that an earlier master has left on this machine does not answer: kill the process `fabric {WORD}`, \
         and start the master again"
    )]
    Silent,
    /// What it would need to know cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// It says what makes no sense.
    #[error("the node on this machine says what makes no sense: {0}")]
    Nonsense(#[from] Malformed),
    /// The kernel says no.
    #[error("the node on this machine cannot be started: {0}")]
    Kernel(#[from] io::Error),
}

impl OwnNode {
    /// The node that serves on these terms, with its state in this directory: one that is there already, or a new one. Also
    /// returns what keeps its jobs apart. Blocks until it answers, for some seconds at most.
    ///
    /// # Errors
    /// If there is none in the end.
    pub fn find_or_begin(
        dir: StateDir,
        state: &Path,
        terms: &Terms,
    ) -> Result<(OwnNode, String), OwnNodeError> {
        let terms = terms.encode();
        match call(&dir)? {
            None => drop(dir.claim_soon()?), // Nobody's, or that of a node without a master.
            Some(leash) => match greet(&dir, &leash, &terms).and_then(|()| answer(&leash)) {
                Ok(Reply::Here(isolation)) => {
                    tell!("going on with the node of the master before this one");
                    let node = OwnNode {
                        dir,
                        state: state.to_owned(),
                        terms,
                        leash,
                        child: None,
                        begin_at: None,
                        waiting: VecDeque::new(),
                    };
                    return Ok((node, isolation));
                }
                Ok(_) => {
                    tell!(
                        "the node of the master before this one served at another address, for another cluster or by \
                         another release: what ran there ends"
                    );
                    drop(answer(&leash)); // Until it has ended.
                }
                Err(OwnNodeError::Silent) => return Err(OwnNodeError::Silent),
                Err(_) => {} // It has ended just now.
            },
        }
        let (leash, child) = begin(&dir, state, &terms)?;
        let isolation = match answer(&leash)? {
            Reply::Here(isolation) => isolation,
            Reply::Over(why) => return Err(OwnNodeError::Refused(why)),
            Reply::Other => return Err(OwnNodeError::Killed),
        };
        let node = OwnNode {
            dir,
            state: state.to_owned(),
            terms,
            leash,
            child: Some(child),
            begin_at: None,
            waiting: VecDeque::new(),
        };
        Ok((node, isolation))
    }

    /// Has a poll tell of it with this token.
    ///
    /// # Errors
    /// If the kernel does not let it.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let raw = self.leash.as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, WATCHED)
    }

    /// What has become of it, if anything has.
    pub fn hear(&mut self) -> Option<Said> {
        if self.begin_at.is_some() {
            return None; // That was told.
        }
        let mut packet = Vec::new();
        loop {
            match packet::try_receive(self.leash.as_fd(), &mut packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Ok(Some(_)) => match Reply::decode(&packet) {
                    Ok(Reply::Over(why)) => return Some(Said::Over(why)),
                    Ok(Reply::Here(_)) => {}
                    Ok(Reply::Other) | Err(_) => return Some(self.handle_ended()),
                },
                Ok(None) | Err(_) => return Some(self.handle_ended()),
            }
        }
    }

    fn handle_ended(&mut self) -> Said {
        if let Some(mut child) = self.child.take() {
            // What its end closes last is the leash; where that said nonsense it must not go on either.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.begin_at = Some(Instant::now() + PAUSE);
        self.waiting.clear(); // They were for processes that have ended with it.
        Said::Ended
    }

    /// When to [start another](OwnNode::begin_again).
    pub fn deadline(&self) -> Option<Instant> {
        self.begin_at
    }

    /// Starts another, if it is time to. It says what became of it as the one before did.
    ///
    /// # Errors
    /// If the system does not let it; it is tried again after a moment.
    pub fn begin_again(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
    ) -> Result<(), OwnNodeError> {
        if self.begin_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.begin_at = Some(now + PAUSE);
        let (leash, child) = begin(&self.dir, &self.state, &self.terms)?;
        let raw = leash.as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, WATCHED)?;
        (self.leash, self.child, self.begin_at) = (leash, Some(child), None);
        Ok(())
    }

    /// Hands over a connection for data, with what its dialer said first. Who dialed sees it closed where too many wait: it does
    /// not try again, and the job has its connections between the two machines dialed from here, or relayed.
    pub fn pass(&mut self, hello: Vec<u8>, stream: OwnedFd) {
        if self.waiting.len() < WAITING_MAX {
            let word = Word::Connection(hello).encode();
            self.waiting.push_back((word, stream));
        }
        self.pass_on();
    }

    /// Hands over what waits, as far as there is room.
    pub fn pass_on(&mut self) {
        while let Some((word, stream)) = self.waiting.front() {
            let sent = packet::try_send(self.leash.as_fd(), word, &[stream.as_fd()]);
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Has it kill its jobs and end. False if there is none.
    pub fn stop(&self) -> bool {
        let sent = packet::try_send(self.leash.as_fd(), &Word::Stop.encode(), &[]);
        self.begin_at.is_none() && sent.is_ok()
    }
}

/// The leash of the node that is there, if one is.
fn call(dir: &StateDir) -> io::Result<Option<OwnedFd>> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let directory = File::open(dir.path())?;
    match packet::connect(directory.as_fd(), SOCKET, PATIENCE) {
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(None),
        leash => leash.map(Some),
    }
}

/// Says who holds the leash, and where the node's words go.
fn greet(dir: &StateDir, leash: &OwnedFd, terms: &[u8]) -> Result<(), OwnNodeError> {
    let hello = Word::Hello {
        secret: secret(dir)?.unwrap_or_default(),
        terms: terms.to_vec(),
    };
    let words = io::stderr();
    Ok(packet::send(
        leash.as_fd(),
        &hello.encode(),
        &[words.as_fd()],
    )?)
}

fn answer(leash: &OwnedFd) -> Result<Reply, OwnNodeError> {
    let mut packet = Vec::new();
    match packet::receive(leash.as_fd(), &mut packet) {
        Ok(Some(_)) => Ok(Reply::decode(&packet)?),
        Ok(None) => Err(OwnNodeError::Killed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OwnNodeError::Silent),
        Err(error) => Err(error.into()),
    }
}

/// Starts one, whose first words are on their way.
fn begin(dir: &StateDir, state: &Path, terms: &[u8]) -> Result<(OwnedFd, Child), OwnNodeError> {
    dir.replace(SECRET, &random::bytes::<32>()?, &dir.lock()?)?;
    match fs::remove_file(dir.path().join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let directory = File::open(dir.path())?;
    let listener = packet::listen(directory.as_fd(), SOCKET)?;
    let leash = packet::connect(directory.as_fd(), SOCKET, PATIENCE)?;
    greet(dir, &leash, terms)?;
    let child = Command::new("/proc/self/exe")
        .arg0("fabric")
        .args([WORD, "--state"])
        .arg(state)
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((leash, child))
}

/// Its words, and room for ours.
const WATCHED: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// Beside some hundreds that the kernel keeps: a job of a thousand processes begins at once, and each connection has a descriptor
/// here.
const WAITING_MAX: usize = 1024;
/// A machine that is overloaded takes seconds to clear away what a killed node has left.
const PATIENCE: Duration = Duration::from_secs(20);
/// One that is killed again and again does not keep the machine busy.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_the_leash_has_no_room_for_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, its) = packet::pair().unwrap();
        let mut node = OwnNode {
            dir: StateDir::open(&dir.path().join("node")).unwrap(),
            state: dir.path().to_owned(),
            terms: Vec::new(),
            leash: ours,
            child: None,
            begin_at: None,
            waiting: VecDeque::new(),
        };
        let stream = || OwnedFd::from(File::open("/dev/null").unwrap());
        let mut passed = 0u32;
        while node.waiting.len() < 10 {
            node.pass(passed.to_be_bytes().to_vec(), stream());
            passed += 1;
        }
        let mut packet = Vec::new();
        for number in 0..passed {
            let beside = packet::try_receive(its.as_fd(), &mut packet).unwrap();
            assert_eq!(beside.unwrap().into_iter().count(), 1);
            let word = Word::Connection(number.to_be_bytes().to_vec());
            assert_eq!(Word::decode(&packet).unwrap(), word);
            node.pass_on();
        }
        assert!(node.waiting.is_empty());
    }
}
