//! What a job wants room for, and what it does with the room: processes begin.
//!
//! # What the initial process needs
//! It is started with what the person said, or else with the default; what it asks for itself is known when its `init`
//! is reached, which is the first that it says. Where that does not fit beside what runs there, another initial process
//! takes its place on a node where it does, before any code behind `init` has run. So an initial process is announced
//! when it has said something else than what it needs: of one that was replaced nobody hears.
//!
//! Deliberately absent: what fits where.

use super::{Deed, Job, Place, Process, Stage, asks};
use crate::scheduler::NodeId;
use deploy_wire::{
    birth::Work,
    control::{Notice, Refusal, SpawnRequest},
    job::{Begin, JobOrder},
    resources::Resources,
};

/// Room is wanted for this.
#[derive(Debug)]
pub(super) enum Want {
    /// The initial process.
    Initial(Resources),
    /// The initial process that runs, which needs something else than it has.
    Need {
        /// Its request's.
        id: u64,
        resources: Resources,
    },
    /// A process that another asked for.
    Spawn(Spawn),
}

/// What a process asked for.
#[derive(Clone, Debug)]
pub(super) struct Spawn {
    pub from: u32,
    pub request: Box<SpawnRequest>,
    pub file: Option<Vec<u8>>,
}

impl Job {
    /// There is room for what was asked.
    pub(super) fn handle_granted(&mut self, ask: u64, place: Place) {
        let want = self.asks.remove(ask).expect("room is granted to who asks");
        let asker = match &want {
            Want::Initial(_) => None,
            Want::Need { .. } => Some(self.initial),
            Want::Spawn(spawn) => Some(spawn.from),
        };
        let is_wanted = asker.is_none_or(|asker| self.stage(asker) == Stage::Alive);
        if self.is_closing || !is_wanted {
            self.deeds.push_back(Deed::Release { ask });
        } else if self.roster.is_exhausted() {
            self.deeds.push_back(Deed::Release { ask });
            let why = "the job has had as many processes as it can have over its life".to_string();
            self.refuse(want, Refusal::Launch { why });
        } else {
            match want {
                Want::Initial(resources) => self.begin(ask, resources, None, place),
                Want::Need { id, resources } => self.meet(ask, id, resources, place),
                Want::Spawn(spawn) => {
                    let resources = spawn.request.resources;
                    self.begin(ask, resources, Some(spawn), place);
                }
            }
        }
        self.finish_if_empty();
    }

    /// There is no room for what was asked.
    pub(super) fn handle_refused(&mut self, ask: u64, refusal: Refusal) {
        let want = self.asks.remove(ask).expect("who asks is refused");
        self.refuse(want, refusal);
        self.follow();
    }

    /// Asks for room for what a process wants, unless too much waits for that already.
    pub(super) fn ask_for(&mut self, spawn: Spawn) {
        if self.asks.has_room_for(&spawn) {
            return self.ask(Want::Spawn(spawn));
        }
        let why = format!(
            "{} processes of this job wait for room, with {} MiB of arguments: wait for some of them before asking for more",
            self.asks.len(),
            asks::BYTES_MAX >> 20
        );
        self.refuse_spawn(spawn.from, spawn.request.id, Refusal::Launch { why });
    }

    /// Asks for room.
    pub(super) fn ask(&mut self, want: Want) {
        self.asks_made += 1;
        let ask = self.asks_made;
        let room = self.room_of(&want);
        self.asks.insert(ask, want);
        self.deeds.push_back(Deed::Ask {
            ask,
            resources: room.resources,
            node: room.only,
            near: room.near,
            wait: room.wait,
        });
    }

