//! The cluster while it is struck: who can be hit, how, and how it is mended again.
//!
//! Deliberately absent: which blows fall when (`fault.rs`), and whether all went well (`judge.rs`).

use crate::{
    fault::{Fault, Log, Planned, Struck, What},
    job::Job,
};
use deploy_tests::{cluster::Cluster, story::now_ms};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, ops::Range, process::Stdio, thread};

/// All that can be hit.
pub struct Stage {
    pub cluster: Cluster,
    pub jobs: Vec<Job>,
    pub log: Log,
    /// What is to be mended.
    open: Vec<Open>,
}

/// A blow that lasts.
struct Open {
    until_ms: u64,
    /// Where it stands in the log.
    struck: Range<usize>,
    mend: Mend,
}

/// What was done, and how it is mended.
type Blow = (Vec<What>, Mend);

/// How something becomes whole again.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Mend {
    Continue(u32),
    ContinueDaemon(String, u32),
    ContinueClient(String),
    PlugIn(String),
    Join(String, String),
    JoinWay(String, String),
    Hurry(String),
    PowerOn(String),
    Serve(String),
    Nothing,
}

impl Stage {
    pub fn new(cluster: Cluster) -> Stage {
        Stage {
            cluster,
            jobs: Vec::new(),
            log: Log::default(),
            open: Vec::new(),
        }
    }

    /// Does it, where there is somebody to hit; says what it did.
    pub fn strike(&mut self, planned: &Planned) -> Option<String> {
        let (fault, lot) = (planned.fault, planned.lot as usize);
        // Before it is done: what comes of it may be told before this one goes on.
        let from_ms = now_ms();
        let node = NODES[lot % NODES.len()];
        let (what, mend) = match fault {
            Fault::KillProcess | Fault::StopProcess => self.strike_process(fault, lot)?,
            Fault::KillWarden | Fault::StopWarden => self.strike_warden(fault, lot)?,
            Fault::KillClient | Fault::StopClient | Fault::EndJob => {
                return self.strike_client(planned, lot);
            }
            Fault::KillMaster | Fault::StopMaster => self.strike_daemon(fault, "head")?,
            Fault::KillDaemon | Fault::StopDaemon => self.strike_daemon(fault, node)?,
            Fault::CutPair | Fault::CutPairLong | Fault::CutWay => {
                // Any of the others.
                let further = lot / 16 % (NODES.len() - 1) + 1;
                let other = NODES[(lot + further) % NODES.len()];
                self.strike_link(fault, node, other)?
            }
            Fault::CutLaptop => self.strike_host(fault, "laptop")?,
            Fault::Cut | Fault::CutLong | Fault::Slow | Fault::PowerOff => {
                self.strike_host(fault, node)?
            }
        };
        let text = format!("{fault:?} {mend:?} for {} ms", planned.lasts_ms);
        self.note(what, mend, from_ms, planned.lasts_ms);
        Some(text)
    }

    fn strike_process(&self, fault: Fault, lot: usize) -> Option<Blow> {
        let process = self.some_process(lot)?;
        Some(match fault {
            Fault::KillProcess => {
                signal(process, Signal::SIGKILL);
                (vec![What::Process(process)], Mend::Nothing)
            }
            _ => {
                signal(process, Signal::SIGSTOP);
                (vec![], Mend::Continue(process))
            }
        })
    }

    fn strike_warden(&self, fault: Fault, lot: usize) -> Option<Blow> {
        let (node, warden) = self.some_warden(lot)?;
        Some(match fault {
            Fault::KillWarden => {
                signal(warden, Signal::SIGKILL);
                (vec![What::Warden(node)], Mend::Nothing)
            }
            _ => {
                signal(warden, Signal::SIGSTOP);
                (vec![], Mend::Continue(warden))
            }
        })
    }

    /// The head's daemon is the master, which is only killed as such.
    fn strike_daemon(&mut self, fault: Fault, node: &str) -> Option<Blow> {
        if fault == Fault::KillDaemon && node == "head" {
            return None;
        }
        self.claim(&[node])?;
        let name = node.to_string();
        if matches!(fault, Fault::StopDaemon | Fault::StopMaster) {
            let daemon = self.cluster.daemon(node).id();
            signal(daemon, Signal::SIGSTOP);
            return Some((self.silent_with(node), Mend::ContinueDaemon(name, daemon)));
        }
        let daemon = self.cluster.release(node);
        daemon.signal(Signal::SIGKILL);
        daemon.end();
        let what = match fault {
            Fault::KillMaster => What::Master,
            _ => What::Daemon(name.clone()),
        };
        Some((vec![what], Mend::Serve(name)))
    }

