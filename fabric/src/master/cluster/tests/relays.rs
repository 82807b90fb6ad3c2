//! Connections that go through here.

use super::*;

/// Two processes on two nodes, neither of which can dial the other. Also the ends that were given out, the latest last.
fn apart() -> (World, [NodeId; 2], Vec<Relay>) {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let second = nodes.into_iter().find(|node| *node != first).unwrap();
    world.report(first, JobReport::Begun { number: 0 });
    let there = if second < first { "n0" } else { "n1" };
    world.ask(first, 0, spawn(5, Resources::default(), Some(there)));
    world.report(second, JobReport::Begun { number: 1 });
    let failed = |one, other| {
        let why = "no route".to_string();
        JobReport::ConnectFailed { one, other, why }
    };
    world.report(second, failed(1, 0));
    let dialed = |order: &JobOrder| {
        matches!(
            order,
            JobOrder::Connect {
                one: 0,
                other: 1,
                ..
            }
        )
    };
    let last = world.orders.last().unwrap();
    assert!(last.0 == first && dialed(&last.1), "{last:?}");
    world.report(first, failed(0, 1));
    let relays = world.orders.iter().filter_map(|(_, order)| match order {
        JobOrder::Relay(relay) => Some((**relay).clone()),
        _ => None,
    });
    let relays = relays.collect();
    (world, [first, second], relays)
}

#[test]
fn who_cannot_be_dialed_either_way_is_connected_through_here() {
    let (mut world, [first, second], relays) = apart();
    let [one, other] = &relays[..] else {
        panic!("two ends were given out, and not {relays:?}");
    };
    assert_eq!((one.one, one.other, other.one, other.other), (0, 1, 1, 0));
    assert!(one.channel == other.channel && one.window == other.window);
    assert!(one.seal.secret == other.seal.secret && one.seal.role != other.seal.role);
    let channel = one.channel;
    let last = |world: &World| world.orders.last().cloned().unwrap();
    for piece in [Piece::Bytes(vec![1; 9]), Piece::End] {
        let (there, sent) = (second, piece.clone());
        world.report(first, JobReport::Relayed { channel, piece });
        let piece = sent;
        assert_eq!(last(&world), (there, JobOrder::Relayed { channel, piece }));
    }
    // One end is gone with its word, the other with its node.
    let over = |channel| JobReport::Relayed {
        channel,
        piece: Piece::Over,
    };
    world.report(first, over(channel));
    let told = JobOrder::Relayed {
        channel,
        piece: Piece::Over,
    };
    assert_eq!(last(&world), (second, told));
    world.report(second, over(channel));
    let count = world.orders.len();
    world.report(second, over(channel));
    assert_eq!(world.orders.len(), count);
    assert!(world.dismissed.is_empty());
}

#[test]
fn what_a_session_loses_is_told_before_any_end() {
    let (mut world, [first, second], relays) = apart();
    let channel = relays[0].channel;
    let piece = Piece::Broken;
    let broken = JobOrder::Relayed { channel, piece };
    assert!(!broken.is_bulk(), "it leaves before any end that is told");
    let told = |world: &World, node| {
        let told = world.orders.iter();
        told.filter(|order| **order == (node, broken.clone()))
            .count()
    };
    // The process there ends as if all were well when it has heard of this, and its end comes over the next session.
    let held = world.ordered(first);
    resume(&mut world, usize::from(first > second), first, held);
    assert_eq!([told(&world, first), told(&world, second)], [0, 1]);
    world.end(first, 0, End::Code(0));
    let is_end = |order: &JobOrder| {
        matches!(
            order,
            JobOrder::Tell {
                notice: Notice::Ended { .. },
                ..
            }
        )
    };
    let orders = || world.orders.iter();
    let word = orders().position(|order| *order == (second, broken.clone()));
    let end = orders().position(|(to, order)| *to == second && is_end(order));
    assert!(word.unwrap() < end.unwrap(), "{:?}", world.orders);
    // Who goes on with what is forgotten is told as well, and nobody else says such a thing.
    let bytes = Piece::Bytes(vec![1]);
    for piece in [Piece::Over, bytes] {
        world.report(second, JobReport::Relayed { channel, piece });
    }
    assert_eq!(told(&world, second), 2);
    assert!(world.dismissed.is_empty());
}

