//! The processes of a job and how they ended, folded from its events: for who asks why, and for who has missed some of them.
//!
//! A plain machine that forgets: it keeps all that live, the initial process, the first that failed and the latest that
//! ended.

use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    client::{Answer, LifeView},
    event::Event,
    exit::ExitStatus,
    pid::Pid,
    wait::Waits,
};
use std::collections::{BTreeMap, VecDeque};

/// Who is or was in a job.
#[derive(Default, Debug)]
pub struct Lives {
    /// By their numbers.
    lives: BTreeMap<u32, Life>,
    initial: Option<u32>,
    /// The first that failed by themselves, in order.
    failures: Vec<u32>,
    /// Others that ended, the earliest first.
    ended: VecDeque<u32>,
}

#[derive(Debug)]
struct Life {
    /// `Event::Spawned`, and its number among the job's events.
    spawned: (u64, Event),
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    sequence: u64,
    status: ExitStatus,
    by: Option<String>,
}

impl Lives {
    /// Takes in an event with its number; and who brought it about, if it is an end and that is known.
    pub fn handle_event(&mut self, sequence: u64, event: &Event, by: Option<String>) {
        match event {
            Event::Spawned { pid, parent, .. } => {
                if parent.is_none() {
                    self.initial = Some(pid.number());
                }
                let spawned = (sequence, event.clone());
                self.lives.insert(pid.number(), Life { spawned, end: None });
            }
            Event::Exited { pid, status } => self.handle_end(pid.number(), sequence, *status, by),
            Event::Output { .. } | Event::Noted { .. } => {}
        }
    }

