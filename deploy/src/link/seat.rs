//! Where a task waits for a connection.
//!
//! Deliberately absent: the looks of the task, before and after (`future.rs`, `select.rs`, `pool/`).

use super::Link;
use crate::waits::Waiting;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::*},
    },
    task::Waker,
};

/// Where a task waits for a connection, for as long as one future, stream or select does: a task that waits for two
/// things has two, and leaves one without leaving the other. Dropped, it leaves nothing behind.
#[derive(Default)]
pub(crate) struct Seat(Option<(Arc<Link>, u64)>);

impl Seat {
    /// Has the connection's bell wake the task, once. The task looks again after this, before it waits.
    pub(crate) fn listen(&mut self, link: &Arc<Link>, task: &Waker, waiting: Option<Waiting>) {
        self.listen_for_bell(link, task, waiting);
        link.hand_over();
    }

    /// The same, but that the socket stays with who has it: what comes there is noticed when the reactor takes it back.
    pub(crate) fn listen_for_bell(
        &mut self,
        link: &Arc<Link>,
        task: &Waker,
        waiting: Option<Waiting>,
    ) {
        let (link, seat) = self
            .0
            .get_or_insert_with(|| (link.clone(), SEATS.fetch_add(1, Relaxed)));
        link.turn.listen_as_task(*seat, task, waiting);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((link, seat)) = &self.0 {
            link.turn.forget_task(*seat);
        }
    }
}

/// How many seats there were.
static SEATS: AtomicU64 = AtomicU64::new(0);
