//! Who may say what to the master: the one list, by the role in a certificate.
//!
//! A new kind of message does not compile before it stands here. Deliberately absent: whose jobs somebody may touch, which
//! the cluster decides; and strangers, who get no further than [`deploy_trust::join`].

use deploy_trust::subject::Role;
use deploy_wire::{client::Ask, node::Report};

/// The roles that are let in where nodes arrive.
pub const AT_THE_NODES_DOOR: &[Role] = &[Role::Node];

/// The roles that are let in where people's clients arrive.
pub const AT_THE_BRIDGE: &[Role] = &[Role::User, Role::Administrator];

/// Whether somebody of this role may ask this.
pub fn may_ask(role: Role, ask: &Ask) -> bool {
    let allowed: &[Role] = match ask {
        Ask::Hello { .. }
        | Ask::Image { .. }
        | Ask::Chunk { .. }
        | Ask::Run(_)
        | Ask::Input { .. }
        | Ask::Signal { .. }
        | Ask::Credit { .. }
        | Ask::Nodes
        | Ask::Jobs
        | Ask::Attach { .. }
        | Ask::Logs { .. }
        | Ask::Why { .. }
        | Ask::Unread { .. }
        | Ask::Beat
        | Ask::Stopped
        | Ask::Past
        | Ask::Kill { .. }
        | Ask::Report { .. }
        | Ask::Renew => AT_THE_BRIDGE,
        Ask::Drain { .. } => &[Role::Administrator],
    };
    allowed.contains(&role)
}

/// Whether somebody of this role may report this.
pub fn may_report(role: Role, report: &Report) -> bool {
    let allowed: &[Role] = match report {
        Report::Hello(_)
        | Report::Beat { .. }
        | Report::Job { .. }
        | Report::Taken { .. }
        | Report::Fetch { .. }
        | Report::Holds { .. }
        | Report::Leave
        | Report::Renew => AT_THE_NODES_DOOR,
    };
    allowed.contains(&role)
}