    /// Begins a process that has room: the initial one, if nobody asked for it.
    pub(super) fn begin(
        &mut self,
        ask: u64,
        resources: Resources,
        spawn: Option<Spawn>,
        place: Place,
    ) {
        let node = place.node;
        self.open(place);
        let asked = spawn.as_ref().map(|spawn| (spawn.from, spawn.request.id));
        let parent = asked.map(|(from, _)| from);
        let is_linked = spawn.as_ref().is_some_and(|spawn| spawn.request.link);
        let number = self.roster.handle_birth(parent, is_linked);
        let worker = match &spawn {
            Some(spawn) => spawn.request.function.name.clone(),
            None => self.request.worker.clone(),
        };
        if spawn.is_none() {
            self.initial = number;
        }
        self.remember(node, number, spawn.as_ref());
        self.processes.push(Process {
            node,
            ask,
            asked,
            worker,
            resources,
            stage: Stage::Beginning,
            is_announced: false,
            is_replaced: false,
        });
        let parent_is_here = |(from, _): &(u32, u64)| self.node_of(*from) == node;
        let (work, file) = match spawn {
            Some(spawn) => (Some(Work::from(*spawn.request)), spawn.file),
            None => (None, None),
        };
        let begin = Begin {
            number,
            parent,
            asked: asked.filter(parent_is_here).map(|(_, id)| id),
            work,
            resources,
        };
        let order = JobOrder::Begin(Box::new(begin));
        self.deeds.push_back(Deed::Order { node, order, file });
        if number == self.initial {
            self.repeat_input();
        }
        self.follow();
    }

    /// There is room for what the initial process needs: it stays, or another takes its place.
    fn meet(&mut self, ask: u64, id: u64, resources: Resources, place: Place) {
        let number = self.initial;
        let process = &mut self.processes[number];
        if process.node == place.node {
            let before = std::mem::replace(&mut process.ask, ask);
            process.resources = resources;
            self.deeds.push_back(Deed::Release { ask: before });
            self.settle_input();
            return self.tell(number, Notice::Granted { id, resources });
        }
        process.is_replaced = true;
        self.order(number, JobOrder::Kill { number });
        self.begin(ask, resources, None, place);
    }

    fn refuse(&mut self, want: Want, refusal: Refusal) {
        match want {
            Want::Spawn(Spawn { from, request, .. }) => {
                self.refuse_spawn(from, request.id, refusal)
            }
            Want::Initial(_) => self.fail(refusal),
            Want::Need { .. } => {
                if let Some(process) = self.processes.get_mut(self.initial) {
                    process.is_replaced = true;
                }
                self.fail(refusal);
                self.interrupter = "the master, which has no room for what it needs".to_string();
                self.roster.handle_persons_kill();
            }
        }
    }

    pub(super) fn refuse_spawn(&mut self, from: u32, id: u64, refusal: Refusal) {
        let result = Err(refusal);
        self.tell(
            from,
            Notice::Spawned {
                id,
                result,
                seal: None,
            },
        );
    }

    /// There will be no initial process.
    pub(super) fn fail(&mut self, refusal: Refusal) {
        self.is_closing = true;
        self.deeds.push_back(Deed::Refuse { refusal });
    }

    /// The initial process has reached its `init`.
    pub(super) fn handle_need(&mut self, from: u32, id: u64, resources: Resources) {
        let process = &self.processes[from];
        if from != self.initial || process.is_announced {
            return self.order(from, JobOrder::Kill { number: from });
        }
        if process.node == NodeId::HERE {
            return self.need_here(from, id, resources);
        }
        let has = process.resources;
        if self.request.resources.is_some() || has == resources {
            let resources = has;
            return self.tell(from, Notice::Granted { id, resources });
        }
        if !self.is_closing {
            // What it has is given back first, or it might not fit beside itself.
            let ask = process.ask;
            self.deeds.push_back(Deed::Release { ask });
            self.ask(Want::Need { id, resources });
        }
    }

    /// The initial process runs at its person's, where nothing is counted: what it needs is granted.
    fn need_here(&mut self, number: u32, id: u64, resources: Resources) {
        self.processes[number].resources = resources;
        self.tell(number, Notice::Granted { id, resources });
    }

    /// Those who asked for these are not there any more, or do not want them.
    pub(super) fn withdraw(&mut self, is_meant: impl Fn(&Spawn) -> bool) {
        let meant = |want: &Want| matches!(want, Want::Spawn(spawn) if is_meant(spawn));
        let asks = self.asks.iter().filter(|(_, want)| meant(want));
        let withdrawn: Vec<u64> = asks.map(|(ask, _)| *ask).collect();
        for ask in withdrawn {
            self.asks.remove(ask);
            self.deeds.push_back(Deed::Release { ask });
        }
    }
}
