//! Who is who in a job: who lives, who asked for whom, who is connected to whom, who waits for whom.
//!
//! A plain machine: it is told what happened (`handle_*`) and asked what to do about it ([`Roster::poll_action`]).
//! It has no process, socket or clock. A process is named by its number in the job. What processes ask is in
//! `roster/requests.rs`.
//!
//! # An end has two moments
//! First the process dies: whoever is linked to it follows, and it can be asked for nothing. Later, when its output
//! has been carried out, it is farewelled, and only then do others learn how it ended: so nobody hears of an end
//! before the last words.
//!
//! # What is kept of the dead
//! How each ended, in four bytes, for whoever asks later (`roster/past.rs`). So a job may have millions of processes over its
//! life, and costs what those cost that live.
//!
//! # Born too late for a signal
//! A person's signal reaches those who live. A process that was asked for before and born after it has missed it: if
//! its parent dies of that signal, it is sent the same one. If its parent lives on, it was asked for on purpose.

mod kept;
mod past;
mod requests;
#[cfg(test)]
mod tests;

use crate::signals::{SIGKILL, SignalSet};
use deploy_wire::{
    control::Notice,
    exit::{End, ExitStatus, Reason},
    pid::{Job, Pid},
};
use past::{Fate, Past};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All processes of a job, those that ended included.
#[derive(Debug)]
pub struct Roster {
    job: Job,
    /// Those that are to begin, live, or are not farewelled, by number.
    members: BTreeMap<u32, Member>,
    past: Past,
    actions: VecDeque<Action>,
    /// The signals that a person sent; whoever dies of one was interrupted.
    persons_signals: SignalSet,
}

/// What the loop has to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Tell a process something.
    Tell(u32, Notice),
    /// Connect these two and tell both.
    Connect(u32, u32),
    /// Kill a process and all that it started.
    Kill(u32),
    /// Send a process a signal that it has missed.
    Signal(u32, i32),
    /// Ask those who see the first whether it lives, because the second doubts it.
    Vouch(u32, u32),
}

#[derive(Debug)]
struct Member {
    /// Who asked for it.
    parent: Option<u32>,
    /// Those of the living that end when it does.
    linked_children: BTreeSet<u32>,
    /// Those of the living that were born after some person's signal.
    late_children: BTreeSet<u32>,
    /// The person's signals that came before it was born.
    missed: SignalSet,
    stage: Stage,
    /// Why it was sent SIGKILL, if we did that.
    doom: Option<Reason>,
    /// Who is connected to it and alive, or was when it ended.
    peers: BTreeSet<u32>,
    /// Who waits for its end, under which request's id.
    waiters: Vec<(u32, u64)>,
    /// For whose ends it waits itself.
    awaited: BTreeSet<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// From when it is to begin.
    Alive,
    Dead(ExitStatus),
}

impl Roster {
    /// A job without processes.
    pub fn new(job: Job) -> Roster {
        Roster {
            job,
            members: BTreeMap::new(),
            past: Past::default(),
            actions: VecDeque::new(),
            persons_signals: SignalSet::default(),
        }
    }

    /// Whether it has had as many processes as it can have over its life.
    pub fn is_exhausted(&self) -> bool {
        self.past.given() >= Pid::COUNT_MAX
    }

    /// The process with this number.
    pub fn pid(&self, number: u32) -> Pid {
        Pid::new(self.job, number)
    }

    /// The next process is to begin, connected to its parent if it has one. From now on it is one of them, and can be
    /// asked for, though it does not hear it yet. Returns its number.
    ///
    /// # Panics
    /// If the roster [is exhausted](Roster::is_exhausted).
    pub fn handle_birth(&mut self, parent: Option<u32>, is_linked: bool) -> u32 {
        assert!(!self.is_exhausted(), "who is asked before says so");
        let number = self.past.give();
        let member = Member {
            parent,
            linked_children: BTreeSet::new(),
            late_children: BTreeSet::new(),
            missed: self.persons_signals,
            stage: Stage::Alive,
            doom: None,
            peers: parent.into_iter().collect(),
            waiters: Vec::new(),
            awaited: BTreeSet::new(),
        };
        self.members.insert(number, member);
        let Some(parent) = parent else { return number };
        if let Some(parent) = self.members.get_mut(&parent) {
            if is_linked {
                parent.linked_children.insert(number);
            }
            if !self.persons_signals.is_empty() {
                parent.late_children.insert(number);
            }
            parent.peers.insert(number);
        } else if let Some(Fate::Ended(status)) = self.past.of(parent) {
            let (peer, status) = (self.pid(parent), Some(status));
            self.tell(number, Notice::Ended { peer, status });
        }
        if is_linked && !self.is_alive(parent) {
            self.doom(number, Reason::Linked);
        }
        number
    }

    /// A process that was to begin could not: there never was such a process. Its parent is not told by this.
    pub fn handle_stillbirth(&mut self, number: u32) {
        assert!(self.is_alive(number), "who has begun is not unborn");
        self.leave_relatives(number);
        let mut member = self.take(number, Fate::NeverBorn);
        if let Some(parent) = member.parent {
            member.peers.remove(&parent);
            if let Some(parent) = self.members.get_mut(&parent) {
                parent.peers.remove(&number);
            }
        }
        self.tell_all(number, member, None);
    }

    /// Who sees this process says that it lives.
    pub fn handle_vouched(&mut self, number: u32, to: u32) {
        if self.is_alive(number) {
            let peer = self.pid(number);
            self.tell(to, Notice::Lives { peer });
        }
    }

