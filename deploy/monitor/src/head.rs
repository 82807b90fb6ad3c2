//! The head of a job: who decides. What it decides is done by the *hands*, which are all the rest of this crate.
//!
//! Deliberately absent: any decision. A program run alone has its head in the same process ([`Local`](crate::Local)); on
//! a cluster the head is the master, and here is only its voice.
//!
//! # The story
//! 1. The hands hear what a process asks, and tell the head: [`Head::handle_request`].
//! 2. The head decides, now or later, and has its deeds fetched: [`Head::poll_deed`]. They are done in that order.
//! 3. To begin a process is a deed, and the head gives it its number. The hands say whether they could:
//!    [`Head::handle_begun`] before anything else is heard of that process, or [`Head::handle_not_begun`].
//! 4. A process that was begun dies once ([`Head::handle_death`]), and is farewelled once when its last words were carried
//!    out ([`Head::handle_farewell`]): only then are others to learn of its end.
//!
//! Nothing here may wait: see [`Audience`](crate::Audience).

use deploy_wire::{
    bytes::Malformed,
    control::{Notice, Request},
    event::Stream,
    exit::{End, Shortage},
    job::Begin,
    relay::{Piece, Relay},
    wait::Waits,
};
use std::{
    net::SocketAddr,
    os::fd::{BorrowedFd, OwnedFd},
    time::Instant,
};

/// Whoever decides for a job. Processes are named by their number in it.
pub trait Head {
    /// A process asks something. Beside a spawn may come the `file` with its argument: exactly if the request says so.
    ///
    /// # Errors
    /// If it makes no sense; whoever asks that is killed.
    fn handle_request(
        &mut self,
        from: u32,
        request: Request,
        file: Option<OwnedFd>,
    ) -> Result<(), Malformed>;

    /// This process has begun; if its parent is here, the parent is being told.
    fn handle_begun(&mut self, number: u32, now: Instant);

    /// This process could not be begun: nobody was told anything.
    fn handle_not_begun(&mut self, number: u32, why: String);

    /// This process has died, and everything that it left behind; perhaps for want of memory.
    fn handle_death(&mut self, number: u32, end: End, shortage: Option<Shortage>);

    /// All that a dead process has said was handed over.
    fn handle_farewell(&mut self, number: u32, now: Instant);

    /// A person sent this signal to the monitor, and every process here has got it.
    fn handle_persons_signal(&mut self, signal: i32);

    /// A person wants everything to end now; nothing is begun any more.
    fn handle_persons_kill(&mut self);

    /// A process wrote this; it is not empty.
    fn handle_output(&mut self, number: u32, stream: Stream, bytes: Vec<u8>, now: Instant);

    /// A process says what it has waited for.
    fn handle_waits(&mut self, number: u32, waits: Waits, now: Instant);

    /// A person may want to know this line of a process.
    fn handle_note(&mut self, number: u32, text: String, now: Instant);

    /// So many bytes of the standard input that the head has given went where the initial process reads them.
    fn handle_input_taken(&mut self, bytes: u64);

    /// This process lives, which the other asked.
    fn handle_vouched(&mut self, number: u32, to: u32);

    /// These two could not be connected, one of which is here and the other on another machine.
    fn handle_not_connected(&mut self, one: u32, other: u32, why: String);

    /// The network between these two, of which the first is here and the second on another machine, was cut under their
    /// connection. Neither was told.
    fn handle_cut(&mut self, one: u32, other: u32);

    /// This process lives, and was told that it is cut off from the other.
    fn handle_cut_told(&mut self, number: u32, peer: u32);

    /// Something of a relayed connection is to go to its other end.
    fn handle_relayed(&mut self, channel: u32, piece: Piece);

    /// The next thing to do.
    fn poll_deed(&mut self) -> Option<Deed>;

    /// Whether no more output is to be read for now.
    fn is_full(&self) -> bool;

    /// When it wants [`Head::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;

    /// That time has come.
    fn handle_timeout(&mut self, now: Instant);

    /// Whether anybody still reads this stream; once false it stays false.
    fn wants(&self, stream: Stream) -> bool;

    /// An empty buffer to read output into.
    fn buffer(&mut self) -> Vec<u8>;

    /// Whether no more requests are to be handed on for now, because too many are on the way.
    fn is_choked(&self) -> bool;

    /// Whether it begins no process any more. Then the job is over here when the last one has ended.
    fn is_over(&self) -> bool;

    /// What it hears the rest of itself on, if that is elsewhere.
    fn socket(&self) -> Option<BorrowedFd<'_>>;

    /// There may be something to hear, or room to speak.
    fn handle_socket(&mut self);
}

/// Something for the hands to do. What is to be done to a process that has died is left undone.
#[derive(Debug)]
pub enum Deed {
    /// Begin a process. Beside it may be the file with its argument.
    Begin(Box<Begin>, Option<OwnedFd>),
    /// Tell a process something.
    Tell(u32, Notice),
    /// Connect these two, both of them here, and tell both.
    Connect(u32, u32),
    /// Connect the first, which is here, to the second, which is where this data port is.
    Dial(u32, u32, SocketAddr),
    /// Give a process here an end of a connection whose bytes go by way of the head.
    Relay(Box<Relay>),
    /// Something of such a connection came from its other end.
    Relayed(u32, Piece),
    /// Whatever was relayed is over.
    Part,
    /// Another machine has dialed, and said this.
    Accept(OwnedFd, Vec<u8>),
    /// Kill a process and all that it started.
    Kill(u32),
    /// Send a process a signal.
    Signal(u32, i32),
    /// Say whether the first lives, which the second asks ([`Head::handle_vouched`]), and tell it that their connection is over
    /// there. Nothing is to be said if it has ended: word of that comes as always.
    Vouch(u32, u32),
    /// Tell the first that it is cut off from the second ([`Head::handle_cut_told`]).
    Cut(u32, u32),
    /// Give the initial process these bytes to read; none of them: no more will come.
    Input(Vec<u8>),
    /// Kill everything, and begin nothing any more.
    End,
}
