//! The head of a job that runs alone: the roster says who is who, the ledger what is granted, and an audience listens.
//!
//! Deliberately absent: any process, socket or clock.

use crate::{
    audience::Audience,
    head::{Deed, Head},
    ledger::{Ledger, Verdict},
    roster::{Action, Roster},
    standstill::Standstill,
};
use deploy_wire::{
    birth::Work,
    bytes::Malformed,
    control::{NodeResources, Notice, Refusal, Request, SpawnRequest},
    event::{Event, Stream},
    exit::{End, ExitStatus, Reason, Shortage},
    job::Begin,
    pid::Job,
    relay::Piece,
    resources::Resources,
    wait::Waits,
};
use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{BorrowedFd, OwnedFd},
    time::Instant,
};

/// Decides for all processes of a job, which are all here.
pub(crate) struct Local<'a> {
    node: String,
    roster: Roster,
    ledger: Ledger<Queued>,
    standstill: Standstill,
    audience: &'a mut dyn Audience,
    /// Those that hold resources, by number.
    residents: BTreeMap<u32, Resident>,
    /// Resources were granted for these.
    granted: VecDeque<Queued>,
    deeds: VecDeque<Deed>,
    /// How the initial process ended, or why it never began.
    initial: Option<Result<ExitStatus, String>>,
}

/// A process that another asked for.
#[derive(Debug)]
struct Queued {
    from: u32,
    request: Box<SpawnRequest>,
    file: Option<OwnedFd>,
}

/// A process from when it is to begin until it is farewelled.
#[derive(Debug)]
struct Resident {
    /// Who asked for it, and under which id.
    asked: Option<(u32, u64)>,
    /// What people call what it runs.
    worker: String,
    resources: Resources,
}

/// The initial process needs more than there is in all.
#[derive(Debug)]
pub(crate) struct NeverFits {
    pub(crate) capacity: Resources,
}

impl Local<'_> {
    /// The head of a job without processes, on a machine of that name.
    pub(crate) fn new<'a>(
        job: Job,
        node: String,
        capacity: Option<Resources>,
        audience: &'a mut dyn Audience,
    ) -> Local<'a> {
        Local {
            node,
            roster: Roster::new(job),
            ledger: Ledger::new(capacity),
            standstill: Standstill::default(),
            audience,
            residents: BTreeMap::new(),
            granted: VecDeque::new(),
            deeds: VecDeque::new(),
            initial: None,
        }
    }

    /// Decides that the job begins.
    pub(crate) fn begin_initial(
        &mut self,
        resources: Resources,
        worker: String,
    ) -> Result<(), NeverFits> {
        match self.ledger.ask(resources, false) {
            Verdict::Granted => {}
            Verdict::NeverFits { capacity } => return Err(NeverFits { capacity }),
            other => unreachable!("nothing is granted yet, but the answer was {other:?}"),
        }
        let number = self.roster.handle_birth(None, false);
        let resident = Resident {
            asked: None,
            worker,
            resources,
        };
        self.residents.insert(number, resident);
        let begin = Begin {
            number,
            parent: None,
            asked: None,
            work: None,
            resources,
        };
        self.deeds.push_back(Deed::Begin(Box::new(begin), None));
        Ok(())
    }

    /// How the initial process ended, or why it never began.
    pub(crate) fn initial(&self) -> Option<&Result<ExitStatus, String>> {
        self.initial.as_ref()
    }

    /// A process asks for another.
    fn handle_spawn(&mut self, queued: Queued) {
        let request = &queued.request;
        let asked = request.resources;
        let refusal = match &request.node {
            Some(node) if *node != self.node => {
                let why = format!("there is no node {node:?}, only {:?}", self.node);
                Refusal::Launch { why }
            }
            _ => match self.ledger.ask(asked, request.wait) {
                Verdict::Granted => return self.granted.push_back(queued),
                Verdict::AfterOthers => return self.ledger.queue(asked, queued),
                Verdict::OutOfResources { free } => Refusal::OutOfResources {
                    asked,
                    nodes: self.nodes(free),
                    others: 0,
                },
                Verdict::NeverFits { capacity } => Refusal::NeverFits {
                    asked,
                    nodes: self.nodes(capacity),
                    others: 0,
                },
            },
        };
        self.refuse(queued.from, request.id, refusal);
    }

    /// The resources are granted; now it gets its number.
    fn begin(&mut self, queued: Queued) -> Option<Deed> {
        let Queued {
            from,
            request,
            file,
        } = queued;
        let resources = request.resources;
        if self.roster.is_exhausted() {
            self.ledger.release(resources);
            let why = "the job has had as many processes as it can have over its life".to_string();
            self.refuse(from, request.id, Refusal::Launch { why });
            return self.deeds.pop_front();
        }
        let number = self.roster.handle_birth(Some(from), request.link);
        let resident = Resident {
            asked: Some((from, request.id)),
            worker: request.function.name.clone(),
            resources,
        };
        self.residents.insert(number, resident);
        let begin = Begin {
            number,
            parent: Some(from),
            asked: Some(request.id),
            resources,
            work: Some(Work::from(*request)),
        };
        Some(Deed::Begin(Box::new(begin), file))
    }

    fn refuse(&mut self, from: u32, id: u64, refusal: Refusal) {
        let result = Err(refusal);
        let notice = Notice::Spawned {
            id,
            result,
            seal: None,
        };
        self.deeds.push_back(Deed::Tell(from, notice));
    }

    fn nodes(&self, resources: Resources) -> Vec<NodeResources> {
        let name = self.node.clone();
        vec![NodeResources { name, resources }]
    }

    fn release(&mut self, number: u32) -> Resident {
        let resident = self.residents.remove(&number);
        let resident = resident.expect("who was to begin is here until it is farewelled");
        self.ledger.release(resident.resources);
        resident
    }
}

