//! Nodes that are cut off from their master again and again, in one direction or both, for less or more than it takes to be
//! lost, under processes that are begun anew as soon as their end is told: no life goes on beside the next one.
//!
//! `DEPLOY_TEST_PARTITIONS=200 cargo test -p deploy-tests --test hosts partitions` for as many as one likes.
//!
//! Deliberately absent: how soon a loss is told (`network.rs`), and connections between nodes that are cut off from each
//! other alone.

use deploy_tests::{cluster::Cluster, daemon::Daemon, hosts::Hosts, soak::Lots};
use nix::sys::signal::Signal;
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub fn nothing_runs_twice_over_partitions() {
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (
        number("DEPLOY_TEST_PARTITIONS", 4),
        number("DEPLOY_TEST_SEED", 1),
    );
    let Some(cluster) = Cluster::start(&NODES) else {
        return;
    };
    cluster.login();
    let files = tempfile::tempdir().unwrap();
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut job = start(&cluster, files.path());
    NODES.iter().for_each(|_| drop(job.expect(".0 ticks")));

    let (mut lots, mut partitions) = (Lots::new(seed), Vec::new());
    while (partitions.len() as u64) < count {
        let round: Vec<Partition> = NODES
            .iter()
            .map(|node| Partition::draw(node, &mut lots))
            .collect();
        suffer(&cluster.hosts, &round);
        let up = |nodes: String| nodes.matches(" up ").count();
        while up(cluster.run("head", "nodes").out_text()) <= NODES.len() {
            thread::sleep(Duration::from_millis(100)); // Of several, in any order.
        }
        partitions.extend(round);
    }
    // Who was lost in the last round, too, is begun anew.
    let deadline = Instant::now() + AGAIN_MAX;
    let mut said = job.said();
    while said.matches(" ticks").count() != said.matches(" told ").count() + NODES.len() {
        assert!(
            Instant::now() < deadline,
            "somebody is not begun anew:\n{said}"
        );
        thread::sleep(Duration::from_millis(100));
        said = job.said();
    }
    job.signal(Signal::SIGINT);
    job.end();

    let lives: Vec<Life> = said.lines().filter_map(Life::told).collect();
    for life in &lives {
        let last = fs::read_to_string(files.path().join(&life.name)).unwrap();
        let last: u64 = last.parse().unwrap();
        let (name, told) = (&life.name, life.told_ms);
        assert!(
            last < told,
            "{name} ran {} ms longer than told",
            last - told
        );
    }
    let longer = |than: Duration| partitions.iter().filter(|one| one.lasts > than).count();
    let (lost, cut) = (lives.len(), partitions.len());
    println!(
        "{cut} partitions by seed {seed}: {lost} processes lost, 0 ran when their end was told"
    );
    assert!(
        (longer(LOST_AFTER)..=longer(KEPT_FOR)).contains(&lost),
        "{partitions:?}"
    );
    cluster.finish();
}

fn start(cluster: &Cluster, files: &Path) -> Daemon {
    let mut words = vec!["again".to_string(), files.display().to_string()];
    words.extend(NODES.map(str::to_string));
    // Where no cable is pulled.
    let mut command = cluster.deploy_here(Path::new(env!("CARGO_BIN_EXE_ticks")), &words);
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| Daemon::start(&mut command))
}

/// A node is away from its master.
#[derive(Debug)]
struct Partition {
    node: &'static str,
    way: Way,
    begins: Duration,
    lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Both,
    FromNode,
    ToNode,
}

impl Partition {
    fn draw(node: &'static str, lots: &mut Lots) -> Partition {
        let way = [Way::Both, Way::FromNode, Way::ToNode][lots.below(3) as usize];
        let lasts = [2_000..9_000, 13_500..17_000][lots.below(2) as usize].clone();
        Partition {
            node,
            way,
            begins: Duration::from_millis(lots.below(1_500)),
            lasts: Duration::from_millis(lots.within(lasts)),
        }
    }

    fn begin(&self, hosts: &Hosts) {
        match self.way {
            Way::Both => hosts.cut(self.node),
            Way::FromNode => hosts.cut_way(self.node, "head"),
            Way::ToNode => hosts.cut_way("head", self.node),
        }
    }

    fn end(&self, hosts: &Hosts) {
        match self.way {
            Way::Both => hosts.heal(self.node),
            Way::FromNode => hosts.heal_way(self.node, "head"),
            Way::ToNode => hosts.heal_way("head", self.node),
        }
    }
}

/// Each in its time, from now on, until all are over.
fn suffer(hosts: &Hosts, round: &[Partition]) {
    let begins = round.iter().map(|one| (one.begins, one, true));
    let ends = round.iter().map(|one| (one.begins + one.lasts, one, false));
    let mut all: Vec<_> = begins.chain(ends).collect();
    all.sort_by_key(|(at, ..)| *at);
    let begun = Instant::now();
    for (at, one, is_begin) in all {
        thread::sleep(at.saturating_sub(begun.elapsed()));
        match is_begin {
            true => one.begin(hosts),
            false => one.end(hosts),
        }
    }
}

/// One of those that ran on a node, and of whose end its parent heard.
struct Life {
    name: String,
    told_ms: u64,
}

impl Life {
    /// From a line such as `n1.3 told 1700000000000 SIGKILL (lost with its node)`.
    fn told(line: &str) -> Option<Life> {
        let (name, rest) = line.trim().split_once(" told ")?;
        let (told, how) = rest.split_once(' ')?;
        assert!(how.ends_with("(lost with its node)"), "{line}");
        Some(Life {
            name: name.to_string(),
            told_ms: told.parse().unwrap(),
        })
    }
}

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
/// How long it may take until something runs on a node that is there again.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// An interruption of less is survived.
const KEPT_FOR: Duration = Duration::from_secs(9);
/// Of one of more, the loss is told while it lasts.
const LOST_AFTER: Duration = Duration::from_secs(13);
