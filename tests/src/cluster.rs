//! A cluster as somebody sets it up by hand: `fabric master` on a head, `fabric join` on nodes, each a host of its own.
//!
//! Deliberately absent: what is asked of it. It sees what users see: lines that are printed, and commands that end.

use crate::{
    commands,
    daemon::Daemon,
    hosts::{Host, Hosts},
    run::{self, Finished},
};
use nix::sys::signal::Signal;
use std::{fs, path::Path, process::Command};

/// A head, nodes, and who else is on their network.
#[derive(Debug)]
pub struct Cluster {
    daemons: Vec<(String, Daemon)>,
    /// What is to be typed on each node, once; printed by the master.
    pub node_token: String,
    /// What is to be typed on each laptop, once.
    pub user_token: String,
    /// Whether initial processes run at the laptop.
    pub is_here: bool,
    /// What each of its nodes has, if programs are to notice.
    pub capacity: Option<String>,
    /// Its hosts. They go after the daemons.
    pub hosts: Hosts,
}

impl Cluster {
    /// A head and these nodes, all of them up, and a `laptop`; nothing, and a line that says so, where hosts cannot be made.
    pub fn start(nodes: &[&str]) -> Option<Cluster> {
        Cluster::with_room(nodes, "")
    }

    /// The same, whose head and nodes each give this, such as `100GiB 16`.
    pub fn with_room(nodes: &[&str], room: &str) -> Option<Cluster> {
        let words = format!("10.77.0.1:9999 {room} bridge {BRIDGE} {LABEL}");
        let mut cluster = Cluster::head_only(nodes, &words)?;
        for node in nodes {
            let host = cluster.hosts.host(node);
            let words = match room {
                "" => format!("join {} {LABEL}", cluster.node_token),
                room => format!(
                    "join {} {}:9999 {room} {LABEL}",
                    cluster.node_token, host.address
                ),
            };
            cluster.serve(node, &words);
        }
        Some(cluster)
    }

    /// The same, but that only the master is started, with these words; and hosts that are called like the nodes.
    pub fn head_only(nodes: &[&str], words: &str) -> Option<Cluster> {
        let mut cluster = Cluster::bare(nodes)?;
        cluster.master(words);
        Some(cluster)
    }

    /// The same hosts, where nothing runs yet.
    pub fn bare(nodes: &[&str]) -> Option<Cluster> {
        let names: Vec<&str> = ["head"]
            .iter()
            .chain(nodes)
            .chain(&["laptop"])
            .copied()
            .collect();
        Some(Cluster {
            daemons: Vec::new(),
            node_token: String::new(),
            user_token: String::new(),
            is_here: false,
            capacity: None,
            hosts: Hosts::raise(&names)?,
        })
    }

    /// Starts the master, and waits until it serves and its own node has come.
    pub fn master(&mut self, words: &str) -> &mut Daemon {
        let mut master = self.fabric("head", &format!("master {words}"));
        let last = |line: String| line.split(' ').next_back().unwrap_or_default().to_string();
        self.node_token = last(master.expect("fabric join "));
        self.user_token = last(master.expect("cargo deploy login "));
        master.expect("node head is up");
        self.keep("head", master)
    }

    /// Has a host join as a node with the token that the master printed, and waits until it is one.
    pub fn join(&mut self, host: &str) -> &mut Daemon {
        let words = format!("join {}", self.node_token);
        self.serve(host, &words)
    }

    /// Starts a node with these words, and waits until it is in the cluster and the master says so.
    pub fn serve(&mut self, host: &str, words: &str) -> &mut Daemon {
        let mut node = self.fabric(host, words);
        node.expect("in the cluster as ");
        self.daemon("head").expect(" is up");
        self.keep(host, node)
    }

    /// Starts `fabric` on a host, as a daemon.
    pub fn fabric(&self, host: &str, words: &str) -> Daemon {
        let host = self.hosts.host(host);
        host.within(|| Daemon::start(&mut command(host, words)))
    }

    /// Runs `fabric` on a host to its end, without input.
    ///
    /// # Panics
    /// If it does not end, or leaves something behind.
    pub fn run(&self, host: &str, words: &str) -> Finished {
        let host = self.hosts.host(host);
        let finished = host.within(|| run::finish(&mut command(host, words), b""));
        finished.unwrap_or_else(|why| panic!("fabric {words}: {why}"))
    }

    /// The person at the laptop logs in, once.
    ///
    /// # Panics
    /// If that fails.
    pub fn login(&self) {
        let mut command = self.cargo(&["login", &self.user_token]);
        let done = self.finish_deploy(&mut command, b"");
        let done = done.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(done.code, 0, "{}", done.err_text());
    }

