//! The end of a process that ends by itself: what it has sent is delivered first.
//!
//! It runs after `main` has returned, or inside `exit`, when the ending thread's local values are gone; the reactor
//! and the user's other threads still run.

use crate::{link::Link, process, turn::Look};
use deploy_sys::exit;
use deploy_wire::frame::Kind;
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
    process.links.hub.spin.stop(); // There is nothing left to be quick for, and others have work.
    let links = process.links.all();
    let last: Vec<u64> = links.iter().map(say_goodbye).collect();
    for (link, sequence) in links.iter().zip(last) {
        // As long as the peer lives its runtime takes everything in, without its user's code: the window says so.
        let done = || link.is_acknowledged(sequence) || link.has_ended();
        link.wait_until(None, || Look::of(done().then_some(())));
    }
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
