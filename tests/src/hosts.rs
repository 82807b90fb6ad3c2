//! Hosts on one machine: each a network namespace of its own with one address, joined by a switch that is one too.
//!
//! Nothing of it has a name outside: the namespaces live as long as this process holds them, or a process lives in them,
//! so that test runs do not meet and a run that is killed leaves no link behind. A host also has its own name
//! and its own `/var/lib`, and what runs there is in control groups of its own; everything else it shares with the machine.
//!
//! Deliberately absent: what runs on the hosts.

mod cables;
mod host;
mod loss;
mod spaces;

pub use host::{Frozen, Host};

use crate::leftovers;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};
use spaces::{Spaces, on_a_thread};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A switch and the hosts that are plugged into it.
#[derive(Debug)]
pub struct Hosts {
    switch: Spaces,
    hosts: Vec<Host>,
    directory: PathBuf,
}

impl Hosts {
    /// Hosts with these names, at 10.77.0.1 and so on. Nothing, and a line that says so, where they cannot be made; on the
    /// machines that check every change that fails.
    ///
    /// # Panics
    /// Where they should be possible but are not.
    pub fn raise(names: &[&str]) -> Option<Hosts> {
        if let Some(why) = missing() {
            assert!(
                std::env::var_os("CI").is_none(),
                "no hosts can be made here: {why}"
            );
            eprintln!("skipped: no hosts can be made here: {why}");
            return None;
        }
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("deploy-hosts-{}-{run}", std::process::id());
        leftovers::clear_after_killed("deploy-hosts-");
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("the temporary directory can be written");
        let switch = Spaces::of_switch().expect("the superuser may make namespaces");
        let mut hosts = Hosts {
            switch,
            hosts: Vec::new(),
            directory,
        };
        hosts.ip("link add br0 type bridge");
        hosts.ip("link set br0 up");
        for (index, name) in names.iter().enumerate() {
            let host = hosts.boot(name, index as u8 + 1);
            hosts.hosts.push(host);
        }
        Some(hosts)
    }

    /// The host of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("there is no host {name}"))
    }

    fn number(&self, name: &str) -> u8 {
        let index = self.hosts.iter().position(|host| host.name == name);
        let index = index.unwrap_or_else(|| panic!("there is no host {name}"));
        index as u8 + 1
    }

    /// Takes the power from a host: its processes are gone, and not one packet more leaves it.
    pub fn power_off(&self, name: &str) {
        self.cut(name);
        self.host(name).kill();
    }

    /// Starts it again, with its disk and its address, and nothing running.
    pub fn power_on(&mut self, name: &str) {
        let number = self.number(name);
        let index = usize::from(number - 1);
        // What its kernel still wanted to send goes with the cable.
        self.ip(&format!("link del {}", self.hosts[index].port));
        self.hosts[index].remove_groups();
        let host = self.boot(name, number);
        self.hosts[index] = host;
    }

    /// Fails if a process still lives on one of the hosts, or a control group is left there, once a moment has passed.
    ///
    /// # Panics
    /// If so.
    pub fn finish(self) {
        let deadline = Instant::now() + LEFT_MAX;
        let mut left = self.left();
        while !left.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5)); // Nothing announces the end of processes that are not ours.
            left = self.left();
        }
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    fn left(&self) -> Vec<String> {
        self.hosts.iter().flat_map(Host::left).collect()
    }

    fn boot(&self, name: &str, number: u8) -> Host {
        let disk = self.directory.join(name);
        fs::create_dir_all(&disk).expect("the directory is ours");
        let host = Host {
            name: name.to_string(),
            address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, number)),
            port: format!("port{number}"),
            spaces: Spaces::of_host(name, &disk).expect("the superuser may make namespaces"),
            disk,
            groups: leftovers::own_groups(&format!("{}-{name}", self.name())),
        };
        let at = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            host.spaces.net.as_raw_fd()
        );
        let port = &host.port;
        // A host that was off comes back with the card that the others remember.
        let card = card(number);
        self.ip(&format!(
            "link add {port} type veth peer name eth0 address {card} netns {at}"
        ));
        self.ip(&format!("link set {port} up"));
        host.tool("ip", &format!("addr add {}/24 dev eth0", host.address));
        host.tool("ip", "link set eth0 up");
        host.tool("ip", "link set lo up");
        self.plug_in(port);
        host
    }

    /// No other run has the same.
    fn name(&self) -> std::borrow::Cow<'_, str> {
        let name = self.directory.file_name();
        name.expect("it has one").to_string_lossy()
    }

    fn ip(&self, words: &str) {
        self.tool("ip", words);
    }

    fn tool(&self, program: &str, words: &str) -> String {
        self.switch.within(|| run(program, words))
    }
}

