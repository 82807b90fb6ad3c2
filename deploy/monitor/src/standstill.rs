//! Who has waited for whom, and what of that a person is to know: processes that wait for each other in a circle, and
//! those that cannot end because a peer does not take in what it was sent.
//!
//! # When it is certain
//! A process tells what each of its threads and tasks waits for, and whether it does nothing else; then it goes on only
//! when one of those peers does something. So whoever waits for one that may still go on may too; what is left when all
//! of those are taken away will wait for ever, unless somebody outside ends one of them. Nothing is said before it has
//! lasted: what a process has said to the contrary would have come by then.
//!
//! A plain machine. Deliberately absent: clocks, and what processes do in other ways than waiting for each other.

use deploy_wire::wait::{Awaited, Wait, Waits};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// The waits of all processes of a job, by their numbers.
#[derive(Default, Debug)]
pub struct Standstill {
    told: BTreeMap<u32, Told>,
    /// Those of whom a person knows that they cannot end.
    ending: BTreeSet<u32>,
    /// When to look; nothing, while nobody waits who was not looked at.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Told {
    waits: Waits,
    at: Instant,
    /// Whether a person knows of the circle that it is part of, or waits for.
    is_noted: bool,
}

impl Standstill {
    /// A process says what it has waited for.
    pub fn handle_waits(&mut self, number: u32, waits: Waits, now: Instant) {
        if waits.list.is_empty() {
            return self.handle_end(number);
        }
        let told = Told {
            waits,
            at: now,
            is_noted: false,
        };
        self.told.insert(number, told);
        self.due.get_or_insert(now + LASTS);
    }

    /// A process has died.
    pub fn handle_end(&mut self, number: u32) {
        self.told.remove(&number);
    }

    /// What a process has waited for, and for how long until now.
    pub fn waits(&self, number: u32, now: Instant) -> Option<Waits> {
        let told = self.told.get(&number)?;
        let mut waits = told.waits.clone();
        let since = now.saturating_duration_since(told.at).as_millis() as u64;
        for wait in &mut waits.list {
            wait.ms = wait.ms.saturating_add(since);
        }
        Some(waits)
    }

    /// Those that have waited for a while.
    pub fn waiting(&self) -> impl Iterator<Item = u32> {
        self.told.keys().copied()
    }

    /// When to call [`Standstill::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What was heard may be old, since whoever tells it is not heard just now: looks later.
    pub fn postpone(&mut self, now: Instant) {
        self.due = Some(now + AGAIN_AFTER);
    }

    /// That time has come. Returns what a person is to know, each of one process.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(u32, String)> {
        let lasts = |told: &Told| now.saturating_duration_since(told.at) >= LASTS;
        let later = self.told.values().filter(|told| !lasts(told));
        let next = later.map(|told| told.at + LASTS).min();
        self.due = next.map(|next| next.max(now + AGAIN_AFTER));
        let mut notes = self.endings(lasts);
        let stuck = self.stuck(lasts);
        let is_new = |circle: &&Circle| {
            let mut members = circle.members.iter();
            !members.any(|number| self.told[number].is_noted)
        };
        let circles = circles(&stuck);
        for circle in circles.iter().filter(is_new) {
            notes.push((circle.members[0], words(circle, &stuck)));
        }
        let stuck: Vec<u32> = stuck.into_keys().collect();
        for number in stuck {
            self.told.get_mut(&number).expect("it has told").is_noted = true;
        }
        notes
    }

    /// Those that have long tried to end.
    fn endings(&mut self, lasts: impl Fn(&Told) -> bool) -> Vec<(u32, String)> {
        let told = self.told.iter().filter(|(_, told)| lasts(told));
        let ending = told.filter_map(|(number, told)| {
            let is_delivery = |wait: &&Wait| wait.what == Awaited::Delivery;
            let peers: Vec<&Wait> = told.waits.list.iter().filter(is_delivery).collect();
            (!peers.is_empty()).then(|| (*number, waits_to_end(&peers)))
        });
        let ending: Vec<(u32, String)> = ending.collect();
        let is_new = |(number, _): &(u32, String)| self.ending.insert(*number);
        ending.into_iter().filter(is_new).collect()
    }

    /// Those for whom there is nobody left who may go on.
    fn stuck(&self, lasts: impl Fn(&Told) -> bool) -> Stuck<'_> {
        let still = |told: &Told| told.waits.is_all && lasts(told);
        let still = self.told.iter().filter(|(_, told)| still(told));
        let mut stuck: Stuck<'_> = still
            .map(|(number, told)| {
                let first = &told.waits.list[0];
                (*number, (first.peer.number(), first))
            })
            .collect();
        loop {
            let may_go_on = |number: &u32| {
                let waits = &self.told[number].waits.list;
                waits.iter().any(|wait| {
                    let peer = wait.peer.number();
                    !stuck.contains_key(&peer) || self.will_meet(*number, wait)
                })
            };
            let free: Vec<u32> = stuck.keys().copied().filter(may_go_on).collect();
            if free.is_empty() {
                return stuck;
            }
            stuck.retain(|number, _| !free.contains(number));
        }
    }

    /// Whether the peer is about to do what is waited for: it has, or will, when what is on its way has come.
    fn will_meet(&self, number: u32, wait: &Wait) -> bool {
        let met = match wait.what {
            Awaited::Value => Awaited::Room,
            Awaited::Room => Awaited::Value,
            Awaited::Arrival | Awaited::Delivery => return true,
            Awaited::End | Awaited::Answer => return false,
        };
        let peers = &self.told[&wait.peer.number()].waits.list;
        let is_met = |other: &Wait| other.what == met && other.peer.number() == number;
        peers.iter().any(is_met)
    }
}

