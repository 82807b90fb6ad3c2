//! Why a process was not started.
//!
//! Deliberately absent: its bytes (`control.rs`).

use crate::resources::Resources;
use std::fmt;

/// Why a process was not started.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// It does not fit now.
    OutOfResources {
        /// What was asked.
        asked: Resources,
        /// What each node has free, the largest first.
        nodes: Vec<NodeResources>,
        /// How many other nodes there are.
        others: u32,
    },
    /// No node could ever hold it.
    NeverFits {
        /// What was asked.
        asked: Resources,
        /// What each node has in all, the largest first.
        nodes: Vec<NodeResources>,
        /// How many other nodes there are.
        others: u32,
    },
    /// The machine could not start it; the reason completes "could not start the process: ..".
    Launch {
        /// Why.
        why: String,
    },
}

/// As a person reads it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, others) = match self {
            Refusal::OutOfResources {
                asked,
                nodes,
                others,
            } => {
                write!(f, "out of resources: asked for {asked}; free are ")?;
                (nodes, others)
            }
            Refusal::NeverFits {
                asked,
                nodes,
                others,
            } => {
                write!(f, "no node can ever hold it: asked for {asked}; there are ")?;
                (nodes, others)
            }
            Refusal::Launch { why } => return write!(f, "could not start the process: {why}"),
        };
        if nodes.is_empty() {
            return f.write_str("no such nodes");
        }
        for (index, NodeResources { name, resources }) in nodes.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{resources} on {name}")?;
        }
        match others {
            0 => Ok(()),
            1 => f.write_str(" (1 other node is not named)"),
            _ => write!(f, " ({others} other nodes are not named)"),
        }
    }
}

/// What one node has.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeResources {
    /// Its name.
    pub name: String,
    /// How much.
    pub resources: Resources,
}
