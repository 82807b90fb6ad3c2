//! The master's table of tokens: which were given out, until when, and which were used or revoked.
//!
//! The table is a file, read for each question: commands that change it and the daemon that asks need not know of one
//! another. It holds public halves only, so that whoever reads it still cannot join.

use crate::{
    keys::PublicKey,
    state::{StateDir, StateError},
    subject::Role,
    token::{Token, TokenId},
};
use deploy_wire::bytes::{Malformed, Reader, Writer};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A token, as the master knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    /// What it is called.
    pub id: TokenId,
    /// What whoever uses it becomes.
    pub role: Role,
    /// Until when it can be used.
    pub expires: SystemTime,
    /// Whether it is for one member only.
    pub is_once: bool,
    /// Whether it was taken back.
    pub is_revoked: bool,
    /// How many have joined with it.
    pub uses: u32,
    pub(crate) public: PublicKey,
    /// Who used it last: the same member may ask again when the first answer did not reach it.
    pub(crate) last_user: Option<PublicKey>,
}

/// Why a token does not let anybody in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// No such token, or not its secret.
    #[error("the master does not know this token: ask for a new one (`fabric token new`)")]
    Unknown,
    /// Its time is over.
    #[error("this token has expired: ask for a new one (`fabric token new`)")]
    Expired,
    /// It was taken back.
    #[error("this token was revoked: ask for a new one (`fabric token new`)")]
    Revoked,
    /// It was for one member, who has joined.
    #[error("this token was for one use and has been used: ask for a new one (`fabric token new`)")]
    Used,
}

/// The table in a directory.
#[derive(Clone, Debug)]
pub struct Tokens {
    dir: StateDir,
}

impl Tokens {
    /// The table in this directory, empty if there is none yet.
    pub fn in_dir(dir: StateDir) -> Tokens {
        Tokens { dir }
    }

    /// All that are not long over.
    pub fn list(&self) -> Result<Vec<TokenRow>, StateError> {
        let Some(bytes) = self.dir.read(FILE)? else {
            return Ok(Vec::new());
        };
        read_rows(&bytes).map_err(|_| self.dir.damaged(FILE))
    }

    /// Takes a token back. False if there is none of this name.
    pub fn revoke(&self, id: TokenId, now: SystemTime) -> Result<bool, StateError> {
        self.update(now, |rows| {
            let row = rows.iter_mut().find(|row| row.id == id);
            row.map(|row| row.is_revoked = true).is_some()
        })
    }

    pub(crate) fn add(
        &self,
        token: &Token,
        lifetime: Duration,
        is_once: bool,
        now: SystemTime,
    ) -> Result<(), StateError> {
        let public = token.keys().public();
        let row = TokenRow {
            id: TokenId::of(&public),
            role: token.role,
            expires: now + lifetime,
            is_once,
            is_revoked: false,
            uses: 0,
            public,
            last_user: None,
        };
        self.update(now, |rows| {
            if rows.len() >= ROWS_MAX {
                rows.remove(0);
            }
            rows.push(row);
        })
    }

    /// Whether this token lets in the member with this key, who has proved its secret as `is_proved` finds; if so,
    /// that is on the disk when this returns. Only whoever proved the secret learns why not.
    pub(crate) fn use_one(
        &self,
        id: TokenId,
        user: PublicKey,
        now: SystemTime,
        is_proved: impl FnOnce(Role, &PublicKey) -> bool,
    ) -> Result<Result<Role, TokenRefusal>, StateError> {
        // Strangers who know no token do not make us write.
        if !self.list()?.iter().any(|row| row.id == id) {
            return Ok(Err(TokenRefusal::Unknown));
        }
        self.update(now, |rows| {
            let row = rows
                .iter_mut()
                .find(|row| row.id == id)
                .filter(|row| is_proved(row.role, &row.public))
                .ok_or(TokenRefusal::Unknown)?;
            row.check(user, now)?;
            if row.last_user != Some(user) {
                row.uses += 1;
                row.last_user = Some(user);
            }
            Ok(row.role)
        })
    }

    fn update<T>(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<TokenRow>) -> T,
    ) -> Result<T, StateError> {
        let lock = self.dir.lock()?;
        let before = self.list()?;
        let mut rows = before.clone();
        rows.retain(|row| row.expires + REMEMBERED > now);
        let result = change(&mut rows);
        if rows != before {
            self.dir.replace(FILE, &write_rows(&rows), &lock)?;
        }
        Ok(result)
    }
}

impl TokenRow {
    fn check(&self, user: PublicKey, now: SystemTime) -> Result<(), TokenRefusal> {
        if self.is_revoked {
            return Err(TokenRefusal::Revoked);
        }
        if self.expires <= now {
            return Err(TokenRefusal::Expired);
        }
        if self.is_once && self.uses > 0 && self.last_user != Some(user) {
            return Err(TokenRefusal::Used);
        }
        Ok(())
    }
}