/// Those that will wait for ever, each with the first other that it waits for, and how.
type Stuck<'a> = BTreeMap<u32, (u32, &'a Wait)>;

/// Processes each of which waits for the next, and the last for the first.
struct Circle {
    /// Beginning with the lowest number.
    members: Vec<u32>,
    /// How many others wait for one of them, or for one that does.
    followers: usize,
}

/// The circles that are there if each waits for one other only.
fn circles(stuck: &Stuck<'_>) -> Vec<Circle> {
    let mut circle_of = BTreeMap::new();
    let mut circles: Vec<Circle> = Vec::new();
    for start in stuck.keys() {
        let mut way = Vec::new();
        let mut at = *start;
        while !circle_of.contains_key(&at) && !way.contains(&at) {
            way.push(at);
            at = stuck[&at].0;
        }
        let (index, ahead) = match circle_of.get(&at) {
            Some(index) => (*index, way.len()),
            None => {
                let begin = way.iter().position(|number| *number == at);
                let begin = begin.expect("it was met on the way");
                let mut members = way[begin..].to_vec();
                let lowest = (0..members.len()).min_by_key(|index| members[*index]);
                members.rotate_left(lowest.unwrap_or(0));
                let followers = 0;
                circles.push(Circle { members, followers });
                (circles.len() - 1, begin)
            }
        };
        circles[index].followers += ahead;
        circle_of.extend(way.into_iter().map(|number| (number, index)));
    }
    circles
}

/// Who waits for whom, and where, all around a circle.
fn words(circle: &Circle, stuck: &Stuck<'_>) -> String {
    let members = &circle.members;
    let (_, last) = stuck[members.last().expect("a circle is not empty")];
    let mut words = format!("deadlock: {}", last.peer);
    for (index, number) in members.iter().take(SHOWN_MAX).enumerate() {
        let which = if index == 0 { "" } else { ", which" };
        words += &format!("{which} waits {}", stuck[number].1);
    }
    if let hidden @ 1.. = members.len().saturating_sub(SHOWN_MAX) {
        words += &format!(", and so on, over {hidden} more");
    }
    match circle.followers {
        0 => {}
        1 => words += "; another process waits with them",
        more => words += &format!("; {more} others wait with them"),
    }
    words
}

/// What a person is told who wonders why a process does not end.
fn waits_to_end(peers: &[&Wait]) -> String {
    let first = peers[0].peer;
    let (who, have, whom) = match peers.len() - 1 {
        0 => (first.to_string(), "has", "it"),
        1 => (format!("{first} and another process"), "have", "them"),
        more => (format!("{first} and {more} others"), "have", "them"),
    };
    format!("waiting to end: {who} {have} not taken in what was sent to {whom}, and may be stopped")
}

/// How long it lasts before a person is told: a process tells of its waits after one to two seconds, which makes some ten
/// in all. Word to the contrary never takes as long, unless a node is not heard at all.
const LASTS: Duration = Duration::from_secs(9);

