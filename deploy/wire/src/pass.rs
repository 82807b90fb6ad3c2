//! What lets one node take a program from another: a secret for that program and that node, and what the connection is for.
//!
//! Deliberately absent: who may have it, which the master knows and tells; the connection, which begins with the nodes'
//! hello (`hello.rs`), goes on with the handshake of two processes (`handshake.rs`) and then carries records.
//!
//! A node tells the master a secret of its own. Whoever is told by the master to take a program there gets what is drawn
//! from it for that program: so the node believes it without having heard of it, and of other programs it learns nothing.

use crate::{
    client::Digest,
    hello::Route,
    pid::{Job, Pid},
    secret::Secret,
};

/// What is drawn of a node's own secret for who may have this program of it.
pub fn of(node: &Secret, digest: &Digest) -> Secret {
    node.draw("deploy pass 1", &[digest])
}

/// What such a connection says in its hello that it is for. In a job's place stands the beginning of the program's name, which
/// is as hard to meet as the number of a job; the first is who takes, the second who gives.
pub fn route(digest: &Digest) -> Route {
    let (beginning, _) = digest.split_first_chunk().expect("a digest is longer");
    let job = Job::from_bits(u128::from_le_bytes(*beginning));
    Route {
        from: Pid::new(job, 0),
        to: Pid::new(job, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_of_each_node_has_a_pass_of_its_own() {
        let [one, other] = [1, 2].map(|byte| Secret::from_bytes([byte; 32]));
        assert_eq!(of(&one, &[7; 32]), of(&one, &[7; 32]));
        assert_ne!(of(&one, &[7; 32]), of(&one, &[8; 32]));
        assert_ne!(of(&one, &[7; 32]), of(&other, &[7; 32]));
        assert_ne!(route(&[7; 32]), route(&[8; 32]));
    }
}
