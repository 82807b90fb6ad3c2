//! Who is who in a job: who lives, who asked for whom, who is connected to whom, who waits for whom.
//!
//! A plain machine: it is told what happened (`handle_*`) and asked what to do about it ([`Roster::poll_action`]).
//! It has no process, socket or clock. A process is named by its number in the job.
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

use crate::signal_set::SignalSet;
use deploy_wire::{
    bytes::Malformed,
    control::{Notice, Request},
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

    /// A process asks for something else than a process. What it wants a person to know is not for the roster.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn handle_request(&mut self, from: u32, request: &Request) -> Result<(), Malformed> {
        match *request {
            Request::Connect { peer } => return self.handle_connect(from, peer),
            Request::Wait { id, pid } => self.handle_wait(from, id, pid),
            Request::Kill { id, pid } => self.handle_kill(from, id, pid),
            Request::Doubt { peer } => self.handle_doubt(from, peer),
            Request::Withdraw { id, of: Some(pid) } => self.handle_withdrawn_wait(from, id, pid),
            Request::Spawn(_)
            | Request::Waits(_)
            | Request::Need { .. }
            | Request::Withdraw { of: None, .. } => {
                return Err(Malformed("it is not about who is who"));
            }
        }
        Ok(())
    }

    /// A process wants to be connected to another.
    fn handle_connect(&mut self, from: u32, peer: Pid) -> Result<(), Malformed> {
        let Some(other) = self.known(peer) else {
            self.tell(from, Notice::Ended { peer, status: None });
            return Ok(());
        };
        if other == from {
            return Err(Malformed("a process asks to be connected to itself"));
        }
        let asks = self.members.get_mut(&from);
        if asks.is_none_or(|asks| asks.peers.contains(&other)) {
            return Ok(());
        }
        let Some(found) = self.members.get_mut(&other) else {
            let status = self.ended(other);
            self.tell(from, Notice::Ended { peer, status });
            return Ok(());
        };
        found.peers.insert(from);
        let asks = self.members.get_mut(&from);
        asks.expect("it was found just now").peers.insert(other);
        self.actions.push_back(Action::Connect(from, other));
        Ok(())
    }

    /// A process wants to know how another ends.
    fn handle_wait(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        let Some(awaited) = number.and_then(|number| self.members.get_mut(&number)) else {
            let status = number.and_then(|number| self.ended(number));
            return self.tell(from, Notice::Waited { id, status });
        };
        awaited.waiters.push((from, id));
        if let Some(waiter) = self.members.get_mut(&from) {
            waiter.awaited.insert(pid.number());
        }
    }

    /// A process wants to know no more how another ends.
    fn handle_withdrawn_wait(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        if let Some(awaited) = number.and_then(|number| self.members.get_mut(&number)) {
            awaited.waiters.retain(|waiter| *waiter != (from, id));
            if !awaited.waiters.iter().any(|(waiter, _)| *waiter == from) {
                self.forget_wait(from, pid.number());
            }
        }
    }

    /// A process wants another to end.
    fn handle_kill(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        if let Some(number) = number {
            self.doom(number, Reason::Killed);
        }
        let known = number.is_some();
        self.tell(from, Notice::KillSent { id, known });
    }

    /// A process has lost the connection to another and wants to know whether that lives. If it has ended, word of that
    /// comes as always; and it may have without our knowing yet.
    fn handle_doubt(&mut self, from: u32, peer: Pid) {
        let number = self.known(peer);
        if let Some(number) = number.filter(|number| self.is_alive(*number)) {
            self.actions.push_back(Action::Vouch(number, from));
        }
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
const SIGKILL: i32 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JOB: Job = Job::from_bits(42);

    fn pid(number: u32) -> Pid {
        Pid::new(JOB, number)
    }

    fn actions(roster: &mut Roster) -> Vec<Action> {
        std::iter::from_fn(|| roster.poll_action()).collect()
    }

    /// The initial process and `count - 1` children of its own.
    fn siblings(count: u32) -> Roster {
        let mut roster = Roster::new(JOB);
        roster.handle_birth(None, false);
        for _ in 1..count {
            roster.handle_birth(Some(0), false);
        }
        roster
    }

    fn ended(to: u32, peer: u32, status: ExitStatus) -> Action {
        let (peer, status) = (pid(peer), Some(status));
        Action::Tell(to, Notice::Ended { peer, status })
    }

    #[test]
    fn a_pair_is_connected_once_whoever_asks() {
        let mut roster = siblings(3);
        roster.handle_connect(1, pid(2)).unwrap();
        roster.handle_connect(2, pid(1)).unwrap();
        roster.handle_connect(1, pid(2)).unwrap();
        roster.handle_connect(1, pid(0)).unwrap();
        assert_eq!(actions(&mut roster), [Action::Connect(1, 2)]);
        assert!(roster.handle_connect(1, pid(1)).is_err());
    }

    #[test]
    fn an_end_is_told_after_the_last_words_only() {
        let mut roster = siblings(2);
        let status = ExitStatus::new(End::Code(7));
        roster.handle_wait(0, 5, pid(1));
        roster.handle_death(1, End::Code(7));
        assert_eq!(actions(&mut roster), []);
        assert_eq!(roster.handle_farewell(1), status);
        let waited = |id| {
            Action::Tell(
                0,
                Notice::Waited {
                    id,
                    status: Some(status),
                },
            )
        };
        assert_eq!(actions(&mut roster), [ended(0, 1, status), waited(5)]);
        roster.handle_wait(0, 6, pid(1));
        roster.handle_connect(0, pid(1)).unwrap();
        assert_eq!(actions(&mut roster), [waited(6), ended(0, 1, status)]);
    }

    #[test]
    fn strangers_are_nobody() {
        let mut roster = siblings(1);
        for stranger in [pid(9), Pid::new(Job::from_bits(1), 0)] {
            roster.handle_connect(0, stranger).unwrap();
            roster.handle_wait(0, 1, stranger);
            roster.handle_kill(0, 2, stranger);
            let told = [
                Notice::Ended {
                    peer: stranger,
                    status: None,
                },
                Notice::Waited {
                    id: 1,
                    status: None,
                },
                Notice::KillSent {
                    id: 2,
                    known: false,
                },
            ];
            assert_eq!(
                actions(&mut roster),
                told.map(|notice| Action::Tell(0, notice))
            );
        }
    }

    #[test]
    fn who_could_not_be_begun_never_was() {
        let mut roster = siblings(2);
        let number = roster.handle_birth(Some(1), true);
        // Whoever heard of it from a process that knew more than we.
        roster.handle_connect(0, pid(number)).unwrap();
        roster.handle_wait(0, 3, pid(number));
        assert_eq!(actions(&mut roster), [Action::Connect(0, number)]);
        roster.handle_stillbirth(number);
        let (peer, status) = (pid(number), None);
        let told = [
            Action::Tell(0, Notice::Ended { peer, status }),
            Action::Tell(0, Notice::Waited { id: 3, status }),
        ];
        assert_eq!(actions(&mut roster), told);
        roster.handle_death(1, End::Code(0));
        roster.handle_kill(0, 4, peer);
        let (id, known) = (4, false);
        let told = [Action::Tell(0, Notice::KillSent { id, known })];
        assert_eq!(actions(&mut roster), told);
    }

    #[test]
    fn who_is_doubted_lives_only_if_those_who_see_it_say_so() {
        let mut roster = siblings(3);
        let peer = pid(1);
        roster.handle_doubt(2, peer);
        assert_eq!(actions(&mut roster), [Action::Vouch(1, 2)]);
        roster.handle_vouched(1, 2);
        let told = Action::Tell(2, Notice::Lives { peer });
        assert_eq!(actions(&mut roster), [told]);
        // Its end was on the way meanwhile, and will be told.
        roster.handle_doubt(2, peer);
        roster.handle_death(1, End::Code(0));
        actions(&mut roster);
        roster.handle_vouched(1, 2);
        roster.handle_doubt(2, peer);
        assert_eq!(actions(&mut roster), []);
    }

    #[test]
    fn the_linked_follow_their_parent_and_others_do_not() {
        let mut roster = siblings(2);
        roster.handle_birth(Some(1), true);
        roster.handle_birth(Some(2), true);
        roster.handle_birth(Some(1), false);
        roster.handle_death(1, End::Code(0));
        assert_eq!(actions(&mut roster), [Action::Kill(2)]);
        roster.handle_death(2, End::Signal(SIGKILL));
        assert_eq!(actions(&mut roster), [Action::Kill(3)]);
        let linked = ExitStatus::new(End::Signal(SIGKILL)).because(Reason::Linked);
        assert_eq!(roster.handle_farewell(2), linked);
        // Its parent died while it was being started.
        roster.handle_birth(Some(1), true);
        assert_eq!(actions(&mut roster).last(), Some(&Action::Kill(5)));
    }

    #[test]
    fn a_reason_is_given_only_to_the_end_it_caused() {
        let check = |doom: fn(&mut Roster), end, reason: Option<Reason>| {
            let mut roster = siblings(2);
            doom(&mut roster);
            roster.handle_death(1, end);
            assert_eq!(roster.handle_farewell(1).reason(), reason, "{end:?}");
        };
        let killed: fn(&mut Roster) = |roster| roster.handle_kill(0, 1, pid(1));
        check(killed, End::Signal(SIGKILL), Some(Reason::Killed));
        check(killed, End::Code(0), None);
        check(|_| {}, End::Signal(SIGKILL), None);
        let asked: fn(&mut Roster) = |roster| roster.handle_persons_signal(2);
        check(asked, End::Signal(2), Some(Reason::Interrupted));
        check(asked, End::Signal(15), None);
        let ended: fn(&mut Roster) = Roster::handle_persons_kill;
        check(ended, End::Signal(SIGKILL), Some(Reason::Interrupted));
    }

    #[test]
    fn who_is_born_too_late_for_a_signal_shares_its_parents_fate() {
        let mut roster = siblings(2);
        roster.handle_persons_signal(2);
        roster.handle_birth(Some(1), false);
        roster.handle_birth(Some(1), false);
        roster.handle_birth(Some(2), false);
        roster.handle_birth(Some(0), false);
        roster.handle_death(3, End::Code(0));
        roster.handle_death(1, End::Signal(2));
        assert_eq!(actions(&mut roster), [Action::Signal(2, 2)]);
        roster.handle_death(2, End::Signal(2));
        assert_eq!(actions(&mut roster), [Action::Signal(4, 2)]);
        // A second one reaches all that live.
        roster.handle_persons_signal(2);
        roster.handle_death(0, End::Signal(2));
        assert_eq!(actions(&mut roster), []);
    }

    /// What happens to a family of at most eight.
    #[derive(Clone, Debug)]
    enum Step {
        Birth(u32, bool),
        Connect(u32, u32),
        Wait(u32, u32),
        Kill(u32, u32),
        Death(u32, End),
        Farewell(u32),
        Persons,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = 0..8u32;
        let step = prop_oneof![
            (one.clone(), any::<bool>()).prop_map(|(parent, link)| Step::Birth(parent, link)),
            (one.clone(), one.clone()).prop_map(|(from, to)| Step::Connect(from, to)),
            (one.clone(), one.clone()).prop_map(|(from, to)| Step::Wait(from, to)),
            (one.clone(), one.clone()).prop_map(|(from, to)| Step::Kill(from, to)),
            (one.clone(), prop_oneof![Just(SIGKILL), Just(2)])
                .prop_map(|(number, signal)| Step::Death(number, End::Signal(signal))),
            one.prop_map(Step::Farewell),
            Just(Step::Persons),
        ];
        proptest::collection::vec(step, 0..80)
    }

    /// What must hold of everything that was told, by what the test itself has seen.
    #[derive(Default)]
    struct Seen {
        alive: BTreeSet<u32>,
        dead: BTreeSet<u32>,
        gone: BTreeSet<u32>,
        /// Both orders of each pair.
        connected: BTreeSet<(u32, u32)>,
        killed: BTreeSet<u32>,
        waiting: Vec<(u32, u64)>,
        ends_told: BTreeSet<(u32, u32)>,
        /// The living who have missed a person's signal, and their parents.
        late: BTreeSet<(u32, u32)>,
        /// Those of them whose parent has died of it.
        to_signal: BTreeSet<u32>,
        is_interrupted: bool,
    }

    impl Seen {
        fn see(&mut self, action: Action) {
            match action {
                Action::Connect(one, other) => {
                    assert!(
                        self.connected.insert((one, other)),
                        "a pair is connected once"
                    );
                    assert!(self.connected.insert((other, one)));
                    assert!(!self.gone.contains(&one) && !self.gone.contains(&other));
                }
                Action::Kill(number) => {
                    assert!(self.alive.contains(&number) && self.killed.insert(number));
                }
                Action::Signal(number, signal) => {
                    assert_eq!(signal, 2);
                    assert!(self.to_signal.remove(&number), "only who has missed it");
                }
                Action::Vouch(number, to) => {
                    assert!(self.alive.contains(&number) && self.alive.contains(&to));
                }
                Action::Tell(to, notice) => {
                    assert!(
                        self.alive.contains(&to),
                        "only the living are told: {notice:?}"
                    );
                    self.hear(to, notice);
                }
            }
        }

        /// Whether a person's signal was the end of it.
        fn lose(&mut self, number: u32, end: End) -> bool {
            self.dead.insert(number);
            self.late.retain(|(_, child)| *child != number);
            let is_interrupted = self.is_interrupted && end == End::Signal(2);
            if is_interrupted {
                let of_it = |pair: &&(u32, u32)| pair.0 == number;
                self.to_signal = self.late.iter().filter(of_it).map(|pair| pair.1).collect();
                self.late.retain(|(parent, _)| *parent != number);
            }
            is_interrupted
        }

        fn hear(&mut self, to: u32, notice: Notice) {
            match notice {
                Notice::Ended { peer, status } => {
                    assert_eq!(status.is_some(), self.gone.contains(&peer.number()));
                    self.ends_told.insert((to, peer.number()));
                }
                Notice::Waited { id, .. } => {
                    let at = self.waiting.iter().position(|wait| *wait == (to, id));
                    self.waiting
                        .swap_remove(at.expect("one answer to each wait"));
                }
                Notice::KillSent { .. } => {}
                other => panic!("the roster does not say {other:?}"),
            }
        }
    }

    proptest! {
        /// Pairs are connected once, only the living are told and killed, waits are answered once, and every living
        /// process learns the end of everybody that it is connected with. Who is born after a person's signal, of a
        /// parent that dies of it, is sent it once.
        #[test]
        fn everybody_learns_what_concerns_them(steps in steps()) {
            let mut roster = siblings(1);
            let mut seen = Seen::default();
            seen.alive.insert(0);
            let mut interrupted = BTreeSet::new();
            let mut born = 1;
            for (id, step) in steps.into_iter().enumerate() {
                let id = id as u64;
                match step {
                    Step::Birth(parent, link) if seen.alive.contains(&parent) && born < 8 => {
                        roster.handle_birth(Some(parent), link);
                        seen.alive.insert(born);
                        seen.connected.extend([(parent, born), (born, parent)]);
                        if seen.is_interrupted {
                            seen.late.insert((parent, born));
                        }
                        born += 1;
                    }
                    Step::Connect(from, to) if seen.alive.contains(&from) => {
                        prop_assert_eq!(roster.handle_connect(from, pid(to)).is_err(), from == to);
                    }
                    Step::Wait(from, to) if seen.alive.contains(&from) => {
                        seen.waiting.push((from, id));
                        roster.handle_wait(from, id, pid(to));
                    }
                    Step::Kill(from, to) if seen.alive.contains(&from) => roster.handle_kill(from, id, pid(to)),
                    Step::Death(number, end) if seen.alive.remove(&number) => {
                        if seen.lose(number, end) {
                            interrupted.insert(number);
                        }
                        roster.handle_death(number, end);
                    }
                    Step::Persons => {
                        roster.handle_persons_signal(2);
                        seen.is_interrupted = true;
                        seen.late.clear();
                    }
                    Step::Farewell(number) if seen.dead.remove(&number) => {
                        seen.gone.insert(number);
                        let status = roster.handle_farewell(number);
                        let is_killed = seen.killed.contains(&number) && status.signal() == Some(SIGKILL);
                        prop_assert_eq!(status.reason().is_some(), is_killed || interrupted.contains(&number));
                    }
                    _ => {}
                }
                actions(&mut roster).into_iter().for_each(|action| seen.see(action));
                prop_assert!(seen.to_signal.is_empty(), "not signalled: {:?}", seen.to_signal);
            }
            for (one, other) in seen.connected.iter().copied() {
                if seen.alive.contains(&one) && seen.gone.contains(&other) {
                    prop_assert!(seen.ends_told.contains(&(one, other)), "{} was not told of {}", one, other);
                }
            }
        }
    }
}
