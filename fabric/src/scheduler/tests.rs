//! The scheduler beside the plainest possible one, which looks at every node for everything.

use super::*;
use proptest::prelude::*;

/// Something that the world does.
#[derive(Clone, Debug)]
enum Step {
    Node(u8, Resources, u8),
    Changed(usize, Resources, u8),
    Lost(usize),
    Suspected(usize, bool),
    Drain(usize, bool),
    Ask(Resources, u8, usize, bool, Vec<usize>),
    Release(usize),
    /// Nobody asks who was granted room until here.
    Poll,
}

/// What ought to be true, by lists.
#[derive(Default)]
struct Plain {
    nodes: BTreeMap<NodeId, (NodeSpec, bool, bool)>,
    granted: BTreeMap<Ticket, (NodeId, Resources)>,
    /// In the order of asking.
    waiting: Vec<Ask>,
    asks_made: u64,
}

fn amount(mem: u64, cpu: u64, gpu: u32) -> Resources {
    Resources {
        mem: Mem::B * mem,
        cpu: Cpu::from_millionths(cpu),
        gpu,
    }
}

fn labels(count: u8) -> Vec<String> {
    (0..count).map(|label| format!("l={label}")).collect()
}

fn resources(most: u64) -> impl Strategy<Value = Resources> {
    (0..most, 0..most, prop::sample::select(vec![0, 0, 0, 1, 2]))
        .prop_map(|(mem, cpu, gpu)| amount(mem, cpu, gpu))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..6, resources(20), 0u8..3).prop_map(|(name, has, label)| Step::Node(name, has, label)),
        1 => (0usize..9, resources(20), 0u8..3).prop_map(|(node, has, label)| Step::Changed(node, has, label)),
        1 => (0usize..9).prop_map(Step::Lost),
        1 => (0usize..9, any::<bool>()).prop_map(|(node, on)| Step::Suspected(node, on)),
        1 => (0usize..9, any::<bool>()).prop_map(|(node, on)| Step::Drain(node, on)),
        20 => (resources(16), 0u8..12, 0usize..9, any::<bool>(), prop::collection::vec(0usize..9, 0..3))
            .prop_map(|(asked, node, near, wait, apart)| Step::Ask(asked, node, near, wait, apart)),
        12 => (0usize..60).prop_map(Step::Release),
        8 => Just(Step::Poll),
    ]
}

impl Plain {
    fn free(&self, node: NodeId) -> Resources {
        let there = self.granted.values().filter(|(at, _)| *at == node);
        let used = there.fold(NOTHING, |sum, (_, granted)| plus(sum, *granted));
        minus(self.nodes[&node].0.capacity, used)
    }

    fn goes_by(&self, ask: &Ask, node: NodeId) -> bool {
        let spec = &self.nodes[&node].0;
        let is_it = |word: &String| *word == spec.name || spec.labels.contains(word);
        !ask.apart.contains(&node) && ask.node.as_ref().is_none_or(is_it)
    }

