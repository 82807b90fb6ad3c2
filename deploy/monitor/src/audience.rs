//! Whoever listens to a job: the terminal's bridge when it runs alone, the fabric otherwise.

use deploy_wire::event::{Event, Stream};
use std::time::Instant;

/// Told what becomes known of the processes, in order.
///
/// Nothing of it may wait: whoever writes to a slow place does so in a thread of its own, and wakes the monitor with
/// [`waker`](crate::Monitor::waker) when [`is_full`](Audience::is_full) or [`wants`](Audience::wants) has changed.
pub trait Audience {
    /// Something happened.
    fn handle_event(&mut self, event: Event, now: Instant);

    /// Whether no more output is to be read for now. Everything else goes on, and events other than output come.
    fn is_full(&self) -> bool;

    /// When it wants [`handle_timeout`](Audience::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;

    /// That time has come.
    fn handle_timeout(&mut self, now: Instant);

    /// Whether anybody still reads this stream. If not, the processes that write to it are told so by the kernel,
    /// as if each of them wrote to the place itself. Once false it stays false.
    fn wants(&self, stream: Stream) -> bool;

    /// An empty buffer to read output into, one of those that came with earlier events where that is possible.
    fn buffer(&mut self) -> Vec<u8>;
}
