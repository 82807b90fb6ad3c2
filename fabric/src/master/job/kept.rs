//! A job in bytes, from which the same one is made again: what its journal begins with once that has become long.
//!
//! Deliberately absent: what it was from the beginning, which the journal says before; what it has decided and nobody has done
//! yet; and the connections that are relayed, while there are any. Who writes a job down waits for a moment without.

use super::{
    Job, Killer, Place, Process, Stage,
    processes::Processes,
    room::{Spawn, Want},
    wardens::Warden,
};
use crate::{master::cluster::About, scheduler::NodeId};
use deploy_monitor::Roster;
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    control::Request,
    event::Stream,
    pid,
    resources::{Cpu, Mem, Resources},
};
use std::collections::BTreeMap;

/// Room that a job has, or waits for.
#[derive(Clone, PartialEq, Debug)]
pub struct Room {
    /// How much.
    pub resources: Resources,
    /// The only node it may be on.
    pub only: Option<String>,
    /// Where it would be best.
    pub near: Option<NodeId>,
    /// Whether it is queued for.
    pub wait: bool,
    /// Where it was granted.
    pub node: Option<NodeId>,
}

impl Job {
    /// Its bytes, if it can be written down now.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let is_quiet = self.deeds.is_empty() && !self.is_closing && !self.relays.is_busy();
        if !is_quiet {
            return None;
        }
        let mut w = Writer::new();
        w.bytes(&self.roster.encode());
        self.processes.write(&mut w);
        w.u32(self.begun).u32(self.gone).u32(self.initial);
        w.list(self.wardens.values(), |w, warden| {
            warden.place.write(w);
            w.option(warden.early.as_ref(), |w, early| {
                w.list(early.iter(), |w, (number, spawn)| {
                    spawn.write(w.u32(*number));
                });
            });
            w.bool(warden.is_closed);
        });
        w.u64(self.asks_made);
        w.list(self.asks.iter(), |w, (ask, want)| {
            w.u64(*ask);
            want.write(w);
        });
        self.way.write(&mut w);
        self.input.write(&mut w);
        self.relays.write(&mut w);
        w.list(self.unread.iter(), |w, stream| {
            stream.write(w);
        });
        w.list(self.killers.iter(), |w, (number, killer)| {
            w.u32(*number);
            match killer {
                Killer::Process(other) => w.u8(1).u32(*other),
                Killer::Person(who) => w.u8(2).text(who),
            };
        });
        w.list(self.losses.iter(), |w, (node, why)| {
            w.u32(node.number()).text(why);
        });
        w.list(self.apart.iter(), |w, (node, why)| {
            w.u32(node.number()).text(why);
        });
        w.text(&self.interrupter);
        Some(w.finish())
    }

    /// The job that these bytes say, which was this from the beginning.
    ///
    /// # Errors
    /// If they were written by something else.
    pub fn decode(id: pid::Job, about: &About, bytes: &[u8]) -> Result<Job, Malformed> {
        let r = &mut Reader::new(bytes);
        let mut job = Job::new(id, about.key, about.request.clone());
        job.deeds.clear(); // All that was done long ago.
        job.roster = Roster::decode(id, r.bytes()?)?;
        job.processes = Processes::read(r)?;
        (job.begun, job.gone, job.initial) = (r.u32()?, r.u32()?, r.u32()?);
        let warden = |r: &mut Reader<'_>| {
            let place = Place::read(r)?;
            let early = |r: &mut Reader<'_>| r.list(|r| Ok((r.u32()?, Spawn::read(r)?)));
            let warden = Warden {
                early: r.option(early)?,
                is_closed: r.bool()?,
                place,
            };
            Ok((warden.place.node, warden))
        };
        job.wardens = r.list(warden)?;
        job.asks_made = r.u64()?;
        let asks: Vec<_> = r.list(|r| Ok((r.u64()?, Want::read(r)?)))?;
        job.asks = asks.into_iter().collect();
        job.way.read(r)?;
        job.input.read(r)?;
        job.relays.read(r)?;
        job.unread = r.list(Stream::read)?;
        job.killers = r.list(|r| {
            let number = r.u32()?;
            let killer = match r.u8()? {
                1 => Killer::Process(r.u32()?),
                2 => Killer::Person(r.text()?.to_string()),
                _ => return Err(Malformed("an unknown kind of killer")),
            };
            Ok((number, killer))
        })?;
        let about_node = |r: &mut Reader<'_>| {
            let node = NodeId::from_number(r.u32()?);
            Ok((node, r.text()?.to_string()))
        };
        job.losses = r.list(about_node)?;
        job.apart = r.list(about_node)?;
        job.interrupter = r.text()?.to_string();
        match job.is_consistent() {
            true => Ok(job),
            false => Err(Malformed("its parts contradict each other")),
        }
    }

    /// Whether its parts are about the same processes: what one of them names is looked for in others, and has to be there.
    fn is_consistent(&self) -> bool {
        let count = self.processes.count();
        let is_known = |number: u32| number < count;
        let left = || self.processes.left();
        let lives = left().map(|(number, process)| (number, process.stage != Stage::Dead));
        let in_beginning = left().filter(|(_, process)| process.stage == Stage::Beginning);
        let fits = |(number, process): (u32, &Process)| {
            let asked = process.asked.is_none_or(|(from, _)| is_known(from));
            asked && self.processes.node(number) == Some(process.node)
        };
        let mut nodes = (0..count).filter_map(|number| self.processes.node(number));
        let is_asked = |want: &Want| match want {
            Want::Initial(_) => true,
            Want::Need { .. } => is_known(self.initial),
            Want::Spawn(spawn) => is_known(spawn.from),
        };
        self.roster.is_about(count, lives)
            && left().all(fits)
            && nodes.all(|node| self.wardens.contains_key(&node))
            && u64::from(self.gone) + left().count() as u64 == u64::from(count)
            && u64::from(self.begun) + in_beginning.count() as u64 == u64::from(count)
            && (count == 0 || is_known(self.initial))
            && self.asks.values().all(is_asked)
            && self.killers.keys().all(|number| is_known(*number))
    }

    /// The room that it has, and that it waits for.
    pub fn rooms(&self) -> BTreeMap<u64, Room> {
        let needs = |want: &Want| matches!(want, Want::Need { .. });
        // Who needs something else has given back what it had, and so has one in whose place another is.
        let is_given_back = self.asks.values().any(needs);
        let has_room = |(number, process): &(u32, &Process)| {
            let is_initial = *number == self.initial;
            !process.is_replaced && process.node != NodeId::HERE && !(is_initial && is_given_back)
        };
        let processes = self.processes.left().filter(has_room);
        let held = processes.map(|(_, process)| {
            let room = Room {
                resources: process.resources,
                only: None,
                near: None,
                wait: false,
                node: Some(process.node),
            };
            (process.ask, room)
        });
        let waits = |(ask, want): (&u64, &Want)| (*ask, self.room_of(want));
        held.chain(self.asks.iter().map(waits)).collect()
    }

    pub(super) fn room_of(&self, want: &Want) -> Room {
        let (resources, only, near, wait) = match want {
            Want::Initial(resources) => (*resources, None, None, false),
            Want::Need { resources, .. } => {
                (*resources, None, Some(self.node_of(self.initial)), false)
            }
            Want::Spawn(spawn) => {
                let request = &spawn.request;
                let near = Some(self.node_of(spawn.from)).filter(|near| *near != NodeId::HERE);
                (request.resources, request.node.clone(), near, request.wait)
            }
        };
        Room {
            resources,
            only,
            near,
            wait,
            node: None,
        }
    }
}