fn write_rows(rows: &[TokenRow]) -> Vec<u8> {
    let mut file = Writer::new();
    file.text(HEAD);
    for row in rows {
        let mut field = Writer::new();
        field
            .u64(u64::from_be_bytes(row.id.0))
            .u8(row.role.code())
            .u64(seconds(row.expires))
            .bool(row.is_once)
            .bool(row.is_revoked)
            .u32(row.uses)
            .bytes(&row.public.0)
            .option(row.last_user, |w, key| {
                w.bytes(&key.0);
            });
        file.bytes(&field.finish());
    }
    file.finish()
}

fn read_rows(bytes: &[u8]) -> Result<Vec<TokenRow>, Malformed> {
    let mut file = Reader::new(bytes);
    if file.text()? != HEAD {
        return Err(Malformed("it is no table of tokens"));
    }
    let mut rows = Vec::new();
    while !file.is_empty() {
        let mut field = Reader::new(file.bytes()?);
        rows.push(TokenRow {
            id: TokenId(field.u64()?.to_be_bytes()),
            role: Role::from_code(field.u8()?).ok_or(Malformed("no such role"))?,
            expires: moment(field.u64()?)?,
            is_once: field.bool()?,
            is_revoked: field.bool()?,
            uses: field.u32()?,
            public: key(&mut field)?,
            last_user: field.option(key)?,
        });
    }
    Ok(rows)
}

/// A public key behind its length.
pub(crate) fn key(reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
    let bytes = reader.bytes()?.try_into();
    bytes
        .map(PublicKey)
        .map_err(|_| Malformed("a key has 32 bytes"))
}

/// Seconds since 1970: what files and messages hold.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The moment of so many seconds since 1970.
pub(crate) fn moment(seconds: u64) -> Result<SystemTime, Malformed> {
    if seconds > SECONDS_MAX {
        return Err(Malformed("a date is out of range"));
    }
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// How long a token can be used if nobody says otherwise.
pub const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long a token that is over can still be told from one that never was.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Far more than people give out in a month; beyond it the oldest is forgotten.
const ROWS_MAX: usize = 4096;

/// The year 9999, beyond which certificates cannot say when they end.
const SECONDS_MAX: u64 = 253_402_300_799;

const FILE: &str = "tokens";
const HEAD: &str = "fabric tokens 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys::Pin, state::tests::Scratch};

    const ONE: PublicKey = PublicKey([1; 32]);
    const TWO: PublicKey = PublicKey([2; 32]);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn given(is_once: bool) -> (Scratch, Tokens, Token) {
        let scratch = Scratch::new();
        let tokens = Tokens::in_dir(scratch.0.clone());
        let token = Token::new(Role::Node, "h:1", Pin([0; 16]), 5);
        tokens.add(&token, LIFETIME, is_once, at(0)).unwrap();
        (scratch, tokens, token)
    }

    fn used(
        tokens: &Tokens,
        token: &Token,
        user: PublicKey,
        now: u64,
    ) -> Result<Role, TokenRefusal> {
        tokens
            .use_one(token.id(), user, at(now), |_, _| true)
            .unwrap()
    }

    #[test]
    fn a_token_lets_many_in_until_it_expires() {
        let (_scratch, tokens, token) = given(false);
        assert_eq!(used(&tokens, &token, ONE, 1), Ok(Role::Node));
        assert_eq!(used(&tokens, &token, TWO, 2), Ok(Role::Node));
        assert_eq!(tokens.list().unwrap()[0].uses, 2);
        let day = 24 * 3600;
        assert_eq!(used(&tokens, &token, TWO, day), Err(TokenRefusal::Expired));
        assert_eq!(
            used(&tokens, &token, TWO, 40 * day),
            Err(TokenRefusal::Unknown)
        );
    }

    #[test]
    fn once_means_one_member_who_may_ask_again() {
        let (_scratch, tokens, token) = given(true);
        assert_eq!(used(&tokens, &token, ONE, 1), Ok(Role::Node));
        assert_eq!(used(&tokens, &token, ONE, 2), Ok(Role::Node));
        assert_eq!(used(&tokens, &token, TWO, 3), Err(TokenRefusal::Used));
    }

    #[test]
    fn revoked_and_unproved_tokens_let_nobody_in() {
        let (_scratch, tokens, token) = given(false);
        let unproved = tokens.use_one(token.id(), ONE, at(1), |_, _| false);
        assert_eq!(unproved.unwrap(), Err(TokenRefusal::Unknown));
        assert!(tokens.revoke(token.id(), at(1)).unwrap());
        assert!(!tokens.revoke(TokenId([0; 8]), at(1)).unwrap());
        assert_eq!(used(&tokens, &token, ONE, 1), Err(TokenRefusal::Revoked));
    }

    #[test]
    fn the_table_does_not_hold_the_secret() {
        let (scratch, _tokens, token) = given(false);
        let file = scratch.0.read(FILE).unwrap().unwrap();
        let secret = 5u128.to_le_bytes();
        assert!(!file.windows(16).any(|window| window == secret));
        assert!(token.keys().public() != ONE);
    }

    #[test]
    fn a_damaged_table_is_an_error_and_not_an_empty_one() {
        let (scratch, tokens, _) = given(false);
        let lock = scratch.0.lock().unwrap();
        scratch.0.replace(FILE, b"nonsense", &lock).unwrap();
        drop(lock);
        assert!(matches!(tokens.list(), Err(StateError::Damaged(_))));
    }
}