    fn ever(&self, ask: &Ask) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|(id, (spec, _, _))| self.goes_by(ask, *id) && fits(ask.resources, spec.capacity))
    }

    fn fitting(&self, ask: &Ask) -> Vec<NodeId> {
        let open = |id: &NodeId| !self.nodes[id].1 && !self.nodes[id].2;
        let fit = |id: &NodeId| fits(ask.resources, self.free(*id));
        let nodes = self.nodes.keys().copied();
        nodes
            .filter(|id| self.goes_by(ask, *id) && open(id) && fit(id))
            .collect()
    }

    /// As the documentation says.
    fn best(&self, ask: &Ask) -> Option<NodeId> {
        let fitting = self.fitting(ask);
        let gpu = fitting.iter().map(|id| self.free(*id).gpu).min()?;
        let alike = || {
            fitting
                .iter()
                .copied()
                .filter(|id| self.free(*id).gpu == gpu)
        };
        let least_mem = alike().min_by_key(|id| (self.free(*id).mem, self.free(*id).cpu, *id))?;
        let least_cpu = alike().min_by_key(|id| (self.free(*id).cpu, self.free(*id).mem, *id))?;
        let near = alike().find(|id| Some(*id) == ask.near);
        let left = |id: NodeId| {
            let (left, of) = (
                minus(self.free(id), ask.resources),
                self.nodes[&id].0.capacity,
            );
            let share = |part: u64, of: u64| part * 65_536 / of.max(1);
            let mem = share(left.mem.bytes(), of.mem.bytes());
            mem.max(share(left.cpu.millionths(), of.cpu.millionths()))
        };
        let candidates = [least_mem, least_cpu].into_iter().chain(near);
        candidates.min_by_key(|id| (left(*id), Some(*id) != ask.near, *id))
    }

    fn pick(&self, index: usize) -> Option<NodeId> {
        let index = index % self.nodes.len().max(1);
        self.nodes.keys().nth(index).copied()
    }
}

struct Pair {
    scheduler: Scheduler,
    plain: Plain,
}

impl Pair {
    fn take(&mut self, step: Step) {
        match step {
            Step::Node(name, capacity, label) => {
                let spec = NodeSpec {
                    name: format!("n{name}"),
                    capacity,
                    labels: labels(label),
                };
                let id = self.scheduler.handle_node(spec.clone());
                self.plain.nodes.insert(id, (spec, false, false));
            }
            Step::Changed(node, capacity, label) => {
                let Some(node) = self.plain.pick(node) else {
                    return;
                };
                let spec = &mut self.plain.nodes.get_mut(&node).unwrap().0;
                (spec.capacity, spec.labels) = (capacity, labels(label));
                self.scheduler.handle_node_changed(node, spec.clone());
            }
            Step::Lost(node) => {
                let Some(node) = self.plain.pick(node) else {
                    return;
                };
                let tickets = self.scheduler.handle_lost(node);
                let there = |(ticket, (at, _)): (&Ticket, &(NodeId, Resources))| {
                    (*at == node).then_some(*ticket)
                };
                let expect: Vec<Ticket> = self.plain.granted.iter().filter_map(there).collect();
                assert_eq!(tickets, expect);
                self.plain.granted.retain(|_, (at, _)| *at != node);
                self.plain.nodes.remove(&node);
            }
            Step::Suspected(node, on) => {
                let Some(node) = self.plain.pick(node) else {
                    return;
                };
                self.scheduler.handle_suspected(node, on);
                self.plain.nodes.get_mut(&node).unwrap().1 = on;
            }
            Step::Drain(node, on) => {
                let Some(node) = self.plain.pick(node) else {
                    return;
                };
                self.scheduler.handle_drain(node, on);
                self.plain.nodes.get_mut(&node).unwrap().2 = on;
            }
            Step::Ask(asked, node, near, wait, apart) => self.ask(asked, node, near, wait, apart),
            Step::Release(index) => self.release(index),
            Step::Poll => self.poll(),
        }
        self.check();
    }

