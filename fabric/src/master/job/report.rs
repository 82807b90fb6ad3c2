//! What wardens report of a job: what its processes ask, and what becomes of them.
//!
//! Deliberately absent: room (`room.rs`).

use super::{Deed, Job, Killer, SIGKILL, Stage, room::Spawn};
use crate::{
    master::brief::{self, brief},
    scheduler::NodeId,
};
use deploy_wire::{
    control::{Notice, Refusal, Request},
    event::Event,
    exit::{End, ExitStatus, Reason},
    job::{JobOrder, JobReport},
    pid::Pid,
};

impl Job {
    /// A warden reports. Fails if the report makes no sense: then its node is not to be trusted.
    pub(super) fn handle_report(
        &mut self,
        node: NodeId,
        report: JobReport,
        file: Option<Vec<u8>>,
    ) -> Result<(), Nonsense> {
        if let Err(why) = self.check(node, &report) {
            return Err(Nonsense(format!("{}: {why}", brief(&in_short(report)))));
        }
        match report {
            JobReport::Opened => self.handle_opened(node),
            JobReport::Failed { why } => self.handle_failed(node, &why),
            JobReport::Asked { from, request } => self.handle_request(from, request, file),
            JobReport::Begun { number } => self.handle_begun(number),
            JobReport::NotBegun { number, why } => self.handle_not_begun(number, why),
            JobReport::Died {
                number,
                end,
                shortage,
            } => self.handle_death(number, end, shortage.map(Reason::OutOfMemory)),
            JobReport::Left { number } => self.handle_left(number),
            JobReport::Output {
                number,
                stream,
                bytes,
            } => {
                let pid = self.handle_output(node, number, bytes.len());
                self.tell_watchers(Event::Output { pid, stream, bytes });
            }
            JobReport::Packed {
                number,
                stream,
                packed,
            } => {
                let pid = self.handle_output(node, number, packed.stands_for());
                self.deeds.push_back(Deed::Pass {
                    pid,
                    stream,
                    packed,
                });
            }
            JobReport::Noted { number, text } => self.handle_note(number, text),
            JobReport::ConnectFailed { one, other, .. } => self.handle_connect_failed(one, other),
            JobReport::Relayed { channel, piece } => {
                return self.handle_relayed(node, channel, piece);
            }
            JobReport::Vouched { number, to } => self.roster.handle_vouched(number, to),
            JobReport::Cut { one, other } => self.handle_cut(one, other),
            JobReport::CutTold { number, peer } => self.handle_cut_told(number, peer),
            JobReport::InputTaken { bytes } => {
                if self.node_of(self.initial) == node {
                    self.handle_input_taken(bytes);
                }
            }
            JobReport::Closed => self.handle_closed(node),
            JobReport::Signalled { .. } => {} // Its client's word, and not plausible here.
        }
        self.follow();
        Ok(())
    }

    /// A node was lost, and what ran there was killed.
    pub(super) fn handle_node_lost(&mut self, node: NodeId, by: String) {
        if let Some(warden) = self.wardens.get(&node) {
            let why = format!("node {} was lost, by {by}", warden.place.name);
            self.losses.insert(node, by);
            self.apart.remove(&node);
            self.end_all_on(node, &why, Reason::NodeLost);
            self.follow();
        }
    }

    /// No warden can work on this node, or it works no more: then its node has killed it, and all that it had started.
    fn handle_failed(&mut self, node: NodeId, why: &str) {
        let name = self.wardens.get(&node).map(|warden| &warden.place.name);
        let told = name.map_or(why.to_string(), |name| format!("on node {name}: {why}"));
        self.go_elsewhere(node, why, &told);
        self.end_all_on(node, &told, Reason::Orphaned);
    }

    /// Nothing of the job is left on this node, for this reason; what was to begin there did not, and that is `why`.
    fn end_all_on(&mut self, node: NodeId, why: &str, reason: Reason) {
        let there = self.processes.left();
        let there = there.filter(|(_, process)| process.node == node);
        let numbers: Vec<u32> = there.map(|(number, _)| number).collect();
        for number in numbers {
            match self.stage(number) {
                Stage::Beginning => self.handle_not_begun(number, why.to_string()),
                Stage::Alive => {
                    self.handle_death(number, End::Signal(SIGKILL), Some(reason));
                    self.handle_left(number);
                }
                Stage::Dead => self.handle_left(number),
                Stage::Gone => {}
            }
        }
        self.handle_closed(node);
    }

