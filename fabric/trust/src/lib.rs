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

#![forbid(unsafe_code)]

pub mod authority;
pub mod client;
pub mod door;
pub mod endpoint;
mod error;
mod framing;
pub mod identity;
pub mod insecure;
pub mod join;
pub mod keys;
pub mod members;
pub mod places;
pub mod session;
pub mod state;
pub mod subject;
pub mod token;
pub mod tokens;
mod verify;