    /// All that is known, in bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let mut write = |event: &Event, sequence: u64, by: Option<&String>| {
            let event = event.clone();
            w.bytes(&Answer::Event { event, sequence }.encode());
            w.option(by, |w, by| {
                w.text(by);
            });
        };
        for life in self.lives.values() {
            write(&life.spawned.1, life.spawned.0, None);
            if let Some(end) = &life.end {
                let (pid, status) = (life.pid(), end.status);
                write(
                    &Event::Exited { pid, status },
                    end.sequence,
                    end.by.as_ref(),
                );
            }
        }
        w.finish()
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// If they were written by something else.
    pub fn decode(bytes: &[u8]) -> Result<Lives, Malformed> {
        let mut r = Reader::new(bytes);
        let mut events = Vec::new();
        while !r.is_empty() {
            let Answer::Event { event, sequence } = Answer::decode(r.bytes()?)? else {
                return Err(Malformed("a life is known by events"));
            };
            let by = r.option(|r| Ok(r.text()?.to_string()))?;
            events.push((sequence, event, by));
        }
        events.sort_by_key(|(sequence, ..)| *sequence);
        let mut lives = Lives::default();
        for (sequence, event, by) in events {
            lives.handle_event(sequence, &event, by);
        }
        Ok(lives)
    }

    /// The process whose end the job's exit code comes from, as far as is known: the initial one if it failed, else the
    /// first that failed by itself.
    pub fn blamed(&self) -> Option<(Pid, ExitStatus)> {
        let number = self.blamed_number()?;
        let status = self.status(number)?;
        Some((self.lives[&number].pid(), status))
    }

    /// The initial process, once there is one.
    pub fn initial(&self) -> Option<Pid> {
        let life = self.lives.get(&self.initial?)?;
        Some(life.pid())
    }

    /// The process that people see under this name; without one the one to blame, the initial one, others that failed, others
    /// that were ended, and others that have waited for a while, as `waits` say.
    pub fn views(&self, process: Option<&str>, waits: &[(Pid, Waits)]) -> Vec<LifeView> {
        let mut views = self.views_of(process, waits);
        for view in &mut views {
            let waits = waits.iter().find(|(pid, _)| *pid == view.pid);
            view.waits = waits.map_or_else(Waits::default, |(_, waits)| waits.clone());
        }
        views
    }

    fn views_of(&self, process: Option<&str>, waits: &[(Pid, Waits)]) -> Vec<LifeView> {
        if let Some(name) = process {
            let mut lives = self.lives.keys();
            let is_meant = |number: &&u32| self.lives[number].pid().to_string() == name;
            let found = lives.find(is_meant).and_then(|number| self.view(*number));
            return found.into_iter().collect();
        }
        let mut numbers: Vec<u32> = self.blamed_number().into_iter().collect();
        let failures = self.failures.iter().take(FAILURES_SHOWN_MAX).copied();
        let has_ended_well = |number: &&u32| self.status(**number).is_some_and(|s| s.success());
        let ended = self.ended.iter().filter(|number| !has_ended_well(number));
        let ended = ended.take(FAILURES_SHOWN_MAX).copied();
        let waiting = waits.iter().take(WAITING_SHOWN_MAX);
        let waiting = waiting.map(|(pid, _)| pid.number());
        for number in self
            .initial
            .into_iter()
            .chain(failures)
            .chain(ended)
            .chain(waiting)
        {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        let views = numbers.into_iter().filter_map(|number| self.view(number));
        views.collect()
    }

    /// The births and ends between two numbers of events, the second left out, with their numbers and in order.
    pub fn events_between(&self, from: u64, until: u64) -> Vec<(u64, Event)> {
        let mut events: Vec<(u64, Event)> = Vec::new();
        for life in self.lives.values() {
            events.push(life.spawned.clone());
            if let Some(end) = &life.end {
                let (pid, status) = (life.pid(), end.status);
                events.push((end.sequence, Event::Exited { pid, status }));
            }
        }
        events.retain(|(sequence, _)| (from..until).contains(sequence));
        events.sort_by_key(|(sequence, _)| *sequence);
        events
    }

    fn handle_end(&mut self, number: u32, sequence: u64, status: ExitStatus, by: Option<String>) {
        let Some(life) = self.lives.get_mut(&number) else {
            return;
        };
        life.end = Some(End {
            sequence,
            status,
            by,
        });
        if self.initial == Some(number) {
            return;
        }
        if status.is_failure() && self.failures.len() < FAILURES_MAX {
            self.failures.push(number);
            return;
        }
        self.ended.push_back(number);
        if self.ended.len() > ENDED_MAX
            && let Some(earliest) = self.ended.pop_front()
        {
            self.lives.remove(&earliest);
        }
    }

    fn blamed_number(&self) -> Option<u32> {
        let has_failed =
            |number: &u32| self.status(*number).is_some_and(|status| !status.success());
        let initial = self.initial.filter(has_failed);
        initial.or(self.failures.first().copied())
    }

    fn status(&self, number: u32) -> Option<ExitStatus> {
        Some(self.lives.get(&number)?.end.as_ref()?.status)
    }

    fn view(&self, number: u32) -> Option<LifeView> {
        let life = self.lives.get(&number)?;
        let Event::Spawned {
            pid,
            parent,
            node,
            worker,
            resources,
        } = &life.spawned.1
        else {
            unreachable!("nothing else is kept of a birth");
        };
        Some(LifeView {
            pid: *pid,
            parent: *parent,
            node: node.clone(),
            worker: worker.clone(),
            resources: *resources,
            status: life.end.as_ref().map(|end| end.status),
            by: life.end.as_ref().and_then(|end| end.by.clone()),
            is_blamed: self.blamed_number() == Some(number),
            waits: Waits::default(),
        })
    }
}

impl Life {
    fn pid(&self) -> Pid {
        match &self.spawned.1 {
            Event::Spawned { pid, .. } => *pid,
            _ => unreachable!("nothing else is kept of a birth"),
        }
    }
}

