//! Who is who in a job: who lives, who asked for whom, who is connected to whom, who waits for whom.
//!
//! A plain machine: it is told what happened (`handle_*`) and asked what to do about it ([`Roster::poll_action`]).
//! It has no process, socket or clock. A process is named by its number in the job.
//!
//! # An end has two moments
//! First the process dies: whoever is linked to it follows, and it can be asked for nothing. Later, when its output
//! has been carried out, it is farewelled, and only then do others learn how it ended: so nobody hears of an end
//! before the last words.

use deploy_wire::{
    bytes::Malformed,
    control::Notice,
    exit::{End, ExitStatus, Reason},
    pid::{Job, Pid},
};
use std::collections::{BTreeSet, VecDeque};

/// All processes of a job, those that ended included.
#[derive(Debug)]
pub(crate) struct Roster {
    job: Job,
    members: Vec<Member>,
    actions: VecDeque<Action>,
    /// The signals that a person sent; whoever dies of one was interrupted.
    persons_signals: BTreeSet<i32>,
}

/// What the loop has to do.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Action {
    /// Tell a process something.
    Tell(u32, Notice),
    /// Connect these two and tell both.
    Connect(u32, u32),
    /// Kill a process and all that it started.
    Kill(u32),
}

#[derive(Debug)]
struct Member {
    /// Those that end when it does.
    linked_children: Vec<u32>,
    stage: Stage,
    /// Why it was sent SIGKILL, if we did that.
    doom: Option<Reason>,
    /// Who is connected to it and alive, or was when it ended.
    peers: BTreeSet<u32>,
    /// Who waits for its end, under which request's id.
    waiters: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Alive,
    Dead(ExitStatus),
    Farewelled(ExitStatus),
}

impl Roster {
    /// A job without processes.
    pub(crate) fn new(job: Job) -> Roster {
        Roster {
            job,
            members: Vec::new(),
            actions: VecDeque::new(),
            persons_signals: BTreeSet::new(),
        }
    }

    /// Who the next process will be, unless the job has had as many as it can.
    pub(crate) fn next(&self) -> Option<Pid> {
        let number = u32::try_from(self.members.len()).ok()?;
        (number < Pid::COUNT_MAX).then(|| Pid::new(self.job, number))
    }

    /// The process with this number.
    pub(crate) fn pid(&self, number: u32) -> Pid {
        Pid::new(self.job, number)
    }

    /// The next process lives, connected to its parent if it has one.
    pub(crate) fn handle_birth(&mut self, parent: Option<u32>, is_linked: bool) {
        let number = self.members.len() as u32;
        self.members.push(Member {
            linked_children: Vec::new(),
            stage: Stage::Alive,
            doom: None,
            peers: parent.into_iter().collect(),
            waiters: Vec::new(),
        });
        let Some(parent) = parent else { return };
        let peer = self.pid(parent);
        let parent = &mut self.members[parent as usize];
        if is_linked {
            parent.linked_children.push(number);
        }
        if let Stage::Farewelled(status) = parent.stage {
            let status = Some(status);
            self.tell(number, Notice::Ended { peer, status });
        } else {
            parent.peers.insert(number);
        }
        if is_linked && self.stage(peer.number()) != Stage::Alive {
            self.doom(number, Reason::Linked);
        }
    }

    /// A process wants to be connected to another.
    pub(crate) fn handle_connect(&mut self, from: u32, peer: Pid) -> Result<(), Malformed> {
        let Some(other) = self.known(peer) else {
            self.tell(from, Notice::Ended { peer, status: None });
            return Ok(());
        };
        if other == from {
            return Err(Malformed("a process asks to be connected to itself"));
        }
        if self.members[from as usize].peers.contains(&other) {
            return Ok(());
        }
        if let Stage::Farewelled(status) = self.members[other as usize].stage {
            self.tell(
                from,
                Notice::Ended {
                    peer,
                    status: Some(status),
                },
            );
            return Ok(());
        }
        self.members[from as usize].peers.insert(other);
        self.members[other as usize].peers.insert(from);
        self.actions.push_back(Action::Connect(from, other));
        Ok(())
    }

    /// A process wants to know how another ends.
    pub(crate) fn handle_wait(&mut self, from: u32, id: u64, pid: Pid) {
        let status = match self.known(pid).map(|number| (number, self.stage(number))) {
            Some((_, Stage::Farewelled(status))) => Some(status),
            Some((number, _)) => {
                self.members[number as usize].waiters.push((from, id));
                return;
            }
            None => None,
        };
        self.tell(from, Notice::Waited { id, status });
    }

    /// A process wants another to end.
    pub(crate) fn handle_kill(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        if let Some(number) = number {
            self.doom(number, Reason::Killed);
        }
        let known = number.is_some();
        self.tell(from, Notice::KillSent { id, known });
    }

    /// A person sent this signal to the job.
    pub(crate) fn handle_persons_signal(&mut self, signal: i32) {
        self.persons_signals.insert(signal);
    }

    /// A person wants everything to end now.
    pub(crate) fn handle_persons_kill(&mut self) {
        for number in 0..self.members.len() as u32 {
            self.doom(number, Reason::Interrupted);
        }
    }

    /// A process has died.
    pub(crate) fn handle_death(&mut self, number: u32, end: End) {
        let member = &mut self.members[number as usize];
        assert_eq!(member.stage, Stage::Alive, "a process dies once");
        let reason = match end {
            End::Signal(SIGKILL) if member.doom.is_some() => member.doom,
            End::Signal(signal) if self.persons_signals.contains(&signal) => {
                Some(Reason::Interrupted)
            }
            _ => None,
        };
        let status = ExitStatus::new(end);
        member.stage = Stage::Dead(reason.map_or(status, |reason| status.because(reason)));
        for child in std::mem::take(&mut member.linked_children) {
            self.doom(child, Reason::Linked);
        }
    }

    /// All that a dead process has said was carried out. Returns how it ended.
    pub(crate) fn handle_farewell(&mut self, number: u32) -> ExitStatus {
        let Stage::Dead(status) = self.stage(number) else {
            panic!("a farewell comes once, after the death");
        };
        let peer = self.pid(number);
        let member = &mut self.members[number as usize];
        member.stage = Stage::Farewelled(status);
        let (peers, waiters) = (
            std::mem::take(&mut member.peers),
            std::mem::take(&mut member.waiters),
        );
        for other in peers {
            self.members[other as usize].peers.remove(&number);
            self.tell(
                other,
                Notice::Ended {
                    peer,
                    status: Some(status),
                },
            );
        }
        for (waiter, id) in waiters {
            self.tell(
                waiter,
                Notice::Waited {
                    id,
                    status: Some(status),
                },
            );
        }
        status
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The first reason stays: it is the one that it dies of.
    fn doom(&mut self, number: u32, reason: Reason) {
        let member = &mut self.members[number as usize];
        if member.stage == Stage::Alive && member.doom.is_none() {
            member.doom = Some(reason);
            self.actions.push_back(Action::Kill(number));
        }
    }

    fn tell(&mut self, to: u32, notice: Notice) {
        if self.stage(to) == Stage::Alive {
            self.actions.push_back(Action::Tell(to, notice));
        }
    }

    fn stage(&self, number: u32) -> Stage {
        self.members[number as usize].stage
    }

    fn known(&self, pid: Pid) -> Option<u32> {
        let is_known = pid.job() == self.job && (pid.number() as usize) < self.members.len();
        is_known.then_some(pid.number())
    }
}

const SIGKILL: i32 = 9;
