//! The node on the head: a process of its own beside the master, so that what runs there outlives a master that is killed.
//!
//! Deliberately absent: what nodes and masters say to each other, which is the same here as from any other machine; and the
//! node itself.
//!
//! # The story
//! 1. The master listens at a socket in the node's state directory, starts the node with that as standard input, and
//!    connects to it: this is the node's *leash*. By it the node learns on what terms it serves and where its words go, and
//!    is handed the connections for data that arrive at the master's door, since the machine opens no second port.
//! 2. A master that is stopped has its node stop first. One that finds it dead starts another.
//! 3. When the master is killed the leash ends. The node lets go of the master's terminal and goes on, as every node does
//!    while its master is away; and if nobody has taken the leash up within its lease, it ends.
//! 4. The next master finds the socket, and takes the leash up: what it says otherwise of room and labels counts from then on.
//!    A node that served at another address, for another cluster, or is of another release, kills its jobs and makes room for
//!    a new one.
//!
//! # Who may hold it
//! Processes of jobs may run as the same user, and only files are kept from them. So who takes the leash says the secret
//! that lies beside the socket.

mod held;
mod holder;

use deploy_trust::state::{StateDir, StateError};
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    resources::{Cpu, Mem},
};
pub use held::{Leash, TOKENS, serve};
pub use holder::{OwnNode, OwnNodeError, Said};
use std::net::SocketAddr;

/// The word on the command line that makes this program such a node.
pub const WORD: &str = "head-node";

/// What such a node is told to be.
#[derive(Clone, PartialEq, Debug)]
pub struct Terms {
    /// The cluster's name: another authority may be there under the same address.
    pub cluster: String,
    /// Where the master is, and the node by way of it.
    pub address: SocketAddr,
    /// What it gives, if that was said.
    pub capacity: Option<(Mem, Cpu)>,
    /// What it goes by.
    pub labels: Vec<String>,
}

/// What the master says.
#[derive(PartialEq, Debug)]
pub enum Word {
    /// The first: who holds the leash. Beside it, where the node's words go.
    Hello {
        /// What lies beside the socket.
        secret: Vec<u8>,
        /// The [`Terms`], of whichever release.
        terms: Vec<u8>,
    },
    /// A connection for data, which lies beside it, and what its dialer said first.
    Connection(Vec<u8>),
    /// Kill your jobs, and end.
    Stop,
}

/// What the node says.
#[derive(PartialEq, Debug)]
pub enum Reply {
    /// It serves, and this keeps its jobs apart.
    Here(String),
    /// It has served on terms that cannot change, and ends.
    Other,
    /// It ends, for this reason.
    Over(String),
}

impl Terms {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.text(env!("CARGO_PKG_VERSION")).text(&self.cluster);
        w.text(&self.address.to_string());
        w.option(self.capacity, |w, (mem, cpu)| {
            w.u64(mem.bytes()).u64(cpu.millionths());
        });
        w.u32(self.labels.len() as u32);
        for label in &self.labels {
            w.text(label);
        }
        w.finish()
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Terms, Malformed> {
        let r = &mut Reader::new(bytes);
        if r.text()? != env!("CARGO_PKG_VERSION") {
            return Err(Malformed("a master of another release wrote it"));
        }
        Ok(Terms {
            cluster: r.text()?.to_string(),
            address: r
                .text()?
                .parse()
                .map_err(|_| Malformed("an address is not one"))?,
            capacity: r.option(|r| Ok((Mem::B * r.u64()?, Cpu::from_millionths(r.u64()?))))?,
            labels: (0..r.u32()?)
                .map(|_| Ok(r.text()?.to_string()))
                .collect::<Result<_, Malformed>>()?,
        })
    }
}

impl Word {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Word::Hello { secret, terms } => w.u8(1).bytes(secret).bytes(terms),
            Word::Connection(hello) => w.u8(2).bytes(hello),
            Word::Stop => w.u8(3),
        };
        w.finish()
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Word, Malformed> {
        let r = &mut Reader::new(bytes);
        Ok(match r.u8()? {
            1 => Word::Hello {
                secret: r.bytes()?.to_vec(),
                terms: r.bytes()?.to_vec(),
            },
            2 => Word::Connection(r.bytes()?.to_vec()),
            3 => Word::Stop,
            _ => return Err(Malformed("an unknown word of the master's")),
        })
    }
}

impl Reply {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Reply::Here(isolation) => w.u8(1).text(isolation),
            Reply::Other => w.u8(2),
            Reply::Over(why) => w.u8(3).text(why),
        };
        w.finish()
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Reply, Malformed> {
        let r = &mut Reader::new(bytes);
        Ok(match r.u8()? {
            1 => Reply::Here(r.text()?.to_string()),
            2 => Reply::Other,
            3 => Reply::Over(r.text()?.to_string()),
            _ => return Err(Malformed("an unknown word of the node's")),
        })
    }
}

/// What whoever takes the leash must know.
fn secret(dir: &StateDir) -> Result<Option<Vec<u8>>, StateError> {
    dir.read(SECRET)
}

/// In the node's state directory: the socket, and the secret.
const SOCKET: &str = "leash";
const SECRET: &str = "leash.secret";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let terms = Terms {
            cluster: "of tests".to_string(),
            address: "[::1]:9999".parse().unwrap(),
            capacity: Some((3 * Mem::GIB, Cpu::CORE / 2)),
            labels: vec!["a=b".to_string()],
        };
        assert_eq!(Terms::decode(&terms.encode()).unwrap(), terms);
        let hello = Word::Hello {
            secret: vec![7; 32],
            terms: terms.encode(),
        };
        for word in [hello, Word::Connection(vec![1, 2]), Word::Stop] {
            assert_eq!(Word::decode(&word.encode()).unwrap(), word);
        }
        let over = Reply::Over("why".to_string());
        for reply in [Reply::Here("users".to_string()), Reply::Other, over] {
            assert_eq!(Reply::decode(&reply.encode()).unwrap(), reply);
        }
    }
}