    /// `cargo deploy WORDS` at the laptop.
    pub fn cargo(&self, words: &[&str]) -> Command {
        let host = self.hosts.host("laptop");
        let mut command = host.command(commands::cargo_deploy(), &["deploy"]);
        command.args(words).env("HOME", host.disk());
        for name in [
            "DEPLOY_FORMAT",
            "NO_COLOR",
            "RUST_BACKTRACE",
            "RUST_LIB_BACKTRACE",
            "XDG_CONFIG_HOME",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// `cargo deploy` of a program that is built already, with these arguments and variables.
    pub fn deploy(&self, program: &Path, args: &[String], env: &[(String, String)]) -> Command {
        self.deploy_at(self.is_here, program, args, env)
    }

    /// The same, with the initial process at the laptop, wherever it is else.
    pub fn deploy_here(&self, program: &Path, args: &[String]) -> Command {
        self.deploy_at(true, program, args, &[])
    }

    fn deploy_at(
        &self,
        is_here: bool,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
    ) -> Command {
        let program = program.to_str().expect("the tests' paths are text");
        let mut command = self.cargo(&[BRIDGE, "--exe", program]);
        if is_here {
            command.arg("--here");
        }
        for (name, value) in env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg("--").args(args);
        command
    }

    /// Runs one of these to its end.
    ///
    /// # Errors
    /// If it does not end, or leaves something behind on the laptop.
    pub fn finish_deploy(&self, command: &mut Command, stdin: &[u8]) -> Result<Finished, String> {
        let host = self.hosts.host("laptop");
        host.within(|| run::finish(command, stdin))
    }

    /// Lets no more leave a host by its cable than so much, such as `100mbit`.
    pub fn limit(&self, host: &str, rate: &str) {
        let words = format!("qdisc add dev eth0 root tbf rate {rate} burst 256kbit latency 50ms");
        self.hosts.host(host).tool("tc", &words);
    }

    /// What `fabric nodes` says of a node: its state and what follows.
    ///
    /// # Panics
    /// If it says nothing.
    pub fn node(&self, name: &str) -> String {
        let finished = self.run("head", "nodes");
        let all = finished.out_text();
        let line = all
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name}:\n{all}"));
        line.to_string()
    }

    /// The daemon on a host.
    ///
    /// # Panics
    /// If there is none.
    pub fn daemon(&mut self, host: &str) -> &mut Daemon {
        let mut all = self.daemons.iter_mut();
        let found = all.find(|(at, _)| at == host);
        &mut found.unwrap_or_else(|| panic!("nothing runs on {host}")).1
    }

    /// All that its daemons have said until now, for whoever looks for the cause of a failure.
    pub fn said(&mut self) -> String {
        let daemons = self.daemons.iter_mut();
        let said = daemons.map(|(host, daemon)| format!("{host} had said:\n{}\n", daemon.said()));
        said.collect()
    }

    /// The processes that serve on a host: on the head these are the master and the node beside it.
    ///
    /// # Panics
    /// If there is none.
    pub fn serving(&mut self, host: &str) -> Vec<u32> {
        let daemon = self.daemon(host).id();
        let is_beside = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"head-node")
        };
        let beside = self.hosts.host(host).processes().into_iter();
        [daemon]
            .into_iter()
            .chain(beside.filter(is_beside))
            .collect()
    }

    /// The hosts that a daemon runs on.
    pub fn served(&self) -> Vec<String> {
        self.daemons.iter().map(|(host, _)| host.clone()).collect()
    }

    /// Hands over the daemon on a host, which somebody else is to look after.
    ///
    /// # Panics
    /// If there is none.
    pub fn release(&mut self, host: &str) -> Daemon {
        let found = self.daemons.iter().position(|(at, _)| at == host);
        let index = found.unwrap_or_else(|| panic!("nothing runs on {host}"));
        self.daemons.remove(index).1
    }

    /// Looks after a daemon.
    pub fn keep(&mut self, host: &str, daemon: Daemon) -> &mut Daemon {
        self.daemons.push((host.to_string(), daemon));
        &mut self.daemons.last_mut().expect("it was just added").1
    }

    /// Stops all daemons as somebody at their terminals would, and fails if anything is left of them.
    ///
    /// # Panics
    /// If so.
    pub fn finish(mut self) {
        for (host, daemon) in self.daemons.drain(..).rev() {
            daemon.signal(Signal::SIGINT);
            let (status, said) = daemon.end();
            assert!(status.success(), "{host} ends with {status}:\n{said}");
        }
        self.hosts.finish();
    }
}

fn command(host: &Host, words: &str) -> Command {
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let mut command = host.command(commands::fabric(), &words);
    command.env("HOME", host.disk());
    command
}

/// What all nodes go by.
const LABEL: &str = "--label tests=yes";
/// Where the head listens for people.
const BRIDGE: &str = "10.77.0.1:8888";