    /// The head's cable is never pulled for so long that all nodes are lost.
    fn strike_host(&mut self, fault: Fault, host: &str) -> Option<Blow> {
        if matches!(fault, Fault::CutLong | Fault::PowerOff) && host == "head" {
            return None;
        }
        self.claim(&[host])?;
        let (hosts, name) = (&self.cluster.hosts, host.to_string());
        Some(match fault {
            Fault::Slow => {
                hosts.slow(host, "4mbit");
                (self.silent_with(host), Mend::Hurry(name))
            }
            Fault::PowerOff => {
                hosts.power_off(host);
                self.cluster.release(host).end();
                (vec![What::Daemon(name.clone())], Mend::PowerOn(name))
            }
            _ => {
                hosts.cut(host);
                let what = [self.silent_with(host), apart_from_all(host)].concat();
                (what, Mend::PlugIn(name))
            }
        })
    }

    fn strike_link(&mut self, fault: Fault, one: &str, other: &str) -> Option<Blow> {
        let (from, to) = (one.to_string(), other.to_string());
        Some(match fault {
            Fault::CutPair | Fault::CutPairLong => {
                // What is isolated does not reach anybody who is.
                self.claim(&[one, other, "pair"])?;
                self.cluster.hosts.cut_pair(one, other);
                (apart(one, other), Mend::Join(from, to))
            }
            _ => {
                self.claim(&[one, other])?;
                self.cluster.hosts.cut_way(one, other);
                (apart(one, other), Mend::JoinWay(from, to))
            }
        })
    }

    fn strike_client(&mut self, planned: &Planned, lot: usize) -> Option<String> {
        let now = now_ms();
        let watched = |job: &&mut Job| job.is_watched() && job.is_ended_ms.is_none();
        let mut jobs: Vec<&mut Job> = self.jobs.iter_mut().filter(watched).collect();
        let index = lot.checked_rem(jobs.len())?;
        let job = &mut jobs[index];
        let id = job.id.clone()?;
        let (what, mend) = match planned.fault {
            Fault::KillClient => {
                job.signal_client(Signal::SIGKILL);
                (vec![], Mend::Nothing)
            }
            Fault::StopClient => {
                job.signal_client(Signal::SIGSTOP);
                (vec![], Mend::ContinueClient(id.clone()))
            }
            _ => {
                job.is_ended_ms = Some(now);
                (vec![What::Job(id.clone())], Mend::Nothing)
            }
        };
        self.note(what, mend, now, planned.lasts_ms);
        if planned.fault == Fault::EndJob {
            let mut command = self.cluster.cargo(&["kill", &id, crate::job::BRIDGE]);
            // Whether it gets through is the cluster's affair; the log says that it may have.
            let host = self.cluster.hosts.host("laptop");
            let child = host.within(|| command.stderr(Stdio::null()).spawn());
            thread::spawn(move || child.unwrap().wait());
        }
        Some(format!("{:?} of {id}", planned.fault))
    }

    /// Whoever the master hears through this host is silent with it.
    fn silent_with(&self, node: &str) -> Vec<What> {
        let all = NODES.iter().filter(|name| node == "head" || **name == node);
        all.map(|name| What::Silent(name.to_string())).collect()
    }

    /// These hosts are whole, and will not be.
    fn claim(&mut self, names: &[&str]) -> Option<()> {
        let is_busy = |name: &&&str| self.open.iter().any(|open| open.mend.touches(name));
        names.iter().find(is_busy).is_none().then_some(())
    }

    fn note(&mut self, what: Vec<What>, mend: Mend, from_ms: u64, lasts_ms: u64) {
        let begin = self.log.0.len();
        let is_moment = mend == Mend::Nothing;
        self.log.0.extend(what.into_iter().map(|what| Struck {
            what,
            from_ms,
            to_ms: is_moment.then_some(from_ms),
        }));
        if !is_moment {
            self.open.push(Open {
                until_ms: now_ms() + lasts_ms,
                struck: begin..self.log.0.len(),
                mend,
            });
        }
    }

    /// Mends what has lasted long enough, or all of it; says what.
    pub fn mend(&mut self, is_all: bool) -> Vec<String> {
        let now = now_ms();
        let (due, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|open: &Open| is_all || open.until_ms <= now);
        self.open = open;
        let mut done = Vec::new();
        for open in due {
            self.make_whole(&open.mend);
            done.push(format!("{:?}", open.mend));
            for struck in &mut self.log.0[open.struck] {
                struck.to_ms = Some(now_ms());
            }
        }
        done
    }

