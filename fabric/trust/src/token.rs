//! The text that lets a machine or a person join: where the master is, how to know it, and a secret.
//!
//! Which tokens are valid is the master's to know (`tokens.rs`).
//!
//! `fab1-node-` or `fab1-user-`, then in base32: the address behind its length, the first 128 bits of SHA-256 over the
//! authority's public key, 128 secret bits, and a checksum of 32 bits over all of the text's content. The alphabet
//! (Crockford's) has no letters that look like digits; upper case, `o` for `0`, and `i` and `l` for `1` are understood.

use crate::{
    keys::{KeyPair, Pin, PublicKey, sha256},
    subject::Role,
};
use std::{fmt, str::FromStr};

/// A join token. Whoever has it can join until it expires or is revoked: it is a secret, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What its holder becomes.
    pub role: Role,
    /// `HOST:PORT` of the master, or for users of the bridge.
    pub address: String,
    /// Which authority the master there has to have.
    pub pin: Pin,
    secret: [u8; 16],
}

/// What a token is called in lists and messages: it says nothing of the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TokenId(pub [u8; 8]);

/// Why a text is no token, or not the right one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Something else was pasted.
    #[error("this is no join token: one begins with `fab1-node-` or `fab1-user-`")]
    NotAToken,
    /// Not the name of one.
    #[error(
        "a token's name has 16 hexadecimal digits: `fabric token list` shows those that there are"
    )]
    NotAName,
    /// From another version.
    #[error(
        "this token is of another version of Deploy: use the same version here and on the master"
    )]
    OtherVersion,
    /// The checksum is wrong.
    #[error("this token was cut or mistyped: copy all of it once more")]
    Mistyped,
    /// A user's token where a node's is needed.
    #[error("this is a user's token: use it with `cargo deploy login`")]
    IsForUsers,
    /// A node's token where a user's is needed.
    #[error("this is a node's token: use it with `fabric join`")]
    IsForNodes,
}

impl Token {
    /// A token with new secret bits.
    ///
    /// # Panics
    /// If the role is the master's, which nobody can join as, or the address is longer than 255 bytes.
    pub fn new(role: Role, address: &str, pin: Pin, secret: u128) -> Token {
        assert!(role.is_joinable(), "nobody joins as a {role}");
        assert!(address.len() <= ADDRESS_BYTES_MAX, "no address is so long");
        Token {
            role,
            address: address.to_owned(),
            pin,
            secret: secret.to_le_bytes(),
        }
    }

    /// The token itself if it is for this role, or the sentence that says where it belongs.
    pub fn for_role(self, role: Role) -> Result<Token, TokenError> {
        match self.role {
            own if own == role => Ok(self),
            Role::User => Err(TokenError::IsForUsers),
            Role::Node | Role::Master | Role::Administrator => Err(TokenError::IsForNodes),
        }
    }

    /// Whether it is of a cluster that everybody on its machine can use.
    pub fn is_insecure(&self) -> bool {
        self.pin == crate::known_key::pin()
    }

    /// What lists call it.
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.keys().public())
    }

    /// The secret as a key pair: the master keeps only the public half, so its table lets nobody in.
    pub(crate) fn keys(&self) -> KeyPair {
        KeyPair::from_secret("fabric token 1", &self.secret)
    }

    fn content(&self) -> Vec<u8> {
        let address = self.address.as_bytes();
        let len = u8::try_from(address.len()).expect("checked when the token was made");
        let mut content = vec![len];
        content.extend_from_slice(address);
        content.extend_from_slice(&self.pin.0);
        content.extend_from_slice(&self.secret);
        content
    }
}

impl TokenId {
    /// The identifier of the token with this public half.
    pub(crate) fn of(public: &PublicKey) -> TokenId {
        let digest = sha256(&[&public.0]);
        TokenId(
            digest[..8]
                .try_into()
                .expect("8 of 32 bytes are 8 bytes long"),
        )
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<TokenId, TokenError> {
        let is_hex = text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(number) if is_hex => Ok(TokenId(number.to_be_bytes())),
            _ => Err(TokenError::NotAName),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut content = self.content();
        content.extend_from_slice(&checksum(self.role, &content));
        write!(f, "{PREFIX}{}-{}", self.role, base32(&content))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {} for {}", self.role, self.address)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        // A terminal may have broken the line.
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        let Some(rest) = text.strip_prefix(PREFIX) else {
            let is_newer = text
                .strip_prefix("fab")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            return Err(if is_newer {
                TokenError::OtherVersion
            } else {
                TokenError::NotAToken
            });
        };
        let (role, body) = rest.split_once('-').ok_or(TokenError::Mistyped)?;
        let role = match Role::from_name(role) {
            Some(role) if role.is_joinable() => role,
            _ => return Err(TokenError::Mistyped),
        };
        let bytes = from_base32(body).ok_or(TokenError::Mistyped)?;
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Mistyped)?;
        if checksum(role, content) != *sum {
            return Err(TokenError::Mistyped);
        }
        read_content(role, content).ok_or(TokenError::Mistyped)
    }
}