    fn handle_request(&mut self, from: u32, request: Request, file: Option<Vec<u8>>) {
        match request {
            Request::Need { id, resources } => return self.handle_need(from, id, resources),
            _ => self.announce(from),
        }
        match request {
            Request::Spawn(request) => {
                let spawn = Spawn {
                    from,
                    request,
                    file,
                };
                if !self.is_closing {
                    self.ask_for(spawn);
                }
            }
            Request::Waits(_) => {} // Whoever has a clock hears that.
            Request::Withdraw { id, of: None } => {
                let meant = |spawn: &Spawn| spawn.from == from && spawn.request.id == id;
                self.withdraw(meant);
            }
            request => {
                self.note_killer(from, &request);
                if self.roster.handle_request(from, &request).is_err() {
                    self.order(from, JobOrder::Kill { number: from });
                }
            }
        }
    }

    /// Remembers who kills whom, for whoever asks why.
    fn note_killer(&mut self, from: u32, request: &Request) {
        if let Request::Kill { pid, .. } = request
            && pid.job() == self.id
            && self.is_alive(pid.number())
        {
            let killer = Killer::Process(from);
            self.killers.entry(pid.number()).or_insert(killer);
        }
    }

    /// The client hears of a process.
    fn announce(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(number) else {
            return; // It has ended, and that was told.
        };
        if std::mem::replace(&mut process.is_announced, true) {
            return;
        }
        let is_initial = process.asked.is_none();
        let event = Event::Spawned {
            pid: self.roster.pid(number),
            parent: process.asked.map(|(parent, _)| self.roster.pid(parent)),
            node: self.wardens[&process.node].place.name.clone(),
            worker: process.worker.clone(),
            resources: process.resources,
        };
        self.tell_watchers(event);
        if is_initial {
            self.settle_input();
        }
    }

    /// So much was written, and is to be paid for. Returns who has.
    fn handle_output(&mut self, node: NodeId, number: u32, len: usize) -> Pid {
        self.announce(number);
        self.way.handle_output(node, len as u64);
        self.roster.pid(number)
    }

    /// A person is told this of a process.
    pub(super) fn handle_note(&mut self, number: u32, text: String) {
        self.announce(number);
        let pid = self.roster.pid(number);
        self.tell_watchers(Event::Noted { pid, text });
    }

    fn handle_begun(&mut self, number: u32) {
        self.processes[number].stage = Stage::Alive;
        self.begun += 1;
        let process = &self.processes[number];
        let (node, asked) = (process.node, process.asked);
        self.handle_opened(node);
        if asked.is_some() {
            self.announce(number);
        }
        let Some((parent, id)) = asked.filter(|(parent, _)| self.node_of(*parent) != node) else {
            return;
        };
        let result = Ok(self.roster.pid(number));
        self.tell(
            parent,
            Notice::Spawned {
                id,
                result,
                seal: None,
            },
        );
        if self.stage(parent) == Stage::Alive {
            self.connect(number, parent);
        }
    }

    fn handle_not_begun(&mut self, number: u32, why: String) {
        let asked = self.processes[number].asked;
        self.never_begins(number);
        let refusal = Refusal::Launch { why };
        match asked {
            Some((from, id)) => self.refuse_spawn(from, id, refusal),
            None => self.fail(refusal),
        }
    }

    pub(super) fn never_begins(&mut self, number: u32) {
        self.roster.handle_stillbirth(number);
        let process = &self.processes[number];
        let (node, ask) = (process.node, process.ask);
        self.forget_early(node, number);
        self.processes.forget(number);
        self.begun += 1; // It counts as one that has come and gone.
        self.gone += 1;
        self.deeds.push_back(Deed::Release { ask });
    }

    fn handle_death(&mut self, number: u32, end: End, reason: Option<Reason>) {
        self.processes[number].stage = Stage::Dead;
        match reason {
            Some(reason) => self.roster.handle_death_because(number, end, reason),
            None => self.roster.handle_death(number, end),
        }
        self.withdraw(|spawn| spawn.from == number);
    }

    fn handle_left(&mut self, number: u32) {
        let process = &self.processes[number];
        let (ask, is_replaced) = (process.ask, process.is_replaced);
        self.gone += 1;
        self.deeds.push_back(Deed::Release { ask });
        let status = self.roster.handle_farewell(number);
        let pid = self.roster.pid(number);
        if !is_replaced {
            self.announce(number);
            let event = Event::Exited { pid, status };
            let by = self.cause(number, status);
            self.deeds.push_back(Deed::Tell { event, by });
        }
        self.processes.forget(number);
    }