/// A test that fails leaves nothing either.
impl Drop for Hosts {
    fn drop(&mut self) {
        self.hosts.iter().for_each(Host::kill);
        self.hosts.iter().for_each(Host::remove_groups);
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

/// Why no hosts can be made here.
fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("only the superuser may".to_string());
    }
    for program in ["ip", "bridge"] {
        if let Err(error) = Command::new(program).arg("-V").output() {
            return Some(format!("{program}, of iproute2: {error}"));
        }
    }
    let made = on_a_thread(|| unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS));
    made.err().map(|error| format!("namespaces: {error}"))
}

/// The address of a host's network card.
fn card(number: u8) -> String {
    format!("02:00:0a:4d:00:{number:02x}")
}

fn run(program: &str, words: &str) -> String {
    let output = Command::new(program)
        .args(words.split(' '))
        .output()
        .expect("it was there before");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words}: {why}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How long what was killed may take to go.
const LEFT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
        process::Stdio,
    };

    /// Whether one host reaches another at once.
    fn reaches(hosts: &Hosts, from: &str, to: &str) -> bool {
        let to = hosts.host(to);
        let address = SocketAddr::new(to.address, 7000);
        let listener = to.within(|| TcpListener::bind(address)).unwrap();
        let patience = Duration::from_millis(500);
        let dialed = hosts
            .host(from)
            .within(|| TcpStream::connect_timeout(&address, patience));
        let Ok(mut dialed) = dialed else {
            return false;
        };
        dialed.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
        bytes == *b"hello"
    }

    #[test]
    fn hosts_reach_each_other_until_they_are_cut() {
        let Some(mut hosts) = Hosts::raise(&["head", "n1", "n2"]) else {
            return;
        };
        let check = |hosts: &Hosts, expect: [bool; 3]| {
            let pairs = [("head", "n1"), ("n1", "n2"), ("n2", "head")];
            assert_eq!(pairs.map(|(from, to)| reaches(hosts, from, to)), expect);
        };
        check(&hosts, [true; 3]);
        hosts.cut("n1");
        check(&hosts, [false, false, true]);
        hosts.heal("n1");
        hosts.cut_pair("n1", "n2");
        check(&hosts, [true, false, true]);
        hosts.heal_pair("n1", "n2");
        hosts.power_off("n2");
        check(&hosts, [true, false, false]);
        hosts.power_on("n2");
        check(&hosts, [true; 3]);
        hosts.finish();
    }

    #[test]
    fn a_cable_loses_as_many_packets_as_it_should() {
        let Some(hosts) = Hosts::raise(&["head", "n1"]) else {
            return;
        };
        let (head, n1) = (hosts.host("head"), hosts.host("n1"));
        let bound = |host: &Host| {
            let address = SocketAddr::new(host.address, 7000);
            host.within(|| UdpSocket::bind(address)).unwrap()
        };
        let (from, to) = (bound(head), bound(n1));
        to.set_nonblocking(true).unwrap();
        // What is sent has come when the call returns: the cable's two ends are one kernel's.
        let arrived = || {
            let sent = |_: &u32| {
                from.send_to(b"x", (n1.address, 7000)).unwrap();
                to.recv(&mut [0]).is_ok()
            };
            (0..1000).filter(sent).count()
        };
        assert_eq!(arrived(), 1000);
        if !hosts.lose("n1", 200) {
            return;
        }
        let some = arrived();
        assert!((650..950).contains(&some), "{some} of 1000");
        hosts.heal_loss("n1");
        assert_eq!(arrived(), 1000);
        hosts.finish();
    }

    #[test]
    fn a_host_has_its_own_name_and_disk_and_processes() {
        let Some(hosts) = Hosts::raise(&["head", "n1"]) else {
            return;
        };
        let shell = |host: &str, script: &str| {
            let host = hosts.host(host);
            let mut command = host.command("sh", &["-c", script]);
            let output = host.within(|| command.output()).unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(shell("n1", "uname -n"), "n1\n");
        shell("n1", "echo mine > /var/lib/file");
        assert_eq!(shell("head", "cat /var/lib/file"), "");
        let kept = hosts.host("n1").disk().join("file");
        assert_eq!(fs::read_to_string(kept).unwrap(), "mine\n");

        let mut cat = hosts.host("n1").command("cat", &[]);
        cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cat = hosts.host("n1").within(|| cat.spawn()).unwrap();
        cat.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        cat.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(hosts.host("n1").processes(), [cat.id()]);
        for group in &hosts.host("n1").groups {
            let members = fs::read_to_string(group.join("cgroup.procs")).unwrap();
            let shown = group.display();
            assert_eq!(members.trim(), cat.id().to_string(), "{shown}");
        }
        assert!(hosts.host("head").processes().is_empty());
        hosts.power_off("n1");
        assert!(!cat.wait().unwrap().success());
        hosts.finish();
    }
}
