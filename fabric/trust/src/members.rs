//! The master's table of certificates: whom it certified, until when, and whom it will not know any more.
//!
//! Like the table of tokens a file, read anew when it changed. A row goes when its certificate has expired.

use crate::{
    keys::PublicKey,
    state::{StateDir, StateError},
    subject::{Name, Role},
    tokens::{key, moment, seconds},
};
use deploy_wire::bytes::{Malformed, Reader, Writer};
use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The number of a certificate, random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Serial(pub [u8; 16]);

/// One certificate, as the master remembers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    /// What its holder may be.
    pub role: Role,
    /// Who it is.
    pub name: Name,
    /// Which certificate.
    pub serial: Serial,
    /// When it ends by itself.
    pub expires: SystemTime,
    /// Whether it was ended before.
    pub is_revoked: bool,
    pub(crate) public: PublicKey,
}

/// Why a member gets no further certificate for the one that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotRenewed {
    /// That one does not count any more.
    #[error("this certificate was revoked or has expired: join again with a new token")]
    Revoked,
    /// It asks for ever more.
    #[error(
        "this member has {CERTIFICATES_MAX} certificates already: use the newest, or wait until one expires"
    )]
    TooMany,
}

/// The table in a directory.
#[derive(Clone, Debug)]
pub struct Members {
    dir: StateDir,
}

impl Members {
    /// The table in this directory, empty if there is none yet.
    pub fn in_dir(dir: StateDir) -> Members {
        Members { dir }
    }

    /// All certificates that have not expired.
    pub fn list(&self) -> Result<Vec<MemberRow>, StateError> {
        let Some(bytes) = self.dir.read(FILE)? else {
            return Ok(Vec::new());
        };
        read_rows(&bytes).map_err(|_| self.dir.damaged(FILE))
    }

    /// Ends all certificates of a member; says how many. Sessions that are open have to be ended by whoever holds them.
    pub fn revoke(&self, role: Role, name: &Name, now: SystemTime) -> Result<usize, StateError> {
        self.update(now, |rows| {
            let of_member = |row: &&mut MemberRow| row.role == role && row.name == *name;
            let mut count = 0;
            for row in rows.iter_mut().filter(of_member) {
                row.is_revoked = true;
                count += 1;
            }
            count
        })
    }

    /// Adds a certificate, made by `make` with the name that is free: the wished one if nobody else has it.
    pub(crate) fn add<E>(
        &self,
        role: Role,
        wished: &Name,
        public: PublicKey,
        now: SystemTime,
        make: impl FnOnce(&Name) -> Result<MemberRow, E>,
    ) -> Result<Result<MemberRow, E>, StateError> {
        self.update(now, |rows| {
            let is_taken = |name: &Name| {
                let mut others = rows
                    .iter()
                    .filter(|row| !row.is_revoked && row.public != public);
                others.any(|row| row.role == role && row.name == *name)
            };
            let name = (1..)
                .map(|number| match number {
                    1 => wished.clone(),
                    _ => wished.numbered(number),
                })
                .find(|name| !is_taken(name))
                .expect("there are more numbers than members");
            let row = make(&name)?;
            rows.push(row.clone());
            Ok(row)
        })
    }

    /// Adds another certificate for the member that has this one, made by `make` of its row. Whether that one still counts
    /// is looked at under the lock: who is being removed just now has none any more behind it.
    pub(crate) fn add_to<E: From<NotRenewed>>(
        &self,
        held: Serial,
        now: SystemTime,
        make: impl FnOnce(&MemberRow) -> Result<MemberRow, E>,
    ) -> Result<Result<MemberRow, E>, StateError> {
        self.update(now, |rows| {
            let held = rows.iter().find(|row| row.serial == held);
            let held = held
                .filter(|row| !row.is_revoked)
                .ok_or(NotRenewed::Revoked)?;
            let same = rows.iter().filter(|row| row.public == held.public);
            if same.count() >= CERTIFICATES_MAX {
                return Err(NotRenewed::TooMany.into());
            }
            let row = make(held)?;
            rows.push(row.clone());
            Ok(row)
        })
    }

    fn update<T>(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<MemberRow>) -> T,
    ) -> Result<T, StateError> {
        let lock = self.dir.lock()?;
        let before = self.list()?;
        let mut rows = before.clone();
        rows.retain(|row| row.expires > now);
        let result = change(&mut rows);
        if rows != before {
            self.dir.replace(FILE, &write_rows(&rows), &lock)?;
        }
        Ok(result)
    }
}