impl Head for Local<'_> {
    fn handle_request(
        &mut self,
        from: u32,
        request: Request,
        file: Option<OwnedFd>,
    ) -> Result<(), Malformed> {
        match request {
            Request::Spawn(request) => self.handle_spawn(Queued {
                from,
                request,
                file,
            }),
            Request::Withdraw { id, of: None } => {
                let is_meant = |queued: &Queued| queued.from == from && queued.request.id == id;
                self.ledger.forget(is_meant);
            }
            Request::Need { id, .. } => {
                // It was started with what `init` asked for in the first process, and has it.
                let resources = self.residents[&from].resources;
                let notice = Notice::Granted { id, resources };
                self.deeds.push_back(Deed::Tell(from, notice));
            }
            other => return self.roster.handle_request(from, &other),
        }
        Ok(())
    }

    fn handle_begun(&mut self, number: u32, now: Instant) {
        let resident = &self.residents[&number];
        let event = Event::Spawned {
            pid: self.roster.pid(number),
            parent: resident.asked.map(|(parent, _)| self.roster.pid(parent)),
            node: self.node.clone(),
            worker: resident.worker.clone(),
            resources: resident.resources,
        };
        self.audience.handle_event(event, now);
    }

    fn handle_vouched(&mut self, number: u32, to: u32) {
        self.roster.handle_vouched(number, to);
    }

    fn handle_not_begun(&mut self, number: u32, why: String) {
        self.roster.handle_stillbirth(number);
        match self.release(number).asked {
            Some((from, id)) => self.refuse(from, id, Refusal::Launch { why }),
            None => self.initial = Some(Err(why)),
        }
    }

    fn handle_death(&mut self, number: u32, end: End, shortage: Option<Shortage>) {
        match shortage.map(Reason::OutOfMemory) {
            Some(reason) => self.roster.handle_death_because(number, end, reason),
            None => self.roster.handle_death(number, end),
        }
        self.ledger.forget(|queued| queued.from == number);
        self.standstill.handle_end(number);
    }

    fn handle_farewell(&mut self, number: u32, now: Instant) {
        let asked = self.release(number).asked;
        let status = self.roster.handle_farewell(number);
        if asked.is_none() {
            self.initial = Some(Ok(status));
        }
        let pid = self.roster.pid(number);
        self.audience
            .handle_event(Event::Exited { pid, status }, now);
    }

    fn handle_persons_signal(&mut self, signal: i32) {
        self.roster.handle_persons_signal(signal);
    }

    fn handle_persons_kill(&mut self) {
        self.roster.handle_persons_kill();
    }

    fn handle_output(&mut self, number: u32, stream: Stream, bytes: Vec<u8>, now: Instant) {
        let pid = self.roster.pid(number);
        let event = Event::Output { pid, stream, bytes };
        self.audience.handle_event(event, now);
    }

    fn handle_waits(&mut self, number: u32, waits: Waits, now: Instant) {
        self.standstill.handle_waits(number, waits, now);
    }

    fn handle_note(&mut self, number: u32, text: String, now: Instant) {
        let pid = self.roster.pid(number);
        self.audience.handle_event(Event::Noted { pid, text }, now);
    }

    fn poll_deed(&mut self) -> Option<Deed> {
        if let Some(deed) = self.deeds.pop_front() {
            return Some(deed);
        }
        if let Some(action) = self.roster.poll_action() {
            return Some(action.into());
        }
        let granted = self.granted.pop_front();
        let queued = granted.or_else(|| self.ledger.poll_granted())?;
        self.begin(queued)
    }

    fn is_full(&self) -> bool {
        self.audience.is_full()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.standstill.poll_timeout();
        self.audience.poll_timeout().into_iter().chain(own).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.standstill.poll_timeout()) {
            for (number, text) in self.standstill.handle_timeout(now) {
                self.handle_note(number, text, now);
            }
        }
        if is_due(self.audience.poll_timeout()) {
            self.audience.handle_timeout(now);
        }
    }

    fn wants(&self, stream: Stream) -> bool {
        self.audience.wants(stream)
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.audience.buffer()
    }

    fn handle_not_connected(&mut self, one: u32, other: u32, why: String) {
        unreachable!("{one} and {other} are on one machine, but: {why}")
    }

    fn handle_cut(&mut self, one: u32, other: u32) {
        unreachable!("{one} and {other} are on one machine, with no network between them")
    }

    fn handle_cut_told(&mut self, number: u32, peer: u32) {
        unreachable!("nobody was to tell {number} of {peer}")
    }

    fn handle_relayed(&mut self, channel: u32, _: Piece) {
        unreachable!("both ends of connection {channel} are on one machine, and nothing is relayed")
    }

    fn handle_input_taken(&mut self, bytes: u64) {
        unreachable!("the initial process reads the shell's own descriptor, but took {bytes} bytes")
    }

    fn is_choked(&self) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        true // The initial process is begun before anything else, and the others by one another.
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn handle_socket(&mut self) {}
}

impl From<Action> for Deed {
    fn from(action: Action) -> Deed {
        match action {
            Action::Tell(number, notice) => Deed::Tell(number, notice),
            Action::Connect(one, other) => Deed::Connect(one, other),
            Action::Kill(number) => Deed::Kill(number),
            Action::Signal(number, signal) => Deed::Signal(number, signal),
            Action::Vouch(number, to) => Deed::Vouch(number, to),
        }
    }
}
