//! What the plan has done next: calls handed out and asked back, workers started, let go and killed.
//!
//! Deliberately absent: what happened (`plan.rs`).

use super::{AHEAD, Deed, Member, Plan};
use crate::pool::worker::ANSWER_WAITS_MAX;
use std::time::{Duration, Instant};

impl Plan {
    /// What to do next.
    pub(crate) fn poll_deed(&mut self, now: Instant) -> Option<Deed> {
        if self.deeds.is_empty() {
            self.end_overdue(now);
            self.ask_back(now);
            while self.hand_next(now) {}
            self.grow(now);
            self.shrink(now);
        }
        self.deeds.pop_front()
    }

    /// When to ask again, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let growth = self.growth_after.filter(|_| self.waiting > 0);
        let overdue = self.members.values().filter_map(|member| self.due(member));
        let idle = self
            .idle()
            .filter_map(|(_, since)| since.checked_add(self.rules.idle));
        let idle = idle.min().filter(|_| self.has_spare_members());
        let held_up = self
            .members
            .values()
            .filter_map(|member| self.held_up(member));
        overdue.chain(growth).chain(idle).chain(held_up).min()
    }

    /// Hands the first call of the line to whoever can take it.
    fn hand_next(&mut self, now: Instant) -> bool {
        while let Some(id) = self.line.front()
            && !self.calls.contains_key(id)
        {
            self.line.pop_front(); // It was called off.
        }
        let Some(id) = self.line.front().copied() else {
            return false;
        };
        if self.handed >= self.rules.in_flight {
            return false;
        }
        let call = self.calls.get_mut(&id).expect("it was looked for above");
        // Otherwise it could share the death of a worker that it has nothing to do with.
        let is_alone = call.deaths > 0 || call.limits.retries == 0;
        let can_take = |member: &Member| {
            let is_free = member.calls.is_empty();
            let has_room = member.load < AHEAD && member.calls.len() < CALLS_AHEAD_MAX;
            let may_share = !is_alone && !member.is_alone && !member.is_held_up;
            !member.is_leaving && (is_free || (may_share && has_room))
        };
        let able = self
            .members
            .iter_mut()
            .filter(|(_, member)| can_take(member));
        let Some((worker, member)) =
            able.min_by_key(|(_, member)| (member.load, member.calls.len()))
        else {
            return false;
        };
        let function = call.function;
        let expected = self.paces.get(&function).and_then(|pace| pace.expected);
        let expected = expected.unwrap_or(AHEAD);
        if member.calls.is_empty() && member.since.is_some() {
            member.since = Some(now);
        }
        member.calls.push_back(id);
        member.load += expected;
        member.is_alone = is_alone;
        call.with = Some((*worker, expected));
        self.deeds.push_back(Deed::Hand(*worker, id));
        self.handed += 1;
        self.line.pop_front();
        self.count_waiting(function, -1);
        true
    }

    /// Starts a worker where that is worth it.
    fn grow(&mut self, now: Instant) {
        let count = self.members.len() + self.starting;
        if count == 0 {
            // One pauses while others work; and the end of a pause is heard by the connection to a worker.
            self.growth_after = None;
        }
        let at_least = self.rules.replicas_min.max(1);
        let is_called = self.waiting + self.handed > 0;
        if is_called && self.growth_after.is_none_or(|after| after <= now) {
            for _ in count..at_least {
                self.start();
            }
        }
        let count = self.members.len() + self.starting;
        let is_allowed = self.starting == 0
            && count < self.rules.replicas_max
            && self.handed < self.rules.in_flight
            && self.growth_after.is_none_or(|after| after <= now);
        if self.waiting > 0 && is_allowed && self.expected_wait() > WORTH_A_WORKER {
            self.start();
        }
    }

    fn start(&mut self) {
        self.deeds.push_back(Deed::Start(self.numbers));
        self.numbers += 1;
        self.starting += 1;
    }

    /// How long what is there now will take those who are there.
    fn expected_wait(&self) -> Duration {
        let line = self.paces.values().map(|pace| {
            let waiting = u32::try_from(pace.waiting).unwrap_or(u32::MAX);
            pace.expected.unwrap_or(AHEAD).saturating_mul(waiting)
        });
        let handed = self.members.values().map(|member| member.load);
        let all = line
            .chain(handed)
            .fold(Duration::ZERO, Duration::saturating_add);
        let able = self.members.values().filter(|member| !member.is_held_up);
        match able.count() {
            0 if !self.members.is_empty() => Duration::MAX,
            able => all / able.max(1) as u32,
        }
    }

    /// Lets the youngest go of those that have had nothing to do for long.
    fn shrink(&mut self, now: Instant) {
        if !self.has_spare_members() {
            return;
        }
        let is_over = |since: Instant| now.saturating_duration_since(since) >= self.rules.idle;
        let mut over = self.idle().filter(|(_, since)| is_over(*since));
        let Some((worker, _)) = over.next_back() else {
            return;
        };
        drop(over);
        self.members.remove(&worker);
        self.deeds.push_back(Deed::Dismiss(worker));
    }

    fn has_spare_members(&self) -> bool {
        self.members.len() > self.rules.replicas_min
    }

    /// Those that have nothing to do, and since when.
    fn idle(&self) -> impl DoubleEndedIterator<Item = (u32, Instant)> {
        let idle = |(worker, member): (&u32, &Member)| {
            let since = member.since.filter(|_| member.calls.is_empty())?;
            Some((*worker, since))
        };
        self.members.iter().filter_map(idle)
    }

    /// Kills the workers whose first call has run for too long.
    fn end_overdue(&mut self, now: Instant) {
        let overdue = |(worker, member): (&u32, &Member)| {
            let is_overdue = self.due(member).is_some_and(|due| due <= now);
            is_overdue.then_some(*worker)
        };
        let overdue: Vec<u32> = self.members.iter().filter_map(overdue).collect();
        for worker in overdue {
            let member = self.members.get_mut(&worker).expect("it was found above");
            member.is_leaving = true;
            let id = member
                .calls
                .pop_front()
                .expect("a member without is not overdue");
            self.handed -= 1;
            self.calls.remove(&id);
            self.deeds.push_back(Deed::Kill(worker, id));
        }
    }

    /// Asks back what lies behind calls that have run for long, the last first: so they come to be first in the line in
    /// their order.
    fn ask_back(&mut self, now: Instant) {
        let is_due = |member: &Member| self.held_up(member).is_some_and(|due| due <= now);
        let held_up = self.members.iter().filter(|(_, member)| is_due(member));
        let held_up: Vec<u32> = held_up.map(|(worker, _)| *worker).collect();
        for worker in held_up {
            let member = self.members.get_mut(&worker).expect("it was found above");
            member.is_held_up = true;
            let behind = member.calls.iter().skip(1).rev();
            let asked = behind.map(|id| Deed::CallOff(worker, *id));
            self.deeds.extend(asked);
        }
    }

    /// When what lies behind the first call of a worker is asked back, if another worker could have it.
    fn held_up(&self, member: &Member) -> Option<Instant> {
        let is_meant = member.calls.len() > 1 && !member.is_held_up && !member.is_leaving;
        let since = member
            .since
            .filter(|_| is_meant && self.rules.replicas_max > 1)?;
        Some(since + AHEAD)
    }

    /// When the first call of a worker has run for too long.
    fn due(&self, member: &Member) -> Option<Instant> {
        if member.is_leaving {
            return None;
        }
        let call = self.calls.get(member.calls.front()?)?;
        // Where others follow, its answer may be there and wait for company.
        let held = match member.calls.len() {
            1 => Duration::ZERO,
            _ => ANSWER_WAITS_MAX,
        };
        member
            .since?
            .checked_add(call.limits.timeout?)?
            .checked_add(held)
    }
}

/// And how many calls: so many may have run when a worker dies.
const CALLS_AHEAD_MAX: usize = 64;

/// About what a worker takes to begin. What waits for less is done before.
const WORTH_A_WORKER: Duration = Duration::from_millis(2);
