//! Files and directories in one run of bytes, for programs that need some of their own.
//!
//! Deliberately absent: owners, times, links (what they lead to is taken along), and any place outside of one directory.
//!
//! # The format
//! Each entry is a `u8` (1 a directory, 2 a file, 3 one that can be executed), the path with its length as `u16`, and for
//! files the content with its length as `u64`; little-endian.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Component, Path, PathBuf},
};

/// All that is at these paths, which lie in `root` and keep their names relative to it. What is named twice is there once.
///
/// # Errors
/// If one lies elsewhere or cannot be read, is neither a file nor a directory, or leads back to a directory around it; or if all
/// together are longer than `bytes_max`.
pub fn pack(root: &Path, paths: &[PathBuf], bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut packer = Packer {
        root,
        bytes_max,
        bytes: Vec::new(),
        taken: HashSet::new(),
        around: Vec::new(),
    };
    for path in paths {
        let inside = path.strip_prefix(root).unwrap_or(path);
        let inside: PathBuf = inside
            .components()
            .filter(|c| *c != Component::CurDir)
            .collect();
        if !is_inside(&inside) {
            let why = format!("it lies outside of {}", root.display());
            return Err(named(path, io::Error::new(ErrorKind::InvalidInput, why)));
        }
        packer.pack(&inside)?;
    }
    Ok(packer.bytes)
}

struct Packer<'r> {
    root: &'r Path,
    bytes_max: u64,
    bytes: Vec<u8>,
    taken: HashSet<PathBuf>,
    /// The directories that we are in, as the disk knows them.
    around: Vec<(u64, u64)>,
}

