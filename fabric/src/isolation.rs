//! What keeps the jobs of a node apart from each other and from the daemon, on this machine.

use nix::unistd::geteuid;

/// In words, for people who decide whom they let in.
pub fn describe() -> String {
    match geteuid().is_root() {
        true => "own user and control group for each job".to_string(),
        false => "trusts its users: jobs run as the daemon's own user".to_string(),
    }
}
