//! The end of a process that ends by itself: what it has sent is delivered first.
//!
//! It runs after `main` has returned, or inside `exit`, when the ending thread's local values are gone; the reactor
//! and the user's other threads still run.

use crate::{
    fatal,
    link::{Link, Look},
    pool, process,
    waits::{self, Waiting},
};
use deploy_sys::exit;
use deploy_wire::{frame::Kind, wait::Awaited};
use std::sync::Arc;

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
    let all: Vec<(Arc<Link>, u64)> = links
        .into_iter()
        .map(|link| (link.clone(), say_goodbye(&link)))
        .collect();
    let mut owed = all.clone();
    owed.retain(|(link, sequence)| !is_taken_in(link, *sequence));
    // All that are owed something are remembered for as long as the first of them keeps this process waiting: who looks
    // then sees all of them.
    let mut remembered: Vec<_> = owed
        .iter()
        .map(|(link, _)| waits::sleeps(link.peer, DELIVERY))
        .collect();
    for (link, sequence) in owed {
        link.wait_until(None, None, || {
            Look::of(is_taken_in(&link, sequence).then_some(()))
        });
        drop(remembered.remove(0));
    }
    // Whose connection is cut would take this end, as if all were well, for the end of what it has: so it is told before.
    for (link, _) in all
        .iter()
        .filter(|(link, sequence)| link.is_cut_before(*sequence))
    {
        process.control.doubt(link.peer);
    }
}

/// Whether the peer has everything up to `sequence`, or is gone. Where it is this process that closed the connection, what it
/// has sent is lost, and it does not end as if all were well.
fn is_taken_in(link: &Link, sequence: u64) -> bool {
    // As long as the peer lives its runtime takes everything in, without its user's code: the window says so.
    if link.is_delivered() || link.is_acknowledged(sequence) {
        return true;
    }
    let has_ended = link.has_ended();
    // A thread that sleeps on the socket holds it, whoever closed its number, and finds no end: so the number is looked at, too.
    if has_ended && link.was_closed_here() || link.has_lost_its_number() {
        fatal::closed_ours();
    }
    has_ended
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

/// What a process that ends waits for, for as long as its peers live: slow is not lost. A person is told of it as of any
/// wait that takes long.
const DELIVERY: Waiting = Waiting {
    what: Awaited::Delivery,
    type_name: "",
    at: None,
};