    fn ask(&mut self, resources: Resources, node: u8, near: usize, wait: bool, apart: Vec<usize>) {
        self.plain.asks_made += 1;
        let ask = Ask {
            ticket: Ticket(self.plain.asks_made),
            resources,
            node: match node {
                0..6 => None,
                6..9 => Some(format!("n{}", node - 6)),
                _ => Some(format!("l={}", node - 9)),
            },
            near: self.plain.pick(near),
            wait,
            apart: apart
                .iter()
                .filter_map(|node| self.plain.pick(*node))
                .collect(),
        };
        let anywhere = Ask {
            apart: Vec::new(),
            ..ask.clone()
        };
        let is_possible = self.plain.ever(&ask);
        let best = self.plain.best(&ask);
        let has_keeper = |(id, node): (&NodeId, &Node)| node.kept_for.map(|_| *id);
        let kept: Vec<NodeId> = self.scheduler.nodes.iter().filter_map(has_keeper).collect();
        match self.scheduler.handle_ask(ask.clone()) {
            Verdict::NeverFits { .. } => assert!(!self.plain.ever(&anywhere), "{ask:?}"),
            Verdict::Apart(node) => {
                assert!(ask.apart.contains(&node), "{ask:?}");
                let is_open = self.plain.fitting(&anywhere).contains(&node);
                assert!(
                    !is_possible || !wait && best.is_none() && is_open,
                    "{ask:?}"
                );
            }
            _ if !is_possible => panic!("nothing can hold {ask:?}"),
            Verdict::OutOfResources { .. } => {
                let is_nowhere = self.plain.best(&anywhere).is_none();
                assert!(!wait && is_nowhere, "{ask:?}");
            }
            Verdict::AfterOthers => {
                assert!(wait);
                self.plain.waiting.push(ask);
            }
            Verdict::Granted(node) => {
                match wait && !kept.is_empty() {
                    true => assert!(self.plain.fitting(&ask).contains(&node)),
                    false => assert_eq!(Some(node), best, "{ask:?}"),
                }
                assert!(!wait || !kept.contains(&node), "{ask:?} overtakes");
                let line = |other: &Ask| other.node == ask.node && self.plain.ever(other);
                assert!(!wait || !self.plain.waiting.iter().any(line), "{ask:?}");
                self.plain.granted.insert(ask.ticket, (node, resources));
            }
        }
    }

    fn release(&mut self, index: usize) {
        let granted = self.plain.granted.keys().copied();
        let waiting = self.plain.waiting.iter().map(|ask| ask.ticket);
        let Some(ticket) = granted.chain(waiting).nth(index) else {
            return;
        };
        self.scheduler.handle_release(ticket);
        self.plain.granted.remove(&ticket);
        self.plain.waiting.retain(|ask| ask.ticket != ticket);
    }

    fn poll(&mut self) {
        while let Some((ticket, node)) = self.scheduler.poll_granted() {
            let waiting = &self.plain.waiting;
            let at = waiting.iter().position(|ask| ask.ticket == ticket).unwrap();
            let ask = self.plain.waiting.remove(at);
            assert!(self.plain.fitting(&ask).contains(&node));
            for earlier in &self.plain.waiting[..at] {
                let is_overtaken = earlier.node == ask.node && self.plain.ever(earlier);
                assert!(!is_overtaken, "{ask:?} was granted before {earlier:?}");
            }
            self.plain.granted.insert(ticket, (node, ask.resources));
            self.check();
        }
        self.nobody_waits_in_vain();
    }

    /// The first of each line fits nowhere, but where somebody's turn is kept.
    fn nobody_waits_in_vain(&self) {
        let mut lines = BTreeSet::new();
        for ask in &self.plain.waiting {
            if !self.plain.ever(ask) || !lines.insert(ask.node.clone()) {
                continue;
            }
            for node in self.plain.fitting(ask) {
                let keeper = self.scheduler.nodes[&node].kept_for.unwrap();
                let (_, turn) = self.scheduler.waiting[&ask.ticket];
                let (first, _) = self.scheduler.places[keeper.0]
                    .line
                    .first_key_value()
                    .unwrap();
                assert!(*first < turn, "{ask:?} waits in vain for {node:?}");
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.scheduler.nodes.len(), self.plain.nodes.len());
        assert_eq!(self.scheduler.waiting(), self.plain.waiting.len());
        for (id, state) in self.scheduler.nodes() {
            assert_eq!(state.free, self.plain.free(id));
            let there = self.plain.granted.values().filter(|(at, _)| *at == id);
            assert_eq!(state.grants as usize, there.count());
            let node = &self.scheduler.nodes[&id];
            assert!(
                node.kept_for
                    .is_none_or(|place| self.scheduler.places[place.0].kept == Some(id))
            );
        }
        for id in self.scheduler.words.values() {
            let place = &self.scheduler.places[id.0];
            let of_place = || {
                self.scheduler
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.places.contains(id))
            };
            let mut open: Vec<_> = place.open.largest(usize::MAX);
            open.sort_by_key(|(id, _)| *id);
            let expect = of_place().filter(|(_, node)| node.is_open());
            let expect: Vec<_> = expect.map(|(id, node)| (*id, node.state.free)).collect();
            assert_eq!(open, expect);
            assert_eq!(place.all.len(), of_place().count());
            let kept = place.kept.map(|node| self.scheduler.nodes[&node].kept_for);
            assert!(kept.is_none_or(|keeper| keeper == Some(*id)));
            assert!(!place.is_empty());
        }
    }

