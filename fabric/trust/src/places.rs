//! Where members keep their state if nobody says otherwise.
//!
//! Nothing is made or read here.

use std::{env, path::PathBuf};

/// For daemons: `/var/lib/fabric` for root, else `$XDG_STATE_HOME/fabric` or `~/.local/state/fabric`.
///
/// Nothing if the user has no home directory.
pub fn daemon() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/fabric"));
    }
    Some(base("XDG_STATE_HOME", ".local/state")?.join("fabric"))
}

/// For users: `$XDG_CONFIG_HOME/deploy/clusters/TARGET` or the same under `~/.config`, a directory for each cluster.
///
/// Nothing if the user has no home directory, or the target could not be an address or a name.
pub fn user(target: &str) -> Option<PathBuf> {
    Some(users()?.join(file_name(target)?))
}

/// Where the directories of all a user's clusters are.
pub fn users() -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", ".config")?.join("deploy/clusters"))
}

fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification says that relative paths are to be ignored.
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = env::var_os(variable).map(PathBuf::from).filter(absolute);
    let home = || {
        env::var_os("HOME")
            .map(PathBuf::from)
            .filter(absolute)
            .map(|home| home.join(below_home))
    };
    named.or_else(home)
}

/// Addresses and names are file names as they are, but for what could leave the directory.
fn file_name(target: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@:[]%".contains(c);
    let is_fine = (1..=200).contains(&target.len())
        && !target.starts_with('.')
        && target.chars().all(is_plain);
    is_fine.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_leaves_the_directory() {
        for target in ["10.0.0.1:8888", "[fd00::1]:8888", "lab", "head.example:1"] {
            assert_eq!(file_name(target), Some(target));
        }
        for target in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "a\0b"] {
            assert_eq!(file_name(target), None, "{target}");
        }
    }
}
