//! Programs that were sent before: what is sent next is often a change of one of them.
//!
//! They lie in the person's cache directory, which may be emptied at any time. Deliberately absent: any error. Without
//! them a program is sent whole.

use crate::content::Content;
use deploy_wire::client::{CHANGE_BYTES_MAX, Digest};
use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A program that was sent before.
struct Earlier {
    path: PathBuf,
    name: String,
    digest: Digest,
    len: u64,
    /// When it was kept.
    at: SystemTime,
}

/// The names of those that a program of this name and length may be a change of, the most similar first.
pub fn similar(name: &str, len: u64) -> Vec<Digest> {
    if len > CHANGE_BYTES_MAX {
        return Vec::new();
    }
    let mut all = all().unwrap_or_default();
    // Of one name there are the builds of several profiles, which differ in length more than their changes do.
    all.sort_by_key(|earlier| (earlier.name != name, earlier.len.abs_diff(len)));
    all.iter()
        .take(NAMED_MAX)
        .map(|earlier| earlier.digest)
        .collect()
}

/// Its bytes, if they are here and right.
pub fn find(digest: &Digest) -> Option<Vec<u8>> {
    let earlier = all().ok()?;
    let earlier = earlier.iter().find(|earlier| earlier.digest == *digest)?;
    let bytes = fs::read(&earlier.path).ok()?;
    let is_right = blake3::hash(&bytes) == *digest;
    if !is_right {
        let _ = fs::remove_file(&earlier.path);
    }
    is_right.then_some(bytes)
}

/// Keeps what was sent now, for the next time.
pub fn keep(name: &str, digest: &Digest, content: &Content) {
    if content.len() <= CHANGE_BYTES_MAX {
        let _ = try_keep(name, digest, content);
    }
}

fn try_keep(name: &str, digest: &Digest, content: &Content) -> io::Result<()> {
    let Some(dir) = directory() else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    make_room(content.len())?;
    clear_parts(&dir)?;
    let digest = blake3::Hash::from(*digest).to_hex();
    // Two may be sent at once; what is read is whole.
    let part = dir.join(format!("{PART}{digest}-{}", std::process::id()));
    let mut file = fs::File::create_new(&part)?;
    io::copy(&mut content.from(0).stream(), &mut file)
        .and_then(|_| fs::rename(&part, dir.join(format!("{digest}-{name}"))))
        .inspect_err(|_| drop(fs::remove_file(&part)))
}

fn make_room(len: u64) -> io::Result<()> {
    let mut all = all()?;
    all.sort_by_key(|earlier| earlier.at);
    let mut bytes = len + all.iter().map(|earlier| earlier.len).sum::<u64>();
    let mut count = all.len() + 1;
    for oldest in all {
        if bytes <= KEPT_BYTES_MAX && count <= KEPT_MAX {
            break;
        }
        fs::remove_file(&oldest.path)?;
        bytes -= oldest.len;
        count -= 1;
    }
    Ok(())
}

/// Whoever was killed while it kept one has left a part of it.
fn clear_parts(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_part = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PART.as_bytes());
        let age = entry.metadata()?.modified()?.elapsed();
        if is_part && age.is_ok_and(|age| age > PART_KEPT_FOR) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn all() -> io::Result<Vec<Earlier>> {
    let mut all = Vec::new();
    let Some(dir) = directory() else {
        return Ok(all);
    };
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, facts) = (entry.path(), entry.metadata()?);
        if let Some((digest, name)) = parse(&path) {
            all.push(Earlier {
                name: name.to_string(),
                digest,
                len: facts.len(),
                at: facts.modified()?,
                path,
            });
        }
    }
    Ok(all)
}

/// `DIGEST-NAME`.
fn parse(path: &Path) -> Option<(Digest, &str)> {
    let (digest, name) = path.file_name()?.to_str()?.split_once('-')?;
    let digest = blake3::Hash::from_hex(digest).ok()?;
    Some((*digest.as_bytes(), name))
}

/// `$XDG_CACHE_HOME/deploy/sent`, or the same under `~/.cache`.
fn directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Some(cache?.join("deploy/sent"))
}

/// As many as a bridge looks for.
const NAMED_MAX: usize = 8;
/// A few builds of each of the programs that somebody works on.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: u64 = 1 << 30;
/// What a file is called that is not whole.
const PART: &str = ".part-";
/// Far longer than one takes to be written.
const PART_KEPT_FOR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_somebody_left_go() {
        let dir = env::temp_dir().join(format!("deploy-parts-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let names = [".part-old", ".part-new", "whole-old"];
        for name in names {
            let file = fs::File::create_new(dir.join(name)).unwrap();
            if name.ends_with("old") {
                let then = SystemTime::now() - 2 * PART_KEPT_FOR;
                file.set_modified(then).unwrap();
            }
        }
        clear_parts(&dir).unwrap();
        let left = names.map(|name| dir.join(name).exists());
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn names_of_files_are_taken_apart() {
        let digest = blake3::hash(b"program");
        let path = PathBuf::from(format!("/x/{}-my-program", digest.to_hex()));
        assert_eq!(parse(&path), Some((*digest.as_bytes(), "my-program")));
        assert_eq!(parse(Path::new("/x/.part-00-1")), None);
    }
}
