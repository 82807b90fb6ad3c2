//! A worker's thread, started before it is known what the process is: it waits for the certificate itself, and is on its
//! way as soon as that comes. To start it only then takes as long as all the rest. Where the certificate is there first
//! nothing is gained, and a dozen more pages are touched: this is for those who wait.
//!
//! Deliberately absent: any word of the certificate but the name of the thread, which can be given to it only once. So the
//! monitor foretells it, and a thread of another name steps aside, as if it had never been.
//!
//! The main thread sleeps meanwhile, until there is something to do for a reactor: many a process ends before.

use super::{
    born::{cannot_begin, start, take_up},
    cradle::{Cradle, Papers},
};
use crate::reactor::Reactor;
use deploy_sys::{newborn, process as os};
use deploy_wire::birth::Expected;
use std::sync::mpsc::{self, Sender};

/// What the thread leaves to the main thread.
enum Left {
    /// Who is to hear while the function runs.
    Reactor(Reactor),
    /// All of it. This may be no process of a job, or another than was expected.
    Papers(Option<Papers>),
}

/// Waits for the certificate. Returns with what somebody else has to begin; never, in a process that is what was expected.
pub(super) fn wait(cradle: Cradle, expected: Expected) -> Option<Papers> {
    let Some(poller) = cradle.poller() else {
        return cradle.receive(); // It is said in there why there is none.
    };
    newborn::name_process();
    os::set_blocked_signals(expected.signals_blocked);
    let (leave, left) = mpsc::channel();
    let (name, waker) = (expected.name.clone(), poller.clone());
    let run = move || {
        let papers = cradle.receive();
        match papers {
            Some(papers) if papers.are_of(&expected) => begin(papers, &leave),
            papers => {
                // Neither fails: the main thread waits for it.
                let _ = leave.send(Left::Papers(papers));
                let _ = waker.wake();
            }
        }
    };
    start(name, run).unwrap_or_else(|error| cannot_begin(&error));
    poller.await_anything();
    match left.recv().expect("the thread says what it leaves") {
        Left::Reactor(reactor) => reactor.run(),
        Left::Papers(papers) => papers,
    }
}

/// Begins what was expected.
fn begin(papers: Papers, leave: &Sender<Left>) {
    let (reactor, task) = take_up(papers, None).unwrap_or_else(|error| cannot_begin(&error));
    let task = task.expect("what has a name of its own runs a function");
    // It does not fail: the main thread waits for it.
    let _ = leave.send(Left::Reactor(reactor));
    task.run()
}
