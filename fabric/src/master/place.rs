//! Where a machine is that processes can be on.
//!
//! Deliberately absent: what it has, which the scheduler knows.

use crate::scheduler::NodeId;
use std::net::SocketAddr;

/// Where a machine is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which it is.
    pub node: NodeId,
    /// What it is called.
    pub name: String,
    /// Its data port; none, where nobody can dial it and it dials nobody.
    pub address: Option<SocketAddr>,
}

impl Place {
    /// The machine of the person whose job it is.
    pub fn here() -> Place {
        Place {
            node: NodeId::HERE,
            name: HERE.to_string(),
            address: None,
        }
    }
}

/// What people call their own machine where it takes part in a job.
const HERE: &str = "here";
