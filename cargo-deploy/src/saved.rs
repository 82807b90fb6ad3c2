//! Who a person is in each cluster that they have logged in to, as it is kept in a directory of its own for each.
//!
//! Deliberately absent: which cluster a word means (`clusters.rs`), and logging in.

use crate::failure::Failure;
use deploy_trust::{
    identity::{Certified, Identity},
    places,
    state::StateDir,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Saves an identity under a name or an address.
pub fn save(identity: &Identity, target: &str) -> Result<(), Failure> {
    identity.save(&place(target)?).map_err(Failure::setting)
}

/// Makes sure that something can be saved under a name or an address.
pub fn try_place(target: &str) -> Result<(), Failure> {
    let dir = place(target)?;
    let lock = dir.lock().map_err(Failure::setting)?;
    let tried = dir.replace(TRIED, &[0; TRIED_BYTES], &lock);
    // Nobody reads it, also if it stays.
    let _ = fs::remove_file(dir.path().join(TRIED));
    tried.map_err(Failure::setting)
}

/// Takes away what was made to save something under a name or an address, where nothing was.
pub fn clear(target: &str) {
    if let (Ok(None), Some(path)) = (find(target), places::user(target)) {
        // What stays is nothing that is ever read.
        let _ = fs::remove_dir_all(path);
    }
}

fn place(target: &str) -> Result<StateDir, Failure> {
    home()?;
    let path = places::user(target).ok_or_else(|| {
        Failure::setting(format!(
            "`{target}` is no name: take letters, digits, `.`, `_` and `-`, not beginning with a dot"
        ))
    })?;
    StateDir::open(&path).map_err(Failure::setting)
}

/// Where all of them are.
fn home() -> Result<PathBuf, Failure> {
    places::users().ok_or_else(|| {
        Failure::setting(
            "it is not known where your logins are kept: set HOME to your home directory",
        )
    })
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

/// Forgets who we are in the cluster of this name or address, whatever it was saved as. Returns how it was.
pub fn forget(target: &str) -> Result<Vec<String>, Failure> {
    let identity = find(target)?;
    let address = identity.map_or(target.to_string(), |identity| identity.address);
    let mut gone = Vec::new();
    for name in names()? {
        let is_there = || Ok(find(&name)?.is_some_and(|kept| kept.address == address));
        if name == target || is_there()? {
            let path = home()?.join(&name);
            fs::remove_dir_all(&path).map_err(|error| {
                Failure::setting(format!("cannot remove `{}`: {error}", path.display()))
            })?;
            gone.push(name);
        }
    }
    Ok(gone)
}

/// The names under which something was saved, in order.
pub fn names() -> Result<Vec<String>, Failure> {
    let path = home()?;
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

/// What is written to see whether something can be, and how much: more than an identity takes.
const TRIED: &str = "tried";
const TRIED_BYTES: usize = 8 << 10;
