//! Networks that fail in one direction, come back as somebody else, are slow or lose packets, under a job that goes on: the
//! times that are promised, and that nothing runs when it is said to have ended.
//!
//! Deliberately absent: cables that are pulled, and daemons that are killed (`cluster.rs`); all of it at random
//! (`soaks/nemesis`).

use deploy_tests::{cluster::Cluster, daemon::Daemon, hosts::Host};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

const TICKS: &str = env!("CARGO_BIN_EXE_ticks");
const APART: &str = env!("CARGO_BIN_EXE_apart");

/// A cluster of a head and n1 on which a process of the job ticks; its files go last.
struct Ticking {
    cluster: Cluster,
    job: Daemon,
    files: tempfile::TempDir,
}

impl Ticking {
    fn start() -> Option<Ticking> {
        let cluster = Cluster::start(&["n1"])?;
        cluster.login();
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let file = files.path().join("ticks");
        let words = ["wait".to_string(), file.display().to_string()];
        let mut job = start(&cluster, &words);
        job.expect("it ticks");
        Some(Ticking {
            cluster,
            job,
            files,
        })
    }

    /// Waits for word that it was lost, and says how many milliseconds before that it ticked last.
    fn ended(&mut self) -> u64 {
        self.ended_as("SIGKILL (lost with its node)")
    }

    fn ended_as(&mut self, how: &str) -> u64 {
        let line = self.job.expect("told ");
        assert!(line.ends_with(how), "{line}");
        let told = line.trim().split(' ').nth(1).unwrap();
        let last = fs::read_to_string(self.files.path().join("ticks")).unwrap();
        let (told, last): (u64, u64) = (told.parse().unwrap(), last.parse().unwrap());
        assert!(
            last < told,
            "it ran {} ms longer than was told",
            last - told
        );
        told - last
    }

    /// What somebody reads at the laptop who types this.
    fn ask(&self, words: &[&str]) -> String {
        let mut command = self.cluster.cargo(words);
        let done = self.cluster.finish_deploy(&mut command, b"");
        done.unwrap_or_else(|why| panic!("{why}")).out_text()
    }

    /// How it came to that, as somebody hears who asks.
    fn why(&self) -> String {
        self.ask(&["why", &self.job()])
    }

    /// The job's name.
    fn job(&self) -> String {
        let jobs = self.ask(&["ps", "--all"]);
        let job = jobs.lines().nth(1).and_then(|line| line.split(' ').next());
        job.unwrap_or_else(|| panic!("no job in:\n{jobs}"))
            .to_string()
    }

    /// The job's processes and its wardens, on whichever node.
    fn running(&self) -> Vec<u32> {
        let hosts = ["head", "n1"].map(|name| self.cluster.hosts.host(name));
        let all = hosts.into_iter().flat_map(Host::processes);
        let is_its = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.contains("\0warden\0") || words.contains("ticks\0")
        };
        all.filter(is_its).collect()
    }

    fn finish(self) {
        let (status, said) = self.job.end();
        assert!(!status.success(), "{said}");
        self.cluster.finish();
    }
}

fn start(cluster: &Cluster, words: &[String]) -> Daemon {
    let mut command = cluster.deploy(Path::new(TICKS), words, &[]);
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| Daemon::start(&mut command))
}

/// What one of the two sends to the other is lost from now on.
fn check_one_way(from: &str, to: &str) {
    let Some(mut ticking) = Ticking::start() else {
        return;
    };
    let cluster = &mut ticking.cluster;
    cluster.hosts.cut_way(from, to);
    let begun = Instant::now();
    cluster
        .daemon("head")
        .expect("node n1 has not answered for 5 s");
    let suspected = begun.elapsed();
    cluster.daemon("n1").expect("it was silent for 10 s");
    let fenced = begun.elapsed();
    cluster
        .daemon("head")
        .expect("node n1 is lost, by 12 s of silence");
    let lost = begun.elapsed();
    let early_ms = ticking.ended();
    println!(
        "{from} to {to} lost: suspected after {suspected:.1?}, fenced after {fenced:.1?}, lost after {lost:.1?}; the last \
         tick was {early_ms} ms before the end was told"
    );
    // Above: as late as somebody may read it on a machine that has other things to do.
    let seconds = Duration::from_secs;
    assert!((seconds(4)..seconds(9)).contains(&suspected));
    assert!(fenced < seconds(14));
    assert!((seconds(11)..seconds(17)).contains(&lost));
    assert!(
        ticking
            .why()
            .contains("was lost with its node n1, by 12 s of silence")
    );
    ticking.cluster.hosts.heal_way(from, to);
    ticking.cluster.daemon("head").expect("node n1 is up");
    ticking.finish();
}

pub fn an_end_is_told_on_another_node_at_once_and_of_a_killed_job_nothing_is_left() {
    let Some(mut ticking) = Ticking::start() else {
        return;
    };
    // A spare of the job has the same name.
    let file = ticking.files.path().join("ticks");
    let writes = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        let mut open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        open.any(|path| path == file)
    };
    let ticks = ticking.running().into_iter().find(writes);
    let ticks = ticks.expect("it ticks there");
    kill(Pid::from_raw(ticks as i32), Signal::SIGKILL).unwrap();
    let told_ms = ticking.ended_as("SIGKILL");
    ticking.finish();

    let Some(ticking) = Ticking::start() else {
        return;
    };
    let job = ticking.job();
    let begun = Instant::now();
    ticking.ask(&["kill", &job]);
    while let left @ [_, ..] = &ticking.running()[..] {
        assert!(begun.elapsed() < Duration::from_secs(10), "{left:?}");
        std::thread::sleep(Duration::from_millis(2)); // Nothing announces it.
    }
    let left = begun.elapsed();
    println!(
        "told on another node after {told_ms} ms at most; nothing is left of a job {left:.0?} after somebody began to kill it"
    );
    // As late as on a machine that has other things to do.
    assert!(told_ms < 2_000 && left < Duration::from_secs(5));
    ticking.finish();
}