impl Packer<'_> {
    fn pack(&mut self, path: &Path) -> io::Result<()> {
        let facts = fs::metadata(self.root.join(path)).map_err(|error| named(path, error))?;
        if facts.is_dir() {
            return self.pack_directory(path, (facts.dev(), facts.ino()));
        }
        self.pack_file(path, &facts)
            .map_err(|error| named(path, error))
    }

    fn pack_directory(&mut self, path: &Path, identity: (u64, u64)) -> io::Result<()> {
        let in_it = |error| named(path, error);
        if self.around.contains(&identity) {
            let why = "it leads back to a directory that it lies in";
            return Err(in_it(io::Error::new(ErrorKind::InvalidInput, why)));
        }
        if path != Path::new("") && self.taken.insert(path.to_path_buf()) {
            put_head(&mut self.bytes, DIRECTORY, path).map_err(in_it)?;
        }
        let entries = fs::read_dir(self.root.join(path)).map_err(in_it)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(in_it)?;
        // The same files are the same bytes, which then need not be sent again.
        names.sort();
        self.around.push(identity);
        let packed = names
            .iter()
            .try_for_each(|name| self.pack(&path.join(name)));
        self.around.pop();
        packed
    }

    fn pack_file(&mut self, path: &Path, facts: &Metadata) -> io::Result<()> {
        // Whoever opens a pipe waits for somebody at its other end.
        if !facts.is_file() {
            let why = "it is neither a file nor a directory";
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
        if !self.taken.insert(path.to_path_buf()) {
            return Ok(());
        }
        if self.bytes.len() as u64 + facts.len() > self.bytes_max {
            let why = format!(
                "with it the files have more than {} MiB",
                self.bytes_max >> 20
            );
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        let is_executable = facts.permissions().mode() & 0o111 != 0;
        let kind = if is_executable { EXECUTABLE } else { FILE };
        put_head(&mut self.bytes, kind, path)?;
        let content = fs::read(self.root.join(path))?;
        self.bytes.extend((content.len() as u64).to_le_bytes());
        self.bytes.extend(content);
        Ok(())
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn put_head(bytes: &mut Vec<u8>, kind: u8, path: &Path) -> io::Result<()> {
    let path = path.as_os_str().as_bytes();
    let len = u16::try_from(path.len()).map_err(|_| ErrorKind::InvalidFilename)?;
    bytes.push(kind);
    bytes.extend(len.to_le_bytes());
    bytes.extend(path);
    Ok(())
}

/// Makes all that is in these bytes below `root`, and nothing anywhere else.
///
/// # Errors
/// If it is there already, the disk fails, or the bytes make no sense.
pub fn unpack(mut bytes: impl Read, root: &Path) -> io::Result<()> {
    while let Some(Head { kind, path, len }) = next_head(&mut bytes)? {
        let place = root.join(path);
        if kind == Kind::Directory {
            DirBuilder::new().recursive(true).create(&place)?;
            continue;
        }
        if let Some(parent) = place.parent() {
            DirBuilder::new().recursive(true).create(parent)?;
        }
        let mode = if kind == Kind::Executable {
            0o755
        } else {
            0o644
        };
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&place)?;
        if io::copy(&mut (&mut bytes).take(len), &mut file)? != len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// What stands before the content of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Where it is to be, below the directory that all of it is made in.
    pub path: PathBuf,
    /// How many bytes of content follow.
    pub len: u64,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
}

/// The head of the next entry; nothing at the end. Its content is left to be read.
///
/// # Errors
/// If the bytes make no sense.
pub fn next_head(bytes: &mut impl Read) -> io::Result<Option<Head>> {
    let mut kind = [0];
    if bytes.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut len = [0; 2];
    bytes.read_exact(&mut len)?;
    let mut path = vec![0; u16::from_le_bytes(len).into()];
    bytes.read_exact(&mut path)?;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
    let kind = match kind {
        [DIRECTORY] => Some(Kind::Directory),
        [FILE] => Some(Kind::File),
        [EXECUTABLE] => Some(Kind::Executable),
        _ => None,
    };
    let is_below = is_inside(&path) && path != Path::new("");
    let kind = kind.filter(|_| is_below).ok_or_else(|| {
        let why = "these are no files for a program";
        io::Error::new(ErrorKind::InvalidData, why)
    })?;
    let mut len = [0; 8];
    if kind != Kind::Directory {
        bytes.read_exact(&mut len)?;
    }
    let len = u64::from_le_bytes(len);
    Ok(Some(Head { kind, path, len }))
}

/// Relative, and never upwards.
fn is_inside(path: &Path) -> bool {
    let is_name = |component| matches!(component, Component::Normal(_));
    path.components().all(is_name)
}

const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const EXECUTABLE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A directory that goes with the test.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("tree-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Place(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_come_back_where_they_were() {
        let (from, to) = (Place::new("from"), Place::new("to"));
        fs::create_dir_all(from.0.join("data/empty")).unwrap();
        fs::write(from.0.join("data/x.txt"), "x").unwrap();
        fs::write(from.0.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(from.0.join("run.sh"), PermissionsExt::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("x.txt", from.0.join("data/link")).unwrap();
        let paths = ["./data".into(), from.0.join("run.sh")];
        let bytes = pack(&from.0, &paths, 1 << 20).unwrap();
        assert_eq!(bytes, pack(&from.0, &paths, 1 << 20).unwrap());
        unpack(bytes.as_slice(), &to.0).unwrap();
        assert_eq!(fs::read_to_string(to.0.join("data/x.txt")).unwrap(), "x");
        assert_eq!(fs::read_to_string(to.0.join("data/link")).unwrap(), "x");
        assert!(to.0.join("data/empty").is_dir());
        let mode = fs::metadata(to.0.join("run.sh")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o111, 0o111);
        for cut in [1, 2, bytes.len() - 1] {
            let to = Place::new(&format!("cut-{cut}"));
            assert!(unpack(&bytes[..cut], &to.0).is_err());
        }
    }

    #[test]
    fn what_is_named_twice_is_there_once() {
        let (from, to) = (Place::new("twice"), Place::new("once"));
        fs::create_dir(from.0.join("data")).unwrap();
        fs::write(from.0.join("data/x"), "x").unwrap();
        let paths = ["data/x", "data", "./data/", "data"].map(PathBuf::from);
        let bytes = pack(&from.0, &paths, 1 << 20).unwrap();
        unpack(bytes.as_slice(), &to.0).unwrap();
        assert_eq!(fs::read_to_string(to.0.join("data/x")).unwrap(), "x");
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        use std::{
            os::unix::{fs::symlink, net::UnixListener},
            process::Command,
        };
        let check = |name: &str, make: &dyn Fn(&Path), expected: &str| {
            let place = Place::new(name);
            fs::create_dir(place.0.join("data")).unwrap();
            make(&place.0.join("data").join(name));
            let error = pack(&place.0, &["data".into()], 1 << 20).unwrap_err();
            assert_eq!(error.to_string(), format!("data/{name}: {expected}"));
        };
        let neither = "it is neither a file nor a directory";
        let socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
        check("socket", &socket, neither);
        let pipe =
            |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        check("pipe", &pipe, neither);
        let back = "it leads back to a directory that it lies in";
        check("loop", &|path| symlink(".", path).unwrap(), back);
        let nowhere = "No such file or directory (os error 2)";
        check("nowhere", &|path| symlink("none", path).unwrap(), nowhere);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_files_or_not(
            entries in proptest::collection::vec((0_u8..5, "[a/.]{0,6}", 0_u64..9), 0..4),
            cut in 0_usize..60,
        ) {
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let outer = Place::new(&format!("any-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
            let root = outer.0.join("root");
            fs::create_dir(&root).unwrap();
            let mut bytes = Vec::new();
            for (kind, path, len) in entries {
                bytes.push(kind);
                bytes.extend((path.len() as u16).to_le_bytes());
                bytes.extend(path.as_bytes());
                bytes.extend(len.to_le_bytes());
                bytes.extend([7; 4]);
            }
            bytes.truncate(cut);
            let _ = unpack(bytes.as_slice(), &root);
            assert_eq!(fs::read_dir(&outer.0).unwrap().count(), 1);
        }
    }

    #[test]
    fn nothing_is_made_or_read_elsewhere() {
        let place = Place::new("inside");
        for path in ["../x", "/x", "a/../../x", ""] {
            let mut bytes = vec![FILE];
            bytes.extend((path.len() as u16).to_le_bytes());
            bytes.extend(path.as_bytes());
            bytes.extend([0; 8]);
            let error = unpack(bytes.as_slice(), &place.0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{path}");
        }
        let error = pack(&place.0, &["../x".into()], 1 << 20).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
        fs::write(place.0.join("long"), [0; 100]).unwrap();
        let error = pack(&place.0, &["long".into()], 99).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
