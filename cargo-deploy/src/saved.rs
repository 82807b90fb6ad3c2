//! Who a person is in each cluster that they have logged in to, as it is kept in a directory of its own for each.
//!
//! Deliberately absent: which cluster a word means (`clusters.rs`), and logging in.

use crate::failure::Failure;
use deploy_trust::{
    identity::{Certified, Identity},
    places,
    state::StateDir,
};
use std::{fs, path::Path, time::SystemTime};

/// Saves an identity under a name or an address.
pub fn save(identity: &Identity, target: &str) -> Result<(), Failure> {
    let path = places::user(target).ok_or_else(|| {
        Failure::setting(format!(
            "`{target}` cannot be saved: it is no name for a file, or you have no home directory (set HOME)"
        ))
    })?;
    let dir = StateDir::open(&path).map_err(Failure::setting)?;
    identity.save(&dir).map_err(Failure::setting)
}

/// Puts a new certificate in place of the one of this identity, wherever that is saved.
pub fn renew(identity: &Identity, certified: &Certified) -> Result<(), Failure> {
    for name in names()? {
        let Some(mut kept) = find(&name)? else {
            continue;
        };
        if kept.address == identity.address && kept.renew(certified.clone()) {
            save(&kept, &name)?;
        }
    }
    Ok(())
}

/// The names under which something was saved, in order.
pub fn names() -> Result<Vec<String>, Failure> {
    let Some(path) = places::users() else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| {
            Failure::setting(format!("cannot read `{}`: {error}", path.display()))
        })?,
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Who we are by what is saved under a name or an address, if something is.
pub fn find(target: &str) -> Result<Option<Identity>, Failure> {
    places::user(target).map_or(Ok(None), |path| load(&path))
}

fn load(path: &Path) -> Result<Option<Identity>, Failure> {
    if !path.is_dir() {
        return Ok(None);
    }
    let dir = StateDir::open(path).map_err(Failure::setting)?;
    let identity = Identity::load(&dir).map_err(Failure::setting)?;
    // Where nobody has to log in, one that has expired is made anew.
    let now = SystemTime::now();
    Ok(identity.filter(|identity| !identity.is_insecure() || identity.expires > now))
}