/// Which certificates were revoked: a cheap question, asked in each handshake.
#[derive(Clone, Debug)]
pub struct Revocations {
    members: Members,
    seen: Arc<Mutex<Seen>>,
}

/// What was read, and from which version of the file.
#[derive(Default, Debug)]
struct Seen {
    stamp: Option<Stamp>,
    versions: u64,
    revoked: HashSet<Serial>,
}

/// Inode, seconds and nanoseconds of the last change, length: each replacement differs in one of them.
type Stamp = (u64, i64, i64, u64);

impl Revocations {
    /// Those that the table in this directory names.
    pub fn in_dir(dir: StateDir) -> Revocations {
        Revocations {
            members: Members::in_dir(dir),
            seen: Arc::default(),
        }
    }

    /// Whether a certificate was revoked. A table that cannot be read counts as a yes.
    pub fn is_revoked(&self, serial: Serial) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match self.refresh(&mut seen) {
            Ok(()) => seen.revoked.contains(&serial),
            Err(_) => true,
        }
    }

    /// How often the table was found changed: whoever holds sessions looks at them again when this does.
    pub fn versions(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be read just now lets nobody new in, and ends nobody's session.
        let _ = self.refresh(&mut seen);
        seen.versions
    }

    fn refresh(&self, seen: &mut Seen) -> Result<(), StateError> {
        let path = self.members.dir.path().join(FILE);
        let stamp = match fs::symlink_metadata(&path) {
            Ok(facts) => Some((facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StateError::Io(path, error)),
        };
        if stamp == seen.stamp {
            return Ok(());
        }
        let rows = self.members.list()?;
        let revoked = rows.into_iter().filter(|row| row.is_revoked);
        *seen = Seen {
            stamp,
            versions: seen.versions + 1,
            revoked: revoked.map(|row| row.serial).collect(),
        };
        Ok(())
    }
}

fn write_rows(rows: &[MemberRow]) -> Vec<u8> {
    let mut file = Writer::new();
    file.text(HEAD);
    for row in rows {
        let mut field = Writer::new();
        field
            .u8(row.role.code())
            .text(row.name.as_str())
            .u128(u128::from_le_bytes(row.serial.0))
            .u64(seconds(row.expires))
            .bool(row.is_revoked)
            .bytes(&row.public.0);
        file.bytes(&field.finish());
    }
    file.finish()
}

fn read_rows(bytes: &[u8]) -> Result<Vec<MemberRow>, Malformed> {
    let mut file = Reader::new(bytes);
    if file.text()? != HEAD {
        return Err(Malformed("it is no table of members"));
    }
    let mut rows = Vec::new();
    while !file.is_empty() {
        let mut field = Reader::new(file.bytes()?);
        rows.push(MemberRow {
            role: Role::from_code(field.u8()?).ok_or(Malformed("no such role"))?,
            name: field
                .text()?
                .parse()
                .map_err(|_| Malformed("no such name"))?,
            serial: Serial(field.u128()?.to_le_bytes()),
            expires: moment(field.u64()?)?,
            is_revoked: field.bool()?,
            public: key(&mut field)?,
        });
    }
    Ok(rows)
}

/// So many certificates of one key count at once: a user's commands that begin together on the day on which it is due each
/// ask for one, and who asks on and on makes the table no longer.
const CERTIFICATES_MAX: usize = 256;

