//! Why a process was not started.
//!
//! Deliberately absent: the errors of channels (`error.rs`).

use deploy_wire::{
    refusal::{NodeResources, Refusal},
    resources::Resources,
};
use std::fmt;

/// Why a process was not started. Its text says what was asked, and what each node has.
///
/// ```no_run
/// # use deploy::*;
/// # fn worker(_parent: Pid, (): ()) {}
/// # init(Resources::default());
/// match spawn(worker, (), Resources { mem: 20 * Mem::GIB, ..Resources::default() }) {
///     Ok(pid) => println!("{pid} has it"),
///     Err(SpawnError::OutOfResources { .. }) => println!("later, or with Builder::wait"),
///     Err(error) => panic!("{error}"),
/// }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// It does not fit now.
    OutOfResources {
        /// What was asked.
        asked: Resources,
        /// What each node has free, by its name, the largest first.
        free: Vec<(String, Resources)>,
        /// How many other nodes there are: a large cluster is not listed whole.
        others: u32,
    },
    /// No node could ever hold it.
    NeverFits {
        /// What was asked.
        asked: Resources,
        /// What each node has in all, by its name, the largest first.
        nodes: Vec<(String, Resources)>,
        /// How many other nodes there are.
        others: u32,
    },
    /// The function lies in a shared library, where no other process can find it.
    NotInProgram,
    /// The argument could not be encoded; the text is the codec's.
    Codec(String),
    /// The machine could not start it, and why.
    Launch(String),
}

impl std::error::Error for SpawnError {}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unnamed = |nodes: &[(String, Resources)]| {
            let node = |(name, resources): &(String, Resources)| NodeResources {
                name: name.clone(),
                resources: *resources,
            };
            nodes.iter().map(node).collect()
        };
        let refusal = match self {
            SpawnError::OutOfResources {
                asked,
                free,
                others,
            } => Refusal::OutOfResources {
                asked: *asked,
                nodes: unnamed(free),
                others: *others,
            },
            SpawnError::NeverFits {
                asked,
                nodes,
                others,
            } => Refusal::NeverFits {
                asked: *asked,
                nodes: unnamed(nodes),
                others: *others,
            },
            SpawnError::Launch(why) => Refusal::Launch { why: why.clone() },
            SpawnError::NotInProgram => {
                return f.write_str(
                    "the function lies in a shared library: spawn functions of the program itself, linked statically",
                );
            }
            SpawnError::Codec(why) => {
                return write!(f, "the argument could not be encoded: {why}");
            }
        };
        write!(f, "{refusal}")
    }
}

impl From<Refusal> for SpawnError {
    fn from(refusal: Refusal) -> SpawnError {
        let named = |nodes: Vec<NodeResources>| {
            nodes
                .into_iter()
                .map(|node| (node.name, node.resources))
                .collect()
        };
        match refusal {
            Refusal::OutOfResources {
                asked,
                nodes,
                others,
            } => SpawnError::OutOfResources {
                asked,
                free: named(nodes),
                others,
            },
            Refusal::NeverFits {
                asked,
                nodes,
                others,
            } => SpawnError::NeverFits {
                asked,
                nodes: named(nodes),
                others,
            },
            Refusal::Launch { why } => SpawnError::Launch(why),
        }
    }
}
