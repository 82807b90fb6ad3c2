//! Who belongs to a cluster: its authority, tokens, certificates, and the TLS sessions between its members.
//!
//! Deliberately absent: what members say to each other once they know one another, and the command line. There is no
//! way around any of it: a session either knows its peer by certificate, or can do nothing but join. What travels is in
//! `PROTOCOL.md` beside this crate.
//!
//! The story. `fabric master` makes an [`Authority`](authority::Authority): a key that signs certificates. A
//! [`Token`](token::Token) names the authority's key by its digest and holds a secret; whoever has it can
//! [`join`]: it makes a key of its own, connects to a master whose certificate leads to the key that the token
//! names, proves the secret, and gets a certificate. That is its [`Identity`](identity::Identity), and from then on
//! both sides of each [`Session`](session::Session) show theirs.
//!
//! ```
//! use deploy_trust::{authority::Authority, state::StateDir, subject::Role, token::Token, tokens::LIFETIME};
//! use std::time::SystemTime;
//!
//! # let path = std::env::temp_dir().join(format!("fabric-example-{}", std::process::id()));
//! let (dir, now) = (StateDir::open(&path)?, SystemTime::now());
//! let authority = Authority::open(&dir, now)?;
//! let token = authority.new_token(Role::User, "10.0.0.1:8888", LIFETIME, false, now)?;
//! // What the person copies, and what is made of it elsewhere.
//! let copied: Token = token.to_string().parse()?;
//! assert_eq!(copied.address, "10.0.0.1:8888");
//! let misused = copied.for_role(Role::Node).unwrap_err();
//! assert_eq!(misused.to_string(), "this is a user's token: use it with `cargo deploy login`");
//! # std::fs::remove_dir_all(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod authority;
pub mod client;
pub mod door;
pub mod endpoint;
mod error;
pub mod framing;
pub mod greeting;
pub mod identity;
pub mod insecure;
pub mod join;
pub mod keys;
mod known_key;
pub mod limits;
pub mod members;
mod peer;
pub mod places;
pub mod session;
pub mod state;
pub mod subject;
pub mod token;
pub mod tokens;
mod verify;
