//! How fast the scheduler places: a cluster of so many nodes, nearly full, where something ends for everything that begins.
//!
//! Deliberately absent: processes, and sizes from real clusters; the mixture below is meant to leave gaps of every size.

use deploy_wire::resources::{Cpu, Mem, Resources};
use fabric::scheduler::{Ask, NodeId, NodeSpec, Scheduler, Ticket, Verdict};
use std::time::Instant;

fn main() {
    for nodes in [100, 1_000, 10_000] {
        let (rate, used) = Simulation::new(nodes).run(PLACEMENTS);
        println!("R\tscheduler/{nodes}\tdeploy\t{rate:.0}\t1/s");
        println!("# {nodes} nodes: {used:.1} % of the memory was given, on average");
    }
}

struct Simulation {
    scheduler: Scheduler,
    nodes: Vec<NodeId>,
    total: Mem,
    random: u64,
    tickets_made: u64,
    granted: Vec<(Ticket, Mem)>,
    given: Mem,
}

impl Simulation {
    fn new(count: u32) -> Simulation {
        let mut scheduler = Scheduler::new();
        let node = |number: u32| {
            let (mem, cores, gpu) = NODES[number as usize % NODES.len()];
            NodeSpec {
                name: format!("node{number}"),
                capacity: resources(mem, cores * 1_000, gpu),
                labels: vec![format!("rack={}", number / 40)],
            }
        };
        let capacities = (0..count).map(|number| node(number).capacity.mem);
        Simulation {
            total: capacities.sum(),
            nodes: (0..count)
                .map(|number| scheduler.handle_node(node(number)))
                .collect(),
            scheduler,
            random: 1,
            tickets_made: 0,
            granted: Vec::new(),
            given: Mem::default(),
        }
    }

    /// Fills the cluster, then places so often. Returns placements in a second, and how full it was.
    fn run(mut self, placements: u32) -> (f64, f64) {
        let mut refused = 0;
        while refused < REFUSALS_UNTIL_FULL {
            refused += u32::from(!self.place());
        }
        let (start, mut placed, mut full) = (Instant::now(), 0, 0.0);
        while placed < placements {
            self.end_one();
            placed += u32::from(self.place());
            full += self.given.bytes() as f64 / self.total.bytes() as f64 / f64::from(placements);
        }
        (
            f64::from(placed) / start.elapsed().as_secs_f64(),
            full * 100.0,
        )
    }

    fn place(&mut self) -> bool {
        let (mem, millicores, gpu) = ASKS[self.below(ASKS.len())];
        // Sizes that are seldom the same, as people's measurements are.
        let mem = mem * (75 + self.below(50) as u64) / 100;
        self.tickets_made += 1;
        let ticket = Ticket(self.tickets_made);
        let near = self.below(self.nodes.len());
        let verdict = self.scheduler.handle_ask(Ask {
            ticket,
            resources: resources(mem, millicores, gpu),
            node: None,
            near: Some(self.nodes[near]),
            wait: false,
            apart: Vec::new(),
        });
        let is_granted = matches!(verdict, Verdict::Granted(_));
        if is_granted {
            self.granted.push((ticket, mem * Mem::MIB));
            self.given += mem * Mem::MIB;
        }
        is_granted
    }

    fn end_one(&mut self) {
        if !self.granted.is_empty() {
            let index = self.below(self.granted.len());
            let (ticket, mem) = self.granted.swap_remove(index);
            self.given = self.given - mem;
            self.scheduler.handle_release(ticket);
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }
}

fn resources(mem_mib: u64, millicores: u64, gpu: u32) -> Resources {
    Resources {
        mem: mem_mib * Mem::MIB,
        cpu: Cpu::CORE / 1_000 * millicores,
        gpu,
    }
}

const PLACEMENTS: u32 = 1_000_000;
const REFUSALS_UNTIL_FULL: u32 = 100;
/// MiB, cores and GPUs of the kinds of machines.
const NODES: [(u64, u64, u32); 4] = [
    (65_536, 16, 0),
    (262_144, 64, 0),
    (131_072, 64, 0),
    (524_288, 64, 8),
];
/// MiB, thousandths of cores and GPUs of the kinds of requests, small ones more often.
const ASKS: [(u64, u64, u32); 8] = [
    (256, 62, 0),
    (512, 250, 0),
    (1_024, 1_000, 0),
    (2_048, 500, 0),
    (4_096, 1_000, 0),
    (8_192, 4_000, 0),
    (32_768, 8_000, 0),
    (16_384, 4_000, 1),
];