    fn make_whole(&mut self, mend: &Mend) {
        let hosts = &mut self.cluster.hosts;
        match mend {
            Mend::Nothing => {}
            Mend::Continue(process) | Mend::ContinueDaemon(_, process) => {
                signal(*process, Signal::SIGCONT);
            }
            Mend::ContinueClient(id) => {
                let mut jobs = self.jobs.iter();
                if let Some(job) = jobs.find(|job| job.id.as_ref() == Some(id)) {
                    job.signal_client(Signal::SIGCONT);
                }
            }
            Mend::PlugIn(host) => hosts.heal(host),
            Mend::Join(one, other) => hosts.heal_pair(one, other),
            Mend::JoinWay(from, to) => hosts.heal_way(from, to),
            Mend::Hurry(host) => hosts.heal_slow(host),
            Mend::PowerOn(host) => {
                hosts.power_on(host);
                self.serve(host);
            }
            Mend::Serve(host) => self.serve(host),
        }
    }

    /// Starts the daemon of a host again. Whether it gets into the cluster at once depends on what else is struck.
    fn serve(&mut self, host: &str) {
        let words = match host {
            "head" => MASTER.to_string(),
            host => format!(
                "{}:9999 {ROOM} --label tests=yes",
                self.cluster.hosts.host(host).address
            ),
        };
        let daemon = self.cluster.fabric(host, &words);
        self.cluster.keep(host, daemon);
    }

    /// One of the processes that have said which they are, and live.
    fn some_process(&self, lot: usize) -> Option<u32> {
        let stories = self
            .jobs
            .iter()
            .filter(|job| job.is_watched())
            .map(Job::story);
        let living = stories
            .flat_map(|story| story.lives)
            .filter(|life| life.end.is_none());
        let processes: Vec<u32> = living
            .filter_map(|life| life.process())
            .filter(is_ours)
            .collect();
        Some(processes[lot.checked_rem(processes.len())?])
    }

    /// One of the wardens, and where.
    fn some_warden(&self, lot: usize) -> Option<(String, u32)> {
        let mut wardens = Vec::new();
        for node in NODES {
            let processes = self.cluster.hosts.host(node).processes();
            // What a warden starts reads as it does itself, until it executes the program.
            let is_warden = |pid: &u32| reads_as_warden(*pid) && !reads_as_warden(parent(*pid));
            wardens.extend(
                processes
                    .into_iter()
                    .filter(is_warden)
                    .map(|pid| (node.to_string(), pid)),
            );
        }
        Some(wardens.swap_remove(lot.checked_rem(wardens.len())?))
    }
}

impl Mend {
    /// Whether this host waits for it.
    fn touches(&self, name: &str) -> bool {
        match self {
            Mend::Nothing | Mend::Continue(_) | Mend::ContinueClient(_) => false,
            Mend::ContinueDaemon(host, _)
            | Mend::PlugIn(host)
            | Mend::Hurry(host)
            | Mend::PowerOn(host)
            | Mend::Serve(host) => host == name,
            Mend::Join(one, other) => [one, other, "pair"].contains(&name),
            Mend::JoinWay(one, other) => one == name || other == name,
        }
    }
}

/// What is to be thought of two that do not reach each other.
fn apart(one: &str, other: &str) -> Vec<What> {
    let mut what = vec![What::Apart(one.to_string(), other.to_string())];
    let names = [one, other];
    if names.contains(&"head") {
        what.extend(
            names
                .iter()
                .filter(|name| **name != "head")
                .map(|name| What::Silent(name.to_string())),
        );
    }
    what
}

/// Nobody reaches a host without its cable.
fn apart_from_all(host: &str) -> Vec<What> {
    let others = NODES.iter().filter(|name| **name != host);
    let apart = others.map(|other| What::Apart(host.to_string(), other.to_string()));
    apart.collect()
}

fn is_ours(process: &u32) -> bool {
    command_line(*process)
        .next()
        .is_some_and(|program| program.contains("nemesis"))
}

fn reads_as_warden(process: u32) -> bool {
    command_line(process)
        .nth(1)
        .is_some_and(|word| word == "warden")
}

/// None has the number 0.
fn parent(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

fn command_line(process: u32) -> impl Iterator<Item = String> {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words.into_iter()
}

fn signal(process: u32, signal: Signal) {
    // It may have ended meanwhile.
    let _ = kill(Pid::from_raw(process as i32), signal);
}

/// All of them, the head's own too.
pub const NODES: [&str; 4] = ["head", "n1", "n2", "n3"];
/// What each of them has.
pub const ROOM: &str = "8GiB 16";
/// How the master is started again.
const MASTER: &str = "master 10.77.0.1:9999 8GiB 16 bridge 10.77.0.1:8888 --label tests=yes";
