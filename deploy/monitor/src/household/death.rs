//! How a process ends: reaped, rid of what it left behind, heard to its last word, and made known.
//!
//! Why it ended is the head's to say.

use super::Household;
use crate::{head::Head, signals::SIGKILL, voice::STREAMS, watched::Source};
use deploy_sys::{cgroup::Occupancy, group_limits, pidfd::Process, process};
use deploy_wire::{
    exit::{End, Shortage},
    resources::Mem,
};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

impl Household {
    /// A process may have died. Returns whether to look again; the kernel tells only once, so never.
    pub(super) fn handle_end(&mut self, number: u32, head: &mut dyn Head, now: Instant) -> bool {
        // What it asked before it died counts; a fork of it that still asks does not.
        let _ = (0..LAST_TURNS_MAX).find(|_| !self.listen(number, head, now));
        let Some(child) = self
            .children
            .get_mut(&number)
            .filter(|child| !child.is_dead)
        else {
            return false;
        };
        let end = match child.reap() {
            Ok(Some(end)) => end,
            Ok(None) => return false,
            Err(error) => panic!("only the monitor reaps its children: {error}"),
        };
        child.is_dead = true;
        let allowance = child.allowance.as_ref();
        let mut shortage = allowance.and_then(|allowance| allowance.shortage(end));
        if let Some(leaf) = &mut child.leaf {
            // A process may live on without one of its own that was killed for want of memory.
            let may_be_why = self.about.is_limited && end != End::Code(0);
            let of_group = leaf.shortage().filter(|_| may_be_why).map(in_words);
            shortage = shortage.or(of_group);
            if may_be_why && leaf.has_met_tasks() {
                self.notes.push((number, TOO_MANY_TASKS.to_string()));
            }
            // Fails where the group has been removed under us, and then nothing is in it.
            let _ = leaf.kill();
        }
        child.voice.handle_death();
        for stream in STREAMS {
            self.ready.insert((number, Source::Output(stream)));
        }
        self.leaving.insert(number);
        head.handle_death(number, end, shortage);
        if self.is_deserted(head) {
            self.spare.dismiss();
        }
        self.kill_left_behind();
        false
    }

    /// Tells the end of every process that has said its last word.
    pub(super) fn farewell_all(&mut self, head: &mut dyn Head, now: Instant) {
        for number in self.leaving.clone() {
            let child = self
                .children
                .get_mut(&number)
                .expect("who is leaving is still here");
            if child.voice.is_over(now) {
                self.farewell(number, head, now);
            }
        }
    }

    fn farewell(&mut self, number: u32, head: &mut dyn Head, now: Instant) {
        let child = self
            .children
            .remove(&number)
            .expect("who is leaving is still here");
        self.leaving.remove(&number);
        self.ready.forget(number);
        self.lines.forget_all_of(number);
        head.handle_farewell(number, now);
        self.emptying.extend(child.leaf);
        self.clear_groups();
    }

    /// Keeps a few of the groups in which nothing is alive any more, and removes the others. To make and remove one
    /// takes the kernel ten times as long as to look whether it can be used again.
    fn clear_groups(&mut self) {
        for leaf in std::mem::take(&mut self.emptying) {
            let occupancy = match self.about.is_limited {
                true => Occupancy::Unknown, // What was counted in it would count for the next.
                false => leaf.occupancy(),
            };
            let has_room = self.vacant.len() < VACANT_GROUPS_MAX;
            match occupancy {
                Occupancy::AsNew if has_room => self.vacant.push(leaf),
                Occupancy::Populated => self.emptying.push(leaf),
                _ if leaf.try_remove() => {}
                _ => self.emptying.push(leaf),
            }
        }
    }

    /// Some child has ended, perhaps one that we only adopted.
    pub(crate) fn reap(&mut self) {
        while let Some(dead) = process::dead_child() {
            if self.is_own(dead) {
                // Its descriptor tells of it, and then whoever may stand behind it is looked at.
                self.attention.is_to_reap = true;
                break;
            }
            if self.about.strangers.contains(&dead) {
                let ours = self.own_children();
                process::reap_adopted(|child| ours.contains(&child));
                break;
            }
            process::reap(dead);
        }
        self.kill_left_behind();
    }

    fn is_own(&self, id: u32) -> bool {
        let mut children = self.children.values();
        self.spare.ids().any(|spare| spare == id)
            || children.any(|child| !child.is_dead && child.process.id() == id)
    }

    /// Without control groups: kills what dead processes left behind and could still speak in their name. What says
    /// nothing is killed when the job ends: nobody can tell whose it was.
    fn kill_left_behind(&mut self) {
        if self.tree.is_some() || self.leaving.is_empty() {
            return;
        }
        let ours = self.own_children();
        let children = process::children().into_iter();
        for adopted in children.filter(|child| !ours.contains(child)) {
            let mut voices = self
                .leaving
                .iter()
                .map(|number| &self.children[number].voice);
            if voices.any(|voice| voice.is_held_by(adopted)) {
                kill(adopted);
            }
        }
    }

    /// Kills and reaps every descendant that is left, in a bounded time; the last thing that a monitor does.
    pub(crate) fn clear(mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.dismiss();
        }
        drop(self.tree.take());
        if let Some(keeper) = self.keeper.take() {
            keeper.bury();
        }
        let start = Instant::now();
        loop {
            let strangers = &self.about.strangers;
            process::reap_adopted(|child| strangers.contains(&child));
            let mut left = process::children();
            left.retain(|child| !strangers.contains(child));
            if left.is_empty() || start.elapsed() > CLEARING_MAX {
                return;
            }
            left.into_iter().for_each(kill);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn own_children(&self) -> BTreeSet<u32> {
        let started = self.children.values().map(|child| child.process.id());
        started
            .chain(self.spare.ids())
            .chain(self.about.strangers.iter().copied())
            .collect()
    }
}

/// Kills a child that was adopted. Nobody but this thread reaps it, so the id is its own.
fn kill(adopted: u32) {
    if let Ok(process) = Process::open(adopted) {
        // Fails only for what has gained rights that we have not.
        let _ = process.signal(SIGKILL);
    }
}

/// The kernel's numbers as amounts.
fn in_words(shortage: group_limits::Shortage) -> Shortage {
    Shortage {
        limit: Mem::B * shortage.limit_bytes,
        peak: Mem::B * shortage.peak_bytes,
    }
}

/// As many as [`TASKS_MAX`](super::birth::TASKS_MAX).
const TOO_MANY_TASKS: &str = "it and what it started were 1024 processes and threads at once, which is as many as they may be: \
    spread them over several processes of the job";
/// As many as begin and end together where many do; each takes the kernel some 20 KiB.
const VACANT_GROUPS_MAX: usize = 16;
/// More than the socket holds.
const LAST_TURNS_MAX: usize = 1 << 10;
/// Killing takes some milliseconds; what is left after this cannot be killed at all.
const CLEARING_MAX: Duration = Duration::from_secs(1);
