//! Starts processes, connects them, carries their voice out, tells how they ended.
//!
//! Deliberately absent: the terminal, the network, the user's library. Whoever listens is an [`Audience`]; whoever is
//! started speaks the messages of `deploy-wire` on the socket that it was born with.
//!
//! # The story
//! 1. The [`Monitor`] starts the initial process, number 0, with the caller's standard input.
//! 2. A process asks for another. The head says whether it fits, the launcher starts it, the asker is
//!    answered, the newborn is put into its control group and given its certificate with the connection to its parent.
//! 3. Processes ask to be connected, to wait for one another, to end one another; the head knows who they are.
//! 4. What they write comes by two pipes each and goes to the audience, while that has room.
//! 5. A process ends: it is reaped, what it left behind is killed, its pipes are read to their end (for at most a
//!    second longer than what it had written itself), and then everybody concerned is told.
//! 6. When all have ended, so does the monitor. If it is killed before, its keeper clears up.
//!
//! # Head and hands
//! Whoever decides is the [`Head`]; alone that is `Local`, made of the [`Roster`] and the ledger, plain machines that touch
//! nothing. The rest are the hands, and [`run`](Monitor::run) is their loop.

mod attention;
mod audience;
mod child;
mod exchange;
mod far;
mod greeting;
mod head;
mod household;
mod input;
mod interrupts;
mod keeper;
mod launcher;
mod ledger;
mod leg;
mod lines;
mod local;
mod memory;
mod outpost;
mod outside;
mod ready;
mod relay;
mod roster;
mod run;
mod signals;
mod spare;
mod standstill;
mod tether;
mod voice;
mod watched;

pub use audience::Audience;
pub use child::{Control, Overflow};
pub use exchange::Channels;
pub use far::Far;
pub use head::{Deed, Head};
pub use keeper::keep_if_asked;
pub use launcher::{Program, Wrap};
pub use outpost::{Outpost, Posting};
pub use roster::{Action, Roster};
pub use run::{Config, Monitor, MonitorError, Outcome};
pub use standstill::Standstill;
pub use tether::{Reported, Tether};