/// Looking at all processes is not for each that begins to wait.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A longer circle says no more to anybody.
const SHOWN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::pid::{Job, Pid};
    use proptest::prelude::*;

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(3), number)
    }

    fn wait(what: Awaited, peer: u32) -> Wait {
        Wait {
            what,
            peer: pid(peer),
            type_name: "u64".into(),
            place: Some("src/main.rs:7".into()),
            ms: 2000,
        }
    }

    fn waits(list: Vec<Wait>) -> Waits {
        Waits { list, is_all: true }
    }

    /// What is noted when each of these waits for values of those beside it.
    fn noted(all: &[(u32, &[u32])]) -> Vec<u32> {
        let (mut standstill, now) = (Standstill::default(), Instant::now());
        for (number, peers) in all {
            let list = peers.iter().map(|peer| wait(Awaited::Value, *peer));
            standstill.handle_waits(*number, waits(list.collect()), now);
        }
        let notes = standstill.handle_timeout(now + LASTS);
        notes.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_circle_is_noted_where_nobody_in_it_may_go_on() {
        assert_eq!(noted(&[(0, &[1]), (1, &[0])]), [0]);
        assert_eq!(noted(&[(2, &[0]), (0, &[1]), (1, &[2])]), [0]);
        assert_eq!(noted(&[(0, &[1]), (1, &[2])]), []); // The last of them works.
        assert_eq!(noted(&[(0, &[1]), (1, &[0, 2])]), []); // It may hear of somebody who works.
        assert_eq!(noted(&[(0, &[1]), (1, &[0, 2]), (2, &[1])]), [0]);
        assert_eq!(noted(&[(0, &[1]), (1, &[0]), (5, &[6]), (6, &[5])]), [0, 5]);
    }

    #[test]
    fn the_note_says_who_waits_for_whom_and_where() {
        let (mut standstill, now) = (Standstill::default(), Instant::now());
        standstill.handle_waits(0, waits(vec![wait(Awaited::Value, 1)]), now);
        standstill.handle_waits(1, waits(vec![wait(Awaited::End, 0)]), now);
        standstill.handle_waits(2, waits(vec![wait(Awaited::Value, 0)]), now);
        assert_eq!(standstill.poll_timeout(), Some(now + LASTS));
        let (zero, one) = (pid(0), pid(1));
        let expected = format!(
            "deadlock: {zero} waits to receive u64 from {one} (src/main.rs:7), which waits for the end of {zero} \
             (src/main.rs:7); another process waits with them"
        );
        assert_eq!(standstill.handle_timeout(now + LASTS), [(0, expected)]);
        assert_eq!(standstill.handle_timeout(now + 2 * LASTS), []); // Once.
        assert_eq!(standstill.poll_timeout(), None);
        let waited = standstill.waits(2, now + LASTS).unwrap();
        assert_eq!(waited.list[0].ms, 11_000);
    }

    #[test]
    fn what_dissolves_in_time_is_not_noted() {
        let check = |end: fn(&mut Standstill, Instant)| {
            let (mut standstill, now) = (Standstill::default(), Instant::now());
            standstill.handle_waits(0, waits(vec![wait(Awaited::Value, 1)]), now);
            standstill.handle_waits(1, waits(vec![wait(Awaited::Value, 0)]), now);
            end(&mut standstill, now + LASTS / 2);
            assert_eq!(standstill.handle_timeout(now + LASTS), []);
        };
        check(|standstill, now| standstill.handle_waits(1, Waits::default(), now));
        check(|standstill, _| standstill.handle_end(1));
        // It waits anew, and that has not lasted.
        check(|standstill, now| {
            standstill.handle_waits(1, waits(vec![wait(Awaited::Value, 0)]), now);
        });
    }

    #[test]
    fn who_does_something_else_or_is_about_to_be_met_is_not_stuck() {
        let check = |one: Waits, other: Waits| {
            let (mut standstill, now) = (Standstill::default(), Instant::now());
            standstill.handle_waits(0, one, now);
            standstill.handle_waits(1, other, now);
            assert_eq!(standstill.handle_timeout(now + LASTS), []);
        };
        let value = |peer| waits(vec![wait(Awaited::Value, peer)]);
        let busy = Waits {
            is_all: false,
            ..value(0)
        };
        check(value(1), busy);
        // What one waits to send the other waits to receive: it is on its way.
        check(value(1), waits(vec![wait(Awaited::Room, 0)]));
        check(value(1), waits(vec![wait(Awaited::Arrival, 0)]));
    }

    #[test]
    fn who_cannot_end_is_noted_once_and_needs_no_circle() {
        let (mut standstill, now) = (Standstill::default(), Instant::now());
        let ending = |peers: &[u32]| Waits {
            list: peers
                .iter()
                .map(|peer| wait(Awaited::Delivery, *peer))
                .collect(),
            is_all: false,
        };
        standstill.handle_waits(0, ending(&[1, 2, 3]), now);
        let notes = standstill.handle_timeout(now + LASTS);
        let expected = format!(
            "waiting to end: {} and 2 others have not taken in what was sent to them, and may be stopped",
            pid(1)
        );
        assert_eq!(notes, [(0, expected)]);
        standstill.handle_waits(0, ending(&[3]), now + LASTS);
        assert_eq!(standstill.handle_timeout(now + 3 * LASTS), []);
    }

    proptest! {
        /// Against the plainest way to say it: nobody who is noted can be set free by anybody who works.
        #[test]
        fn nobody_is_noted_who_may_go_on(
            peers in proptest::collection::vec(proptest::collection::vec(0u32..12, 1..3), 1..10),
        ) {
            let all: Vec<(u32, &[u32])> = (0..).zip(peers.iter().map(Vec::as_slice)).collect();
            let mut free: BTreeSet<u32> = (peers.len() as u32..12).collect();
            for _ in 0..12 {
                for (number, peers) in &all {
                    if peers.iter().any(|peer| free.contains(peer)) {
                        free.insert(*number);
                    }
                }
            }
            let noted = noted(&all);
            prop_assert!(noted.iter().all(|number| !free.contains(number)));
            let is_any_stuck = free.len() < 12;
            prop_assert_eq!(is_any_stuck, !noted.is_empty());
        }
    }
}