    fn tell_watchers(&mut self, event: Event) {
        self.deeds.push_back(Deed::Tell { event, by: None });
    }

    /// Who brought about the end of a process, in words that follow "by", where somebody did and it is known.
    fn cause(&mut self, number: u32, status: ExitStatus) -> Option<String> {
        let killer = self.killers.remove(&number);
        let process = |number: u32| format!("process {}", self.roster.pid(number));
        let (parent, _) = self.processes[number].asked.unzip();
        match (status.reason()?, killer) {
            (Reason::Killed, Some(Killer::Process(other))) => Some(process(other)),
            (Reason::Linked, _) => parent.map(|parent| format!("the end of {}", process(parent))),
            (Reason::Interrupted, Some(Killer::Person(who))) => Some(who),
            (Reason::Interrupted, _) => Some(self.interrupter.clone()),
            (Reason::NodeLost, _) => self.losses.get(&self.node_of(number)).cloned(),
            _ => None,
        }
    }

    fn handle_closed(&mut self, node: NodeId) {
        if let Some(warden) = self.wardens.get_mut(&node) {
            warden.is_closed = true;
        }
        self.way.handle_closed(node);
        self.end_legs(node);
    }

    /// Whether this can come from that node now; if not, why not.
    fn check(&self, node: NodeId, report: &JobReport) -> Result<(), &'static str> {
        let is = |number: &u32, stages: &[Stage]| match self.processes.stage(*number) {
            None => Err("there is no such process"),
            Some(_) if self.node_of(*number) != node => Err("that process is on another node"),
            Some(stage) if !stages.contains(&stage) => Err(match stage {
                Stage::Beginning => "that process has not begun",
                Stage::Alive => "that process lives",
                Stage::Dead => "that process is dead",
                Stage::Gone => "that process is gone",
            }),
            Some(_) => Ok(()),
        };
        let known = |number: &u32| match *number < self.processes.count() {
            true => Ok(()),
            false => Err("there is no such process"),
        };
        match report {
            // It has no number, may come late, and is looked at where it is counted.
            JobReport::Relayed { .. } => Ok(()),
            _ if !self.has_warden(node) => Err("nothing of the job is there any more"),
            JobReport::Opened | JobReport::Failed { .. } | JobReport::Closed => Ok(()),
            JobReport::Signalled { .. } => Err("that is for a person's machine to say"),
            JobReport::Begun { number } | JobReport::NotBegun { number, .. } => {
                is(number, &[Stage::Beginning])
            }
            JobReport::Asked { from: number, .. } | JobReport::Died { number, .. } => {
                is(number, &[Stage::Alive])
            }
            JobReport::Vouched { number, to } => is(number, &[Stage::Alive]).and(known(to)),
            JobReport::Cut {
                one: number,
                other: peer,
            }
            | JobReport::CutTold { number, peer } => is(number, &[Stage::Alive]).and(known(peer)),
            // From one that was replaced it may come too late.
            JobReport::InputTaken { bytes } => match self.processes.count() == 0 {
                true => Err("there is no such process"),
                false if self.node_of(self.initial) == node && !self.is_sent(*bytes) => {
                    Err("that much was not sent")
                }
                false => Ok(()),
            },
            JobReport::Left { number } => is(number, &[Stage::Dead]),
            JobReport::Output { number, .. }
            | JobReport::Packed { number, .. }
            | JobReport::Noted { number, .. } => is(number, &[Stage::Alive, Stage::Dead]),
            JobReport::ConnectFailed { one, other, .. } => {
                is(one, &[Stage::Alive, Stage::Dead, Stage::Gone])?;
                known(other)?;
                match self.node_of(*other) == node {
                    true => Err("both are on that node"),
                    false => Ok(()),
                }
            }
        }
    }
}

/// No more output than is told of it: in words each byte is gone through, also behind the end of the line.
fn in_short(mut report: JobReport) -> JobReport {
    if let JobReport::Output { bytes, .. } = &mut report {
        bytes.truncate(brief::BYTES_MAX);
    }
    report
}

/// Why something that is told makes no sense, in words for whoever looks after the master.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(String);

impl Nonsense {
    pub(in crate::master) fn new(why: &str) -> Nonsense {
        Nonsense(why.to_string())
    }
}
