//! The roster by hand, and by families that do anything at all.

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