    /// When everybody gives back what they have, everybody who can be held gets their turn, and nothing is left.
    fn wind_up(mut self) {
        for id in self.plain.nodes.keys().copied().collect::<Vec<_>>() {
            self.scheduler.handle_suspected(id, false);
            self.scheduler.handle_drain(id, false);
            let node = self.plain.nodes.get_mut(&id).unwrap();
            (node.1, node.2) = (false, false);
        }
        self.poll();
        while let Some(ticket) = self.plain.granted.keys().next().copied() {
            self.scheduler.handle_release(ticket);
            self.plain.granted.remove(&ticket);
            self.poll();
        }
        let stranded = self.plain.waiting.iter().all(|ask| !self.plain.ever(ask));
        assert!(stranded, "{:?}", self.plain.waiting);
        assert!(self.scheduler.grants.is_empty());
        for ask in std::mem::take(&mut self.plain.waiting) {
            self.scheduler.handle_release(ask.ticket);
        }
        self.poll();
        for id in self.plain.nodes.keys() {
            assert_eq!(self.scheduler.handle_lost(*id), []);
        }
        assert!(self.scheduler.words.is_empty());
        assert!(self.scheduler.waiting.is_empty() && self.scheduler.due.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn it_does_what_the_plainest_one_does(steps in prop::collection::vec(step(), 1..150)) {
        let mut pair = Pair { scheduler: Scheduler::new(), plain: Plain::default() };
        steps.into_iter().for_each(|step| pair.take(step));
        pair.wind_up();
    }
}

fn scheduler(capacities: &[u64]) -> (Scheduler, Vec<NodeId>) {
    let mut scheduler = Scheduler::new();
    let node = |(index, has): (usize, &u64)| NodeSpec {
        name: format!("n{index}"),
        capacity: amount(*has, *has, 0),
        labels: Vec::new(),
    };
    let nodes = capacities.iter().enumerate().map(node);
    let ids = nodes.map(|spec| scheduler.handle_node(spec)).collect();
    (scheduler, ids)
}

fn ask(ticket: u64, size: u64, node: Option<&str>) -> Ask {
    Ask {
        ticket: Ticket(ticket),
        resources: amount(size, size, 0),
        node: node.map(str::to_string),
        near: None,
        wait: true,
        apart: Vec::new(),
    }
}

#[test]
fn a_line_for_one_node_holds_up_nobody_elsewhere_and_its_node_is_kept() {
    let (mut scheduler, nodes) = scheduler(&[4, 4]);
    assert_eq!(
        scheduler.handle_ask(ask(1, 2, Some("n0"))),
        Verdict::Granted(nodes[0])
    );
    assert_eq!(
        scheduler.handle_ask(ask(2, 4, Some("n0"))),
        Verdict::AfterOthers
    );
    assert_eq!(scheduler.poll_granted(), None);
    // The gap of n0 is the better fit, but somebody waits for it.
    assert_eq!(
        scheduler.handle_ask(ask(3, 2, None)),
        Verdict::Granted(nodes[1])
    );
    assert_eq!(scheduler.handle_ask(ask(4, 3, None)), Verdict::AfterOthers);
    scheduler.handle_release(Ticket(1));
    assert_eq!(scheduler.poll_granted(), Some((Ticket(2), nodes[0])));
    assert_eq!(scheduler.poll_granted(), None);
    // Who does not wait takes what is free.
    let hasty = Ask {
        wait: false,
        ..ask(5, 2, None)
    };
    assert_eq!(scheduler.handle_ask(hasty), Verdict::Granted(nodes[1]));
    scheduler.handle_release(Ticket(2));
    assert_eq!(scheduler.poll_granted(), Some((Ticket(4), nodes[0])));
}

#[test]
fn who_waits_for_what_a_lost_node_had_lets_others_pass_until_it_is_back() {
    let (mut scheduler, nodes) = scheduler(&[2, 8]);
    assert_eq!(
        scheduler.handle_ask(ask(1, 8, None)),
        Verdict::Granted(nodes[1])
    );
    assert_eq!(scheduler.handle_ask(ask(2, 6, None)), Verdict::AfterOthers);
    assert_eq!(scheduler.handle_ask(ask(3, 1, None)), Verdict::AfterOthers);
    assert_eq!(scheduler.poll_granted(), None);
    assert_eq!(scheduler.handle_lost(nodes[1]), [Ticket(1)]);
    assert_eq!(scheduler.poll_granted(), Some((Ticket(3), nodes[0])));
    assert_eq!(scheduler.poll_granted(), None);
    let again = scheduler.handle_node(NodeSpec {
        name: "n1".to_string(),
        capacity: amount(8, 8, 0),
        labels: Vec::new(),
    });
    assert_eq!(scheduler.poll_granted(), Some((Ticket(2), again)));
}

/// The node stayed kept for whoever was next in the line, and the earlier one of another line was not asked again.
#[test]
fn who_waits_for_a_node_gets_it_when_it_is_no_longer_kept_for_somebody_before() {
    let (mut scheduler, nodes) = scheduler(&[4]);
    let waits = |scheduler: &mut Scheduler, ask| {
        assert_eq!(scheduler.handle_ask(ask), Verdict::AfterOthers);
        assert_eq!(scheduler.poll_granted(), None);
    };
    let granted = Verdict::Granted(nodes[0]);
    assert_eq!(scheduler.handle_ask(ask(1, 1, None)), granted);
    waits(&mut scheduler, ask(2, 4, None));
    waits(&mut scheduler, ask(3, 2, Some("n0")));
    waits(&mut scheduler, ask(4, 4, None));
    scheduler.handle_release(Ticket(2));
    assert_eq!(scheduler.poll_granted(), Some((Ticket(3), nodes[0])));
}

#[test]
fn accelerators_are_left_to_those_who_need_them() {
    let mut scheduler = Scheduler::new();
    let mut node = |name: &str, size, gpu| {
        scheduler.handle_node(NodeSpec {
            name: name.to_string(),
            capacity: amount(size, size, gpu),
            labels: Vec::new(),
        })
    };
    let (gpus, plain) = (node("gpus", 4, 2), node("plain", 8, 0));
    assert_eq!(
        scheduler.handle_ask(ask(1, 4, None)),
        Verdict::Granted(plain)
    );
    let needy = Ask {
        resources: amount(1, 1, 1),
        ..ask(2, 0, None)
    };
    assert_eq!(scheduler.handle_ask(needy), Verdict::Granted(gpus));
}

#[test]
fn a_refusal_names_few_nodes_and_counts_the_others() {
    let (mut scheduler, _) = scheduler(&(1..=20).collect::<Vec<_>>());
    let Verdict::NeverFits { capacity, others } = scheduler.handle_ask(ask(1, 21, None)) else {
        panic!("no node has so much");
    };
    assert_eq!((capacity.len(), others), (NAMED_MAX, 12));
    assert_eq!(
        (&capacity[0].name[..], capacity[0].resources),
        ("n19", amount(20, 20, 0))
    );
}