    /// A person sent this signal to the job, and everybody who lives has got it.
    pub fn handle_persons_signal(&mut self, signal: i32) {
        self.persons_signals.insert(signal);
        for member in self.members.values_mut() {
            member.missed.remove(signal);
        }
    }

    /// A person wants everything to end now.
    pub fn handle_persons_kill(&mut self) {
        for number in self.members.keys().copied().collect::<Vec<_>>() {
            self.doom(number, Reason::Interrupted);
        }
    }

    /// A person wants this process to end now.
    pub fn handle_persons_kill_of(&mut self, number: u32) {
        self.doom(number, Reason::Interrupted);
    }

    /// A process has died.
    pub fn handle_death(&mut self, number: u32, end: End) {
        let reason = match end {
            End::Signal(SIGKILL) => self.member(number).doom,
            _ => None,
        };
        let interrupted = || match end {
            End::Signal(signal) if self.persons_signals.contains(signal) => {
                Some(Reason::Interrupted)
            }
            _ => None,
        };
        self.bury(number, end, reason.or_else(interrupted));
    }

    /// A process has died, and whoever saw it knows why.
    pub fn handle_death_because(&mut self, number: u32, end: End, reason: Reason) {
        self.bury(number, end, Some(reason));
    }

    fn bury(&mut self, number: u32, end: End, reason: Option<Reason>) {
        let member = self.member(number);
        assert_eq!(member.stage, Stage::Alive, "a process dies once");
        let status = ExitStatus::new(end);
        member.stage = Stage::Dead(reason.map_or(status, |reason| status.because(reason)));
        let late_children = std::mem::take(&mut member.late_children);
        let linked_children = std::mem::take(&mut member.linked_children);
        self.leave_relatives(number);
        for child in linked_children {
            self.doom(child, Reason::Linked);
        }
        if let End::Signal(signal) = end {
            for child in late_children {
                self.signal_late(child, signal);
            }
        }
    }

    /// All that a dead process has said was carried out. Returns how it ended.
    pub fn handle_farewell(&mut self, number: u32) -> ExitStatus {
        let Stage::Dead(status) = self.member(number).stage else {
            panic!("a farewell comes after the death");
        };
        let member = self.take(number, Fate::Ended(status));
        self.tell_all(number, member, Some(status));
        status
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// One that lives no more is linked to nobody, is late for nothing, and waits for nobody.
    fn leave_relatives(&mut self, number: u32) {
        let member = self.member(number);
        let awaited = std::mem::take(&mut member.awaited);
        let parent = member.parent;
        if let Some(parent) = parent.and_then(|parent| self.members.get_mut(&parent)) {
            parent.linked_children.remove(&number);
            parent.late_children.remove(&number);
        }
        for other in awaited {
            if let Some(other) = self.members.get_mut(&other) {
                other.waiters.retain(|(waiter, _)| *waiter != number);
            }
        }
    }

    fn forget_wait(&mut self, waiter: u32, number: u32) {
        if let Some(waiter) = self.members.get_mut(&waiter) {
            waiter.awaited.remove(&number);
        }
    }

    /// It is a member no more.
    fn take(&mut self, number: u32, fate: Fate) -> Member {
        self.past.set(number, fate);
        self.members.remove(&number).expect(IS_MEMBER)
    }

    /// Tells everybody concerned how a process ended that was this, or that it never was.
    fn tell_all(&mut self, number: u32, member: Member, status: Option<ExitStatus>) {
        let peer = self.pid(number);
        for other in member.peers {
            if let Some(member) = self.members.get_mut(&other) {
                member.peers.remove(&number);
            }
            self.tell(other, Notice::Ended { peer, status });
        }
        for (waiter, id) in member.waiters {
            self.forget_wait(waiter, number);
            self.tell(waiter, Notice::Waited { id, status });
        }
    }

    /// The first reason stays: it is the one that it dies of.
    fn doom(&mut self, number: u32, reason: Reason) {
        let member = self.members.get_mut(&number);
        let living = member.filter(|member| member.stage == Stage::Alive);
        if let Some(member) = living.filter(|member| member.doom.is_none()) {
            member.doom = Some(reason);
            self.actions.push_back(Action::Kill(number));
        }
    }

    /// The parent has died of this signal. One that it has not missed is none of a person's, or came to it too.
    fn signal_late(&mut self, number: u32, signal: i32) {
        if self.is_alive(number) && self.member(number).missed.remove(signal) {
            self.actions.push_back(Action::Signal(number, signal));
        }
    }

    fn tell(&mut self, to: u32, notice: Notice) {
        if self.is_alive(to) {
            self.actions.push_back(Action::Tell(to, notice));
        }
    }

    /// From when it is to begin until it dies.
    fn is_alive(&self, number: u32) -> bool {
        let member = self.members.get(&number);
        member.is_some_and(|member| member.stage == Stage::Alive)
    }

    fn member(&mut self, number: u32) -> &mut Member {
        self.members.get_mut(&number).expect(IS_MEMBER)
    }

    /// How one ended of whom nothing is left.
    fn ended(&self, number: u32) -> Option<ExitStatus> {
        match self.past.of(number)? {
            Fate::Ended(status) => Some(status),
            Fate::Open | Fate::NeverBorn => None,
        }
    }

    fn known(&self, pid: Pid) -> Option<u32> {
        let fate = self.past.of(pid.number())?;
        let is_known = pid.job() == self.job && fate != Fate::NeverBorn;
        is_known.then_some(pid.number())
    }
}

const IS_MEMBER: &str = "a process is told of from when it is to begin until it is farewelled";