const FILE: &str = "members";
const HEAD: &str = "fabric members 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::{Authority, AuthorityError},
        peer::Peer,
        state::tests::Scratch,
    };
    use std::{
        thread,
        time::{Duration, Instant, UNIX_EPOCH},
    };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn add(members: &Members, wished: &str, key: u8, now: u64) -> MemberRow {
        let public = PublicKey([key; 32]);
        let make = |name: &Name| {
            Ok::<_, ()>(MemberRow {
                role: Role::Node,
                name: name.clone(),
                serial: Serial([key; 16]),
                expires: at(now + 100),
                is_revoked: false,
                public,
            })
        };
        let wished = Name::like(wished);
        let row = members.add(Role::Node, &wished, public, at(now), make);
        row.unwrap().unwrap()
    }

    #[test]
    fn names_are_one_members_until_its_certificates_expire() {
        let scratch = Scratch::new();
        let members = Members::in_dir(scratch.0.clone());
        assert_eq!(add(&members, "a", 1, 0).name.as_str(), "a");
        assert_eq!(add(&members, "a", 1, 1).name.as_str(), "a");
        assert_eq!(add(&members, "a", 2, 2).name.as_str(), "a-2");
        assert_eq!(members.list().unwrap().len(), 3);
        assert_eq!(add(&members, "a", 3, 110).name.as_str(), "a");
        assert_eq!(members.list().unwrap().len(), 1);
    }

    #[test]
    fn a_revocation_is_seen_at_once_and_by_everybody() {
        let scratch = Scratch::new();
        let members = Members::in_dir(scratch.0.clone());
        let seen = Revocations::in_dir(scratch.0.clone());
        assert!(!seen.is_revoked(Serial([1; 16])));
        add(&members, "a", 1, 0);
        add(&members, "b", 2, 0);
        assert!(!seen.is_revoked(Serial([1; 16])));
        assert_eq!(
            members.revoke(Role::Node, &Name::like("a"), at(1)).unwrap(),
            1
        );
        assert_eq!(
            members.revoke(Role::User, &Name::like("b"), at(1)).unwrap(),
            0
        );
        let versions = seen.versions();
        assert!(seen.is_revoked(Serial([1; 16])));
        assert!(!seen.is_revoked(Serial([2; 16])));
        assert_eq!(seen.versions(), versions);
        members.revoke(Role::Node, &Name::like("b"), at(1)).unwrap();
        assert!(seen.versions() > versions);
    }

    #[test]
    fn a_table_that_cannot_be_read_revokes_everybody() {
        let scratch = Scratch::new();
        let seen = Revocations::in_dir(scratch.0.clone());
        let lock = scratch.0.lock().unwrap();
        scratch.0.replace(FILE, b"nonsense", &lock).unwrap();
        assert!(seen.is_revoked(Serial([1; 16])));
    }

    /// Somebody with a certificate of the authority in this directory.
    fn member(dir: &StateDir, now: SystemTime) -> (Authority, Peer) {
        let authority = Authority::open(dir, now).unwrap();
        let name = Name::like("n");
        let identity = authority.identity(Role::Node, &name, "h:1", now).unwrap();
        let peer = Peer::of(&identity.certificate).unwrap();
        (authority, peer)
    }

    /// Waits until somebody waits for the lock of a directory.
    fn await_waiter(dir: &StateDir) {
        let inode = fs::metadata(dir.path().join("lock")).unwrap().ino();
        let is_its = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .any(is_its)
        {
            assert!(Instant::now() < deadline, "nobody waits for the lock");
            thread::sleep(Duration::from_millis(1)); // The kernel announces nobody who waits.
        }
    }

    #[test]
    fn who_is_removed_while_it_renews_has_no_certificate_behind_it() {
        let scratch = Scratch::new();
        let now = SystemTime::now();
        let (authority, peer) = member(&scratch.0, now);
        let held = scratch.0.lock().unwrap();
        let renewed = thread::scope(|scope| {
            let renewing = scope.spawn(|| authority.renew(&peer, now));
            await_waiter(&scratch.0);
            // What `fabric remove` does, which had the lock first.
            let mut rows = authority.members().list().unwrap();
            rows.iter_mut().for_each(|row| row.is_revoked = true);
            scratch.0.replace(FILE, &write_rows(&rows), &held).unwrap();
            drop(held);
            renewing.join().unwrap()
        });
        let rows = authority.members().list().unwrap();
        assert!(rows.iter().all(|row| row.is_revoked), "{rows:?}");
        let error = renewed.unwrap_err();
        let revoked = AuthorityError::NotRenewed(NotRenewed::Revoked);
        assert_eq!(error.to_string(), revoked.to_string());
    }

    #[test]
    fn who_asks_on_and_on_makes_the_table_no_longer() {
        let scratch = Scratch::new();
        let now = SystemTime::now();
        let (authority, peer) = member(&scratch.0, now);
        assert!(authority.renew(&peer, now).is_ok());
        let mut rows = authority.members().list().unwrap();
        rows.resize(CERTIFICATES_MAX, rows[0].clone());
        let lock = scratch.0.lock().unwrap();
        scratch.0.replace(FILE, &write_rows(&rows), &lock).unwrap();
        drop(lock);
        let error = authority.renew(&peer, now).unwrap_err();
        assert!(error.to_string().contains("256 certificates"), "{error}");
        assert_eq!(authority.members().list().unwrap(), rows);
    }
}
