//! The version of the sessions, and what one may take: numbers that both sides, the page and the errors agree on.

use deploy_sys::stream::Questions;
use std::time::Duration;

/// The version of the sessions, and of everything said in them that is not told apart otherwise.
pub const VERSION: u32 = 1;

/// How long somebody may take to say who it is.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// What somebody may say before it is known who it is: handshakes of ours need less than a sixth of it.
pub const UNKNOWN_BYTES_MAX: usize = 16 << 10;

/// A message of somebody unknown: greetings and requests to join need a few hundred bytes.
pub const UNKNOWN_MESSAGE_BYTES_MAX: u32 = 4 << 10;

/// A message between members: larger things are sent in pieces.
pub const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// When so much waits to be sent, no more is taken: the peer is slow, and whoever speaks has to wait for it.
pub const OUTBOUND_BYTES_MAX: usize = 4 << 20;

/// A message that goes ahead of others.
pub const AHEAD_BYTES_MAX: usize = 1 << 10;

/// What of a session the kernel keeps that is not on its way: what goes ahead waits behind that. On a line of 1 Mbit/s it
/// takes a second, and on a fast one it is far more than leaves before there is more.
pub const UNSENT_BYTES_MAX: usize = 128 << 10;

/// When nothing was said in a session for so long, the kernel asks whether the other machine is there. One that lost its power
/// says no goodbye, and a session in which nothing is due would be kept for ever.
pub const QUIET: Questions = Questions {
    idle_seconds: 10,
    every_seconds: 2,
    unanswered_max: 5,
};