#[test]
fn what_is_given_out_late_broke_before_any_end_is_told() {
    let (mut world, [first, second], relays) = apart();
    let channel = relays[0].channel;
    world.end(second, 1, End::Code(0));
    // It has nothing of all that it was ever told.
    let told = world.orders.len();
    resume(&mut world, usize::from(first > second), first, 0);
    let again: Vec<&JobOrder> = world.orders[told..]
        .iter()
        .map(|(_, order)| order)
        .collect();
    let relay = again
        .iter()
        .position(|order| matches!(order, JobOrder::Relay(_)));
    let piece = Piece::Broken;
    let broken = JobOrder::Relayed { channel, piece };
    assert_eq!(again[relay.unwrap() + 1], &broken);
    let is_end = |order: &&&JobOrder| {
        matches!(
            order,
            JobOrder::Tell {
                notice: Notice::Ended { .. },
                ..
            }
        )
    };
    assert!(
        again[relay.unwrap()..].iter().any(|order| is_end(&order)),
        "{again:?}"
    );
}

#[test]
fn whoever_relays_more_than_was_granted_is_not_to_be_trusted() {
    let (mut world, [first, second], relays) = apart();
    let (channel, window) = (relays[0].channel, relays[0].window);
    let bytes = |count: usize| JobReport::Relayed {
        channel,
        piece: Piece::Bytes(vec![0; count]),
    };
    let mut left = window as usize;
    while left > 0 {
        let count = left.min(PIECE_BYTES_MAX);
        world.report(first, bytes(count));
        left -= count;
    }
    let piece = Piece::Credit(1);
    world.report(second, JobReport::Relayed { channel, piece });
    world.report(first, bytes(1));
    assert!(world.dismissed.is_empty());
    world.report(first, bytes(1));
    assert_eq!(world.dismissed, [first]);
    // Who is left hears that nothing follows. That it broke nobody says but the master.
    let over = JobOrder::Relayed {
        channel,
        piece: Piece::Over,
    };
    assert!(world.orders.contains(&(second, over)));
    let piece = Piece::Broken;
    world.report(second, JobReport::Relayed { channel, piece });
    assert_eq!(world.dismissed, [first, second]);
}

/// A node with an end of a relayed connection: its warden is killed and another begins, its session breaks and is made again,
/// and what is relayed leaves it whenever there is nothing else to say.
struct Relaying {
    world: World,
    /// Where it is, and where the process lives that goes on.
    node: NodeId,
    base: NodeId,
    channel: u32,
    /// What of the window the warden has not used.
    room: u64,
    has_warden: bool,
    /// What the warden has relayed and the node has not passed on.
    bulk: Vec<Piece>,
    asked: u64,
}

impl Relaying {
    fn new() -> Relaying {
        let (world, [base, node], relays) = apart();
        Relaying {
            world,
            node,
            base,
            channel: relays[0].channel,
            room: relays[0].window,
            has_warden: true,
            bulk: Vec::new(),
            asked: 100,
        }
    }

    fn step(&mut self, step: u8) {
        match step {
            0 if self.room >= 100 && self.has_warden => {
                self.room -= 100;
                self.bulk.push(Piece::Bytes(vec![7; 100]));
            }
            1 if self.has_warden => self.bulk.push(Piece::Over),
            2 | 3 if !self.bulk.is_empty() => {
                let (piece, channel) = (self.bulk.remove(0), self.channel);
                let relayed = JobReport::Relayed { channel, piece };
                self.world.report(self.node, relayed);
            }
            4 if self.has_warden => {
                self.has_warden = false;
                let why = "the job's warden has ended unexpectedly".to_string();
                self.world.report(self.node, JobReport::Failed { why });
            }
            5 if !self.has_warden => {
                self.asked += 1;
                let there = format!("n{}", self.index());
                self.world.ask(
                    self.base,
                    0,
                    spawn(self.asked, Resources::default(), Some(&there)),
                );
                let (at, begin) = self.world.begun();
                assert_eq!(at, self.node);
                self.world.report(
                    at,
                    JobReport::Begun {
                        number: begin.number,
                    },
                );
                self.has_warden = true;
            }
            // What its warden has said and the node has not read is still there in the next session.
            6 => {
                let index = self.index();
                let held = self.world.ordered(self.node);
                resume(&mut self.world, index, self.node, held);
            }
            _ => {}
        }
    }

    fn index(&self) -> usize {
        usize::from(self.node > self.base)
    }
}

/// A node has lost its session, and makes the next. It has so many orders.
fn resume(world: &mut World, index: usize, node: NodeId, orders: u64) {
    let held = Held {
        job: JOB,
        orders,
        reports: 0,
    };
    assert_eq!(world.greet(index, 4, &[], vec![held]), Ok(node));
    world.settle();
}

proptest! {
    /// A node is lost only by what it cannot honestly have said.
    #[test]
    fn what_is_relayed_may_come_late(steps in proptest::collection::vec(0u8..7, 0..60)) {
        let mut relaying = Relaying::new();
        for step in steps {
            relaying.step(step);
            prop_assert!(relaying.world.dismissed.is_empty(), "{:?}", relaying.world.notes);
        }
    }
}
