//! The end of a process that ends by itself: what it has sent is delivered first.
//!
//! It runs after `main` has returned, or inside `exit`, when the ending thread's local values are gone; the reactor
//! and the user's other threads still run.

use crate::{link::Link, pool, process, turn::Look};
use deploy_sys::exit;
use deploy_wire::frame::Kind;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Has `drain` called at the end.
pub(crate) fn prepare() -> std::io::Result<()> {
    exit::at_exit(drain)
}

extern "C" fn drain() {
    let Some(process) = process::find() else {
        return;
    };
    if process.os_pid != std::process::id() {
        return; // A child that the user's code forked: its parent's connections are not its own.
    }
    pool::retire();
    process.links.hub.spin.stop(); // There is nothing left to be quick for, and others have work.
    let links = process.links.all();
    let mut owed: Vec<(Arc<Link>, u64)> = links
        .into_iter()
        .map(|link| (link.clone(), say_goodbye(&link)))
        .collect();
    let patience = Instant::now() + PATIENCE;
    owed.retain(|(link, sequence)| !is_taken_in(link, *sequence, Some(patience)));
    if owed.is_empty() {
        return;
    }
    process.control.note(waits_for(&owed));
    for (link, sequence) in owed {
        is_taken_in(&link, sequence, None);
    }
}

/// Blocks until the peer has everything up to `sequence`, or is gone, or until the deadline; says whether it is so.
fn is_taken_in(link: &Arc<Link>, sequence: u64, deadline: Option<Instant>) -> bool {
    // As long as the peer lives its runtime takes everything in, without its user's code: the window says so.
    let done = || link.is_delivered() || link.is_acknowledged(sequence) || link.has_ended();
    link.wait_until(deadline, || Look::of(done().then_some(())))
        .is_some()
}

/// What a person is told who wonders why the program does not end.
fn waits_for(owed: &[(Arc<Link>, u64)]) -> String {
    let (first, _) = &owed[0];
    let (who, have, whom) = match owed.len() - 1 {
        0 => (first.peer.to_string(), "has", "it"),
        1 => (
            format!("{} and another process", first.peer),
            "have",
            "them",
        ),
        more => (format!("{} and {more} others", first.peer), "have", "them"),
    };
    format!("waiting to end: {who} {have} not taken in what was sent to {whom}, and may be stopped")
}

/// The senders that are left end with the process; everything leaves now. Says how much the peer will have then.
fn say_goodbye(link: &Arc<Link>) -> u64 {
    let mut tx = link.tx();
    if tx.sender {
        tx.out.queue_end(Kind::Bye);
    }
    link.flush(&mut tx);
    tx.out.sequence()
}

/// How long a process that ends waits for its peers before it says so. It waits on for as long as they live: slow is
/// not lost.
const PATIENCE: Duration = Duration::from_secs(10);
