//! All that the monitor holds of a running job. What is done with it is in the files below: each turn in `turn`, how a process
//! begins and ends in `birth` and `death`, what passes between it and us in `talk`, whom it is connected to in `connections`,
//! what signals ask in `heed`, what is started ahead in `spares`.
//!
//! Deliberately absent: any wait, which is the loop's in `run`. And what is held knows nothing of its household: each is told
//! what it needs, and says what it wants.

mod birth;
mod connections;
mod death;
mod heed;
mod spares;
mod talk;
mod turn;

use crate::{
    attention::Attention, child::Child, exchange::Exchange, head::Head, input::Input,
    keeper::Keeper, launcher::Launcher, lines::Lines, memory::MemoryWatch, outside::Outside,
    ready::Ready, relay::Relays, signals::SIGKILL, spare::Spare, voice::STREAMS,
};
use deploy_sys::{
    cgroup::{Leaf, Tree},
    process::DescriptorLimit,
};
use deploy_wire::{
    event::Stream,
    pid::{Job, Pid},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    time::Instant,
};

/// A running job.
#[derive(Debug)]
pub(crate) struct Household {
    pub(crate) about: About,
    pub(crate) registry: mio::Registry,
    pub(crate) attention: Attention,
    pub(crate) launcher: Launcher,
    pub(crate) tree: Option<Tree>,
    /// Connections with other machines, while they are being made.
    pub(crate) outside: Outside,
    /// Whether other machines are still reached.
    pub(crate) lines: Lines,
    /// Connections whose bytes go by way of the head.
    pub(crate) relays: Relays,
    /// The standard input of the initial process; this process's own, if none.
    pub(crate) input: Option<Input>,
    /// Who clears the tree away if this process is killed.
    pub(crate) keeper: Option<Keeper>,
    /// When to start it.
    pub(crate) keeper_due: Option<Instant>,
    /// Who looks at what processes use, where no control group limits it.
    pub(crate) memory: MemoryWatch,
    /// The group that the next process will be born in.
    pub(crate) nursery: Option<Leaf>,
    /// Groups whose processes have ended, in which others may be born.
    pub(crate) vacant: Vec<Leaf>,
    /// How many groups were made: each has a name of its own.
    pub(crate) groups_made: u64,
    /// What waits to become the next process.
    pub(crate) spare: Spare,
    /// Those that were started and not yet farewelled, by their number in the job.
    pub(crate) children: BTreeMap<u32, Child>,
    /// Those of them that have died.
    pub(crate) leaving: BTreeSet<u32>,
    /// What may have something to read. The kernel says so once, so it is remembered until there is nothing.
    pub(crate) ready: Ready,
    /// Connections to make once there are descriptors for them.
    pub(crate) postponed: VecDeque<(u32, u32)>,
    /// Those who could not be told something, for a reason that no event takes back.
    pub(crate) refused: BTreeSet<u32>,
    /// Those that can be told nothing any more, and until when each is expected to end.
    pub(crate) speechless: Vec<(Instant, u32)>,
    /// What a person is to be told of whom.
    pub(crate) notes: Vec<(u32, String)>,
    /// Whether it was said that descriptors are short.
    pub(crate) is_short_told: bool,
    /// Groups in which something was still dying.
    pub(crate) emptying: Vec<Leaf>,
    /// Whether everything was killed by a person: nothing is started any more.
    pub(crate) is_ending: bool,
    /// The streams that somebody still reads.
    heard: BTreeSet<Stream>,
    /// What requests are received into.
    packet: Vec<u8>,
}

/// What does not change while the job runs.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) job: Job,
    pub(crate) image: u128,
    /// Makes the connections.
    pub(crate) exchange: Exchange,
    pub(crate) signals_blocked: u64,
    /// Whether processes are limited to what they asked for, where control groups can do that.
    pub(crate) is_limited: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// The limit that processes get, which the monitor has raised for itself.
    pub(crate) descriptor_limit: DescriptorLimit,
    /// The standard input of all but the initial process.
    pub(crate) null: File,
    /// Children that this process had before it was a monitor.
    pub(crate) strangers: BTreeSet<u32>,
}

impl Household {
    /// A job without processes.
    pub(crate) fn new(
        about: About,
        registry: mio::Registry,
        attention: Attention,
        launcher: Launcher,
        tree: Option<Tree>,
        outside: Outside,
        input: Option<Input>,
    ) -> Household {
        let watches_memory = about.is_limited && !tree.as_ref().is_some_and(Tree::limits_memory);
        Household {
            about,
            registry,
            attention,
            launcher,
            tree,
            outside,
            lines: Lines::default(),
            relays: Relays::default(),
            input,
            keeper: None,
            keeper_due: None,
            memory: MemoryWatch::new(watches_memory),
            nursery: None,
            vacant: Vec::new(),
            groups_made: 0,
            spare: Spare::default(),
            children: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ready: Ready::default(),
            postponed: VecDeque::new(),
            refused: BTreeSet::new(),
            speechless: Vec::new(),
            notes: Vec::new(),
            is_short_told: false,
            emptying: Vec::new(),
            is_ending: false,
            heard: STREAMS.into(),
            packet: Vec::new(),
        }
    }

    /// The process with that number.
    pub(crate) fn pid(&self, number: u32) -> Pid {
        Pid::new(self.about.job, number)
    }

    /// Kills a process. What it started follows when it is reaped.
    pub(crate) fn kill(&mut self, number: u32) {
        self.signal(number, SIGKILL);
    }

    /// Sends a process a signal, unless it has died.
    pub(crate) fn signal(&self, number: u32, signal: i32) {
        if let Some(child) = self.children.get(&number).filter(|child| !child.is_dead) {
            // One that has changed its user may not be ours to signal any more, and is left to end by itself.
            let _ = child.process.signal(signal);
        }
    }

    /// Whether nobody lives who could ask for a process here: nobody here, and nobody elsewhere that the head speaks for.
    fn is_deserted(&self, head: &dyn Head) -> bool {
        self.leaving.len() == self.children.len() && head.is_over()
    }
}