fn read_content(role: Role, content: &[u8]) -> Option<Token> {
    let (&len, rest) = content.split_first()?;
    let (address, rest) = rest.split_at_checked(len.into())?;
    let (pin, secret) = rest.split_first_chunk::<16>()?;
    Some(Token {
        role,
        address: str::from_utf8(address).ok()?.to_owned(),
        pin: Pin(*pin),
        secret: secret.try_into().ok()?,
    })
}

fn checksum(role: Role, content: &[u8]) -> [u8; 4] {
    let digest = sha256(&[PREFIX.as_bytes(), role.name().as_bytes(), content]);
    [digest[0], digest[1], digest[2], digest[3]]
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(held >> bits));
        }
    }
    if bits > 0 {
        text.push(digit(held << (5 - bits)));
    }
    text
}

fn digit(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

/// Nothing for a text that [`base32`] never writes, in lower case.
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for typed in text.bytes() {
        let meant = match typed {
            b'o' => b'0',
            b'i' | b'l' => b'1',
            other => other,
        };
        let value = ALPHABET.iter().position(|known| *known == meant)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    let is_whole = bits < 5 && held & ((1 << bits) - 1) == 0;
    is_whole.then_some(bytes)
}

const PREFIX: &str = "fab1-";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The length goes into one byte. Host names have at most 253 characters, so with a long port it may not fit; such
/// names do not occur.
pub const ADDRESS_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token::new(Role::Node, "10.0.0.1:9999", Pin([7; 16]), 42)
    }

    #[test]
    fn tokens_survive_being_typed() {
        let text = token().to_string();
        assert!(text.starts_with("fab1-node-"), "{text}");
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(text.to_uppercase().parse(), Ok(token()));
        assert_eq!(
            format!(" {}\n  {} ", &text[..30], &text[30..]).parse(),
            Ok(token())
        );
        let typed = text.replace('0', "o").replace('1', "l");
        let typed = typed.replacen("fabl", "fab1", 1);
        assert_eq!(typed.parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains("42"));
    }

    #[test]
    fn cut_and_mistyped_tokens_are_told_as_such() {
        let text = token().to_string();
        for len in "fab1-".len()..text.len() {
            assert_eq!(text[..len].parse::<Token>(), Err(TokenError::Mistyped));
        }
        for at in "fab1-".len()..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(typed.parse::<Token>(), Err(TokenError::Mistyped), "{typed}");
        }
        let relabelled = text.replace("-node-", "-user-");
        assert_eq!(relabelled.parse::<Token>(), Err(TokenError::Mistyped));
        assert_eq!("hello".parse::<Token>(), Err(TokenError::NotAToken));
        let newer = text.replace("fab1", "fab2");
        assert_eq!(newer.parse::<Token>(), Err(TokenError::OtherVersion));
    }

    #[test]
    fn a_token_for_another_role_says_where_it_belongs() {
        assert_eq!(token().for_role(Role::Node), Ok(token()));
        assert_eq!(token().for_role(Role::User), Err(TokenError::IsForNodes));
        let user = Token::new(Role::User, "h:1", Pin([0; 16]), 1);
        let error = user.for_role(Role::Node).unwrap_err();
        assert!(error.to_string().contains("cargo deploy login"));
    }

    #[test]
    fn identifiers_come_back() {
        let id = token().id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("12".parse::<TokenId>().is_err());
    }

    proptest! {
        #[test]
        fn base32_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(from_base32(&base32(&bytes)), Some(bytes));
        }

        #[test]
        fn no_text_is_taken_for_a_token(text in "fab1-(node|user)-[0-9a-z]{0,120}") {
            prop_assert!(text.parse::<Token>().is_err());
        }
    }
}
