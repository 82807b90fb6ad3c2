//! The one way out: a cluster whose secrets are written here, for the loopback only.
//!
//! Nothing else is different. There is no second path through sessions and joins that knows of no certificates, which
//! could be taken by mistake.

use crate::{
    authority::{Authority, AuthorityError},
    known_key::{key, pin},
    state::StateDir,
    subject::Role,
    token::Token,
};
use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

/// The authority of a cluster that everybody on this machine can use, listening at these addresses.
pub fn authority(
    dir: &StateDir,
    addresses: &[SocketAddr],
    now: SystemTime,
) -> Result<Authority, AuthorityError> {
    addresses.iter().try_for_each(must_be_loopback)?;
    let authority = Authority::open_or_make(dir, || Ok(key()), now)?;
    if authority.pin() != pin() {
        return Err(AuthorityError::Secure(dir.path().to_owned()));
    }
    let known = authority.tokens().list()?;
    for role in [Role::Node, Role::User] {
        let token = token_of(role, "");
        if !known.iter().any(|row| row.id == token.id()) {
            authority.tokens().add(&token, ALWAYS, false, now)?;
        }
    }
    Ok(authority)
}

/// The token of such a cluster at this address.
pub fn token(role: Role, address: SocketAddr) -> Result<Token, AuthorityError> {
    must_be_loopback(&address)?;
    Ok(token_of(role, &address.to_string()))
}

/// Whether `HOST:PORT` is an address, no name, and of the loopback.
pub(crate) fn is_loopback(address: &str) -> bool {
    let address = address.parse::<SocketAddr>();
    address.is_ok_and(|address| must_be_loopback(&address).is_ok())
}

fn token_of(role: Role, address: &str) -> Token {
    Token::new(role, address, pin(), role.code().into())
}

/// Refuses what others than this machine might reach.
///
/// # Errors
/// With a sentence that says so.
pub fn must_be_loopback(address: &SocketAddr) -> Result<(), AuthorityError> {
    match address.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(AuthorityError::NotLoopback(*address)),
    }
}

/// As long as the authority.
const ALWAYS: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_loopback_goes_without() {
        let scratch = Scratch::new();
        let now = SystemTime::now();
        for good in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(token(Role::Node, address(good)).is_ok(), "{good}");
            assert!(
                authority(&scratch.0, &[address(good)], now).is_ok(),
                "{good}"
            );
        }
        for bad in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(token(Role::Node, address(bad)).is_err(), "{bad}");
            let both = [address("127.0.0.1:1"), address(bad)];
            let error = authority(&scratch.0, &both, now).unwrap_err();
            assert!(matches!(error, AuthorityError::NotLoopback(_)), "{error}");
        }
    }

    #[test]
    fn a_cluster_stays_what_it_is() {
        let (with, without) = (Scratch::new(), Scratch::new());
        let now = SystemTime::now();
        let loopback = [address("127.0.0.1:1")];
        let secure = Authority::open(&with.0, now).unwrap();
        assert!(secure.pin() != pin());
        let error = authority(&with.0, &loopback, now).unwrap_err();
        assert!(matches!(error, AuthorityError::Secure(_)), "{error}");
        let insecure = authority(&without.0, &loopback, now).unwrap();
        assert!(insecure.pin() == pin());
        assert_eq!(insecure.tokens().list().unwrap().len(), 2);
        let error = Authority::open(&without.0, now).unwrap_err();
        assert!(matches!(error, AuthorityError::Insecure(_)), "{error}");
    }
}