/// The first failures are the causes; who has a thousand has read enough.
const FAILURES_MAX: usize = 1000;
/// Of those that ended well, or by somebody's will: some MiB at most.
const ENDED_MAX: usize = 10_000;
/// As many as somebody reads; and as many that somebody ended.
const FAILURES_SHOWN_MAX: usize = 100;
const WAITING_SHOWN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{
        exit::{self, Reason},
        pid::Job,
        resources::Resources,
    };

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(5), number)
    }

    fn spawned(number: u32) -> Event {
        Event::Spawned {
            pid: pid(number),
            parent: (number > 0).then(|| pid(0)),
            node: "n1".into(),
            worker: "test".into(),
            resources: Resources::default(),
        }
    }

    fn exited(number: u32, code: i32) -> Event {
        let status = ExitStatus::new(exit::End::Code(code));
        Event::Exited {
            pid: pid(number),
            status,
        }
    }

    fn lives(events: impl IntoIterator<Item = Event>) -> Lives {
        let mut lives = Lives::default();
        for (sequence, event) in (0..).zip(events) {
            lives.handle_event(sequence, &event, None);
        }
        lives
    }

    #[test]
    fn the_blame_is_that_of_the_exit_code() {
        let births = || (0..3).map(spawned);
        let check = |ends: &[(u32, i32)], expected: Option<u32>| {
            let ends = ends.iter().map(|(number, code)| exited(*number, *code));
            let blamed = lives(births().chain(ends)).blamed();
            assert_eq!(blamed.map(|(pid, _)| pid), expected.map(pid));
        };
        check(&[], None);
        check(&[(0, 0), (1, 0), (2, 0)], None);
        check(&[(2, 8), (1, 7), (0, 0)], Some(2));
        check(&[(2, 8), (0, 3)], Some(0));
        let mut killed = lives(births());
        let status = ExitStatus::new(exit::End::Signal(9)).because(Reason::Killed);
        let pid = pid(1);
        killed.handle_event(3, &Event::Exited { pid, status }, Some("ada".into()));
        assert_eq!(killed.blamed(), None);
        let view = &killed.views(Some(&pid.to_string()), &[])[0];
        assert_eq!((view.by.as_deref(), view.is_blamed), (Some("ada"), false));
    }

    #[test]
    fn who_asks_in_general_hears_of_the_first_cause_first() {
        let mut lives =
            lives(
                (0..6)
                    .map(spawned)
                    .chain([exited(3, 1), exited(1, 2), exited(2, 0)]),
            );
        let status = ExitStatus::new(exit::End::Signal(9)).because(Reason::Killed);
        let ended = Event::Exited {
            pid: pid(4),
            status,
        };
        lives.handle_event(9, &ended, Some("ada".into()));
        let pids: Vec<Pid> = lives.views(None, &[]).iter().map(|view| view.pid).collect();
        assert_eq!(pids, [pid(3), pid(0), pid(1), pid(4)]);
        assert!(lives.views(Some("none"), &[]).is_empty());
    }

    #[test]
    fn what_is_known_outlives_the_master() {
        let mut lives =
            lives(
                (0..5)
                    .map(spawned)
                    .chain([exited(3, 1), exited(1, 2), exited(2, 0)]),
            );
        let status = ExitStatus::new(exit::End::Signal(9)).because(Reason::Killed);
        let pid = pid(4);
        lives.handle_event(8, &Event::Exited { pid, status }, Some("ada".into()));
        let bytes = lives.encode();
        let again = Lives::decode(&bytes).unwrap();
        assert_eq!(format!("{again:?}"), format!("{lives:?}"));
        assert!((1..bytes.len()).any(|cut| Lives::decode(&bytes[..cut]).is_err()));
    }

    #[test]
    fn what_was_missed_can_be_told_again() {
        let lives = lives([
            spawned(0),
            spawned(1),
            exited(1, 0),
            spawned(2),
            exited(2, 7),
        ]);
        let sequences = |from, until| {
            let events = lives.events_between(from, until);
            events
                .iter()
                .map(|(sequence, _)| *sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(sequences(0, 100), [0, 1, 2, 3, 4]);
        assert_eq!(sequences(1, 3), [1, 2]);
        assert_eq!(lives.events_between(4, 5)[0].1, exited(2, 7));
    }

    #[test]
    fn of_those_that_ended_well_not_all_are_kept() {
        let pairs =
            (1..=ENDED_MAX as u32 + 5).flat_map(|number| [spawned(number), exited(number, 0)]);
        let lives = lives(
            [spawned(0), spawned(1 << 20), exited(1 << 20, 3)]
                .into_iter()
                .chain(pairs),
        );
        assert_eq!(lives.lives.len(), ENDED_MAX + 2);
        assert_eq!(lives.blamed().map(|(blamed, _)| blamed), Some(pid(1 << 20)));
    }
}