impl Process {
    pub(super) fn write(&self, w: &mut Writer) {
        w.u32(self.node.number()).u64(self.ask);
        w.option(self.asked, |w, (from, id)| {
            w.u32(from).u64(id);
        });
        w.text(&self.worker);
        write_resources(w, self.resources);
        w.u8(match self.stage {
            Stage::Beginning => 0,
            Stage::Alive => 1,
            Stage::Dead => 2,
            Stage::Gone => unreachable!("of those something is left"),
        });
        w.bool(self.is_announced).bool(self.is_replaced);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Process, Malformed> {
        Ok(Process {
            node: NodeId::from_number(r.u32()?),
            ask: r.u64()?,
            asked: r.option(|r| Ok((r.u32()?, r.u64()?)))?,
            worker: r.text()?.to_string(),
            resources: read_resources(r)?,
            stage: match r.u8()? {
                0 => Stage::Beginning,
                1 => Stage::Alive,
                2 => Stage::Dead,
                _ => return Err(Malformed("an unknown stage of a process")),
            },
            is_announced: r.bool()?,
            is_replaced: r.bool()?,
        })
    }
}

impl Want {
    fn write(&self, w: &mut Writer) {
        match self {
            Want::Initial(resources) => write_resources(w.u8(1), *resources),
            Want::Need { id, resources } => write_resources(w.u8(2).u64(*id), *resources),
            Want::Spawn(spawn) => spawn.write(w.u8(3)),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Want, Malformed> {
        Ok(match r.u8()? {
            1 => Want::Initial(read_resources(r)?),
            2 => Want::Need {
                id: r.u64()?,
                resources: read_resources(r)?,
            },
            3 => Want::Spawn(Spawn::read(r)?),
            _ => return Err(Malformed("an unknown want")),
        })
    }
}

impl Spawn {
    fn write(&self, w: &mut Writer) {
        let request = Request::Spawn(self.request.clone());
        w.u32(self.from).bytes(&request.encode());
        w.option(self.file.as_ref(), |w, file| {
            w.bytes(file);
        });
    }

    fn read(r: &mut Reader<'_>) -> Result<Spawn, Malformed> {
        Ok(Spawn {
            from: r.u32()?,
            request: match Request::decode(r.bytes()?)? {
                Request::Spawn(request) => request,
                _ => return Err(Malformed("room is wanted for something else")),
            },
            file: r.option(|r| Ok(r.bytes()?.to_vec()))?,
        })
    }
}

impl Place {
    fn write(&self, w: &mut Writer) {
        w.u32(self.node.number()).text(&self.name);
        w.option(self.address, |w, address| {
            w.text(&address.to_string());
        });
    }

    fn read(r: &mut Reader<'_>) -> Result<Place, Malformed> {
        Ok(Place {
            node: NodeId::from_number(r.u32()?),
            name: r.text()?.to_string(),
            address: r.option(|r| {
                let address = r.text()?.parse();
                address.map_err(|_| Malformed("an address is not one"))
            })?,
        })
    }
}

fn write_resources(w: &mut Writer, resources: Resources) {
    let Resources { mem, cpu, gpu } = resources;
    w.u64(mem.bytes()).u64(cpu.millionths()).u32(gpu);
}

fn read_resources(r: &mut Reader<'_>) -> Result<Resources, Malformed> {
    Ok(Resources {
        mem: Mem::B * r.u64()?,
        cpu: Cpu::from_millionths(r.u64()?),
        gpu: r.u32()?,
    })
}

#[cfg(test)]
impl Job {
    /// What it was from the beginning, and nobody's.
    pub fn about(&self) -> About {
        About {
            user: String::new(),
            key: self.key,
            request: self.request.clone(),
        }
    }
}