pub fn a_node_that_is_not_heard_is_lost_in_time() {
    check_one_way("n1", "head");
}

pub fn a_node_that_does_not_hear_is_lost_in_time() {
    check_one_way("head", "n1");
}

pub fn a_node_that_lost_its_power_returns_at_once_and_its_processes_are_known_to_be_gone() {
    let Some(mut ticking) = Ticking::start() else {
        return;
    };
    let cluster = &mut ticking.cluster;
    let begun = Instant::now();
    cluster.hosts.power_off("n1");
    cluster.release("n1").end();
    cluster.hosts.power_on("n1");
    let node = cluster.fabric("n1", "10.77.0.2:9999");
    let node = cluster.keep("n1", node);
    node.expect("in the cluster as n1");
    let back = begun.elapsed();
    cluster
        .daemon("head")
        .expect("what ran on node n1 is lost, by a new beginning");
    ticking.ended();
    let told = begun.elapsed();
    println!(
        "off and on again: in the cluster after {back:.1?}, and the end is told after {told:.1?}"
    );
    // By then a silent one would not even be suspected.
    assert!(told < Duration::from_secs(5), "{told:?}");
    assert!(ticking.why().contains("by a new beginning of its daemon"));
    // As if nothing had been: a job runs there.
    let words = [
        "wait".to_string(),
        ticking.files.path().join("again").display().to_string(),
    ];
    let mut again = start(&ticking.cluster, &words);
    again.expect("it ticks");
    again.signal(Signal::SIGTERM);
    again.end();
    ticking.finish();
}

pub fn a_node_on_a_slow_line_is_there_whatever_waits_for_the_line() {
    let Some(mut cluster) = Cluster::start(&["n1"]) else {
        return;
    };
    cluster.login();
    // So that the program need not come by that line.
    let program = Path::new(TICKS);
    let flood = |bytes: usize| ["flood".to_string(), bytes.to_string()];
    let mut first = start(&cluster, &flood(1));
    first.expect("answer 1");
    first.signal(Signal::SIGTERM);
    first.end();
    cluster.hosts.slow("n1", "2mbit");
    let begun = Instant::now();
    // At that speed the argument alone takes 4 s.
    let mut command = cluster.deploy(program, &flood(1 << 20), &[]);
    let laptop = cluster.hosts.host("laptop");
    command.stdout(Stdio::null());
    let mut job = laptop.within(|| Daemon::start(&mut command));
    job.expect("answer 0");
    let argument = begun.elapsed();
    let mut most = Duration::ZERO;
    while begun.elapsed() < argument + Duration::from_secs(8) {
        let asked = Instant::now();
        job.expect("answer ");
        most = most.max(asked.elapsed());
    }
    let said = cluster.daemon("head").said();
    assert!(!said.contains("n1 has not answered"), "{said}");
    let said = cluster.daemon("n1").said();
    assert_eq!(said.matches("in the cluster as n1").count(), 1, "{said}");
    println!(
        "2 Mbit/s: an argument of 1 MiB after {argument:.1?}; an answer under full output after {most:.1?} at most"
    );
    assert!(argument > Duration::from_secs(4), "the line is not slow");
    cluster.hosts.heal_slow("n1");
    job.signal(Signal::SIGTERM);
    job.end();
    cluster.finish();
}

pub fn a_network_that_loses_packets_is_slower_and_nothing_else() {
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    cluster.login();
    let hosts = ["n1", "n2", "laptop"];
    if !hosts.iter().all(|name| cluster.hosts.lose(name, 50)) {
        return cluster.finish();
    }
    let begun = Instant::now();
    let args = ["beside", "n2", "n1"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let done = cluster.finish_deploy(&mut command, b"").unwrap();
    assert_eq!(done.code, 0, "{}", done.err_text());
    let longest = done.out_text();
    println!(
        "one packet of twenty lost at each of three cables: a program and 100 MB of values after {:.1?}, beside 300 turns of talk of \
         {} ms at most",
        begun.elapsed(),
        longest.trim()
    );
    let said = cluster.daemon("head").said();
    assert!(!said.contains("has not answered"), "{said}");
    hosts.iter().for_each(|name| cluster.hosts.heal_loss(name));
    cluster.finish();
}

pub fn who_watches_and_loses_its_power_leaves_nothing_at_the_master() {
    let Some(mut ticking) = Ticking::start() else {
        return;
    };
    let head = ticking.cluster.daemon("head").id();
    let descriptors = || fs::read_dir(format!("/proc/{head}/fd")).unwrap().count();
    // One who only watches says nothing by itself.
    let jobs = ticking.ask(&["ps"]);
    let job = jobs.lines().nth(1).and_then(|line| line.split(' ').next());
    let before = descriptors();
    let mut logs = ticking.cluster.cargo(&["logs", "-f", job.unwrap()]);
    let laptop = ticking.cluster.hosts.host("laptop");
    let mut watcher = laptop.within(|| Daemon::start(&mut logs));
    watcher.expect("it ticks");
    assert!(descriptors() > before);
    let begun = Instant::now();
    ticking.cluster.hosts.power_off("laptop");
    while descriptors() > before {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{} descriptors",
            descriptors()
        );
        std::thread::sleep(Duration::from_millis(50)); // Nothing announces it.
    }
    println!(
        "off: the session of one who watched is gone after {:.1?}",
        begun.elapsed()
    );
    watcher.end();
    ticking.job.end();
    ticking.cluster.finish();
}
