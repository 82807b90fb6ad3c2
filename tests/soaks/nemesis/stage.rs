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
        let lot = planned.lot as usize;
        let node = NODES[lot % NODES.len()].to_string();
        let other = NODES[(lot / 16 % (NODES.len() - 1) + 1 + lot) % NODES.len()].to_string();
        let silent = |name: &str| vec![What::Silent(name.to_string())];
        let (what, mend) = match planned.fault {
            Fault::KillProcess => {
                let process = self.some_process(lot)?;
                signal(process, Signal::SIGKILL);
                (vec![What::Process(process)], Mend::Nothing)
            }
            Fault::StopProcess => {
                let process = self.some_process(lot)?;
                signal(process, Signal::SIGSTOP);
                (vec![], Mend::Continue(process))
            }
            Fault::KillWarden | Fault::StopWarden => {
                let (node, warden) = self.some_warden(lot)?;
                match planned.fault {
                    Fault::KillWarden => {
                        signal(warden, Signal::SIGKILL);
                        (vec![What::Warden(node)], Mend::Nothing)
                    }
                    _ => {
                        signal(warden, Signal::SIGSTOP);
                        (vec![], Mend::Continue(warden))
                    }
                }
            }
            Fault::KillDaemon if node == "head" => return None,
            Fault::KillDaemon => {
                self.claim(&[&node])?;
                let daemon = self.cluster.release(&node);
                daemon.signal(Signal::SIGKILL);
                daemon.end();
                (vec![What::Daemon(node.clone())], Mend::Serve(node))
            }
            Fault::StopDaemon => {
                self.claim(&[&node])?;
                let daemon = self.cluster.daemon(&node).id();
                signal(daemon, Signal::SIGSTOP);
                (self.silent_with(&node), Mend::ContinueDaemon(node, daemon))
            }
            Fault::StopMaster => {
                self.claim(&["head"])?;
                let daemon = self.cluster.daemon("head").id();
                signal(daemon, Signal::SIGSTOP);
                (
                    self.silent_with("head"),
                    Mend::ContinueDaemon("head".into(), daemon),
                )
            }
            Fault::KillMaster => {
                self.claim(&["head"])?;
                let daemon = self.cluster.release("head");
                daemon.signal(Signal::SIGKILL);
                daemon.end();
                (vec![What::Master], Mend::Serve("head".into()))
            }
            Fault::KillClient | Fault::StopClient | Fault::EndJob => {
                return self.strike_client(planned, lot);
            }
            Fault::Cut => {
                self.claim(&[&node])?;
                self.cluster.hosts.cut(&node);
                (self.silent_with(&node), Mend::PlugIn(node))
            }
            Fault::CutLong if node == "head" => return None,
            Fault::CutLong => {
                self.claim(&[&node])?;
                self.cluster.hosts.cut(&node);
                (silent(&node), Mend::PlugIn(node))
            }
            Fault::CutLaptop => {
                self.claim(&["laptop"])?;
                self.cluster.hosts.cut("laptop");
                (vec![], Mend::PlugIn("laptop".into()))
            }
            Fault::CutPair => {
                self.claim(&[&node, &other, "pair"])?;
                self.cluster.hosts.cut_pair(&node, &other);
                (apart(&node, &other), Mend::Join(node, other))
            }
            Fault::CutWay => {
                self.claim(&[&node, &other])?;
                self.cluster.hosts.cut_way(&node, &other);
                (apart(&node, &other), Mend::JoinWay(node, other))
            }
            Fault::Slow => {
                self.claim(&[&node])?;
                self.cluster.hosts.slow(&node, "4mbit");
                (self.silent_with(&node), Mend::Hurry(node))
            }
            Fault::PowerOff if node == "head" => return None,
            Fault::PowerOff => {
                self.claim(&[&node])?;
                self.cluster.hosts.power_off(&node);
                self.cluster.release(&node).end();
                (vec![What::Daemon(node.clone())], Mend::PowerOn(node))
            }
        };
        let text = format!("{:?} {mend:?} for {} ms", planned.fault, planned.lasts_ms);
        self.note(what, mend, planned.lasts_ms);
        Some(text)
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
        self.note(what, mend, planned.lasts_ms);
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

    fn note(&mut self, what: Vec<What>, mend: Mend, lasts_ms: u64) {
        let (from_ms, begin) = (now_ms(), self.log.0.len());
        let is_moment = mend == Mend::Nothing;
        self.log.0.extend(what.into_iter().map(|what| Struck {
            what,
            from_ms,
            to_ms: is_moment.then_some(from_ms),
        }));
        if !is_moment {
            self.open.push(Open {
                until_ms: from_ms + lasts_ms,
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
            let is_warden = |pid: &u32| {
                command_line(*pid)
                    .nth(1)
                    .is_some_and(|word| word == "warden")
            };
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

fn is_ours(process: &u32) -> bool {
    command_line(*process)
        .next()
        .is_some_and(|program| program.contains("nemesis"))
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
