//! Hosts on one machine: each a network namespace of its own with one address, joined by a switch that is one too.
//!
//! Nothing of it has a name outside: the namespaces live as long as this process holds them, or a process lives in them,
//! so that test runs do not meet and a run that is killed leaves no link behind. A host also has its own name
//! and its own `/var/lib`, and what runs there is in control groups of its own; everything else it shares with the machine.
//!
//! Deliberately absent: what runs on the hosts.

mod loss;

use crate::leftovers;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid, sethostname},
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
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

/// One of them.
#[derive(Debug)]
pub struct Host {
    /// What it calls itself.
    pub name: String,
    /// Where the others reach it.
    pub address: IpAddr,
    /// The switch's end of its cable.
    port: String,
    disk: PathBuf,
    /// What is started here is in these.
    groups: Vec<PathBuf>,
    spaces: Spaces,
}

/// Namespaces that exist for as long as these are open.
#[derive(Debug)]
struct Spaces {
    net: File,
    /// Of the host's name and of its mounts; the switch has none.
    own: Option<(File, File)>,
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

    /// Pulls a host's cable out at the switch: it hears and says nothing, and nobody is told.
    pub fn cut(&self, name: &str) {
        self.ip(&format!("link set {} nomaster", self.host(name).port));
    }

    /// Plugs it in again.
    pub fn heal(&self, name: &str) {
        self.plug_in(&self.host(name).port);
    }

    fn plug_in(&self, port: &str) {
        self.ip(&format!("link set {port} master br0"));
        // The switch forwards a little later, and what is lost until then is asked for again only after a second.
        let show = format!("link show dev {port}");
        let deadline = Instant::now() + READY_MAX;
        while !self.tool("bridge", &show).contains("state forwarding") {
            assert!(Instant::now() < deadline, "{port} is never ready");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// These two do not reach each other any more, but everybody else does reach both.
    pub fn cut_pair(&self, one: &str, other: &str) {
        self.isolate([one, other], "on");
    }

    /// They do again.
    pub fn heal_pair(&self, one: &str, other: &str) {
        self.isolate([one, other], "off");
    }

    /// What the one sends to the other is lost, and nothing else is.
    pub fn cut_way(&self, from: &str, to: &str) {
        self.believe(from, to, NOBODY);
    }

    /// It arrives again.
    pub fn heal_way(&self, from: &str, to: &str) {
        let to_card = card(self.number(to));
        self.believe(from, to, &to_card);
    }

    /// Has one host take this for the card of the other.
    fn believe(&self, host: &str, other: &str, card: &str) {
        let address = self.host(other).address;
        let words = format!("neigh replace {address} lladdr {card} dev eth0 nud permanent");
        self.host(host).tool("ip", &words);
    }

    fn number(&self, name: &str) -> u8 {
        let index = self.hosts.iter().position(|host| host.name == name);
        let index = index.unwrap_or_else(|| panic!("there is no host {name}"));
        index as u8 + 1
    }

    /// A host's cable carries no more than this in either direction, such as `8mbit`, and loses what comes faster.
    pub fn slow(&self, name: &str, rate: &str) {
        let host = self.host(name);
        let words = |device: &str| {
            format!("qdisc replace dev {device} root tbf rate {rate} burst 16kb latency 50ms")
        };
        host.tool("tc", &words("eth0"));
        self.tool("tc", &words(&host.port));
    }

    /// It is as quick as ever.
    pub fn heal_slow(&self, name: &str) {
        let host = self.host(name);
        host.tool("tc", "qdisc del dev eth0 root");
        self.tool("tc", &format!("qdisc del dev {} root", host.port));
    }

    fn isolate(&self, names: [&str; 2], state: &str) {
        for name in names {
            let port = &self.host(name).port;
            self.tool("bridge", &format!("link set dev {port} isolated {state}"));
        }
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

impl Host {
    /// Does something on this host: what is started within runs there, and so do connections made within.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.spaces.within(act)
    }

    /// A program that is to run here, with these arguments.
    pub fn command(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = "n=$1; shift; while [ $n -gt 0 ]; do echo $$ >\"$1/cgroup.procs\"; shift; n=$((n-1)); done; exec \"$@\"";
        command.args(["-c", script, "host", &self.groups.len().to_string()]);
        command.args(&self.groups).arg(program).args(args);
        command
    }

    /// What the host has in `/var/lib`.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// How many bytes have left it by its cable.
    ///
    /// # Panics
    /// If its kernel does not say.
    pub fn sent(&self) -> u64 {
        let all = self.within(|| fs::read_to_string("/proc/thread-self/net/dev"));
        let all = all.expect("the kernel counts");
        let line = all
            .lines()
            .find_map(|line| line.trim().strip_prefix("eth0:"));
        let mut counts = line.expect("it has a cable").split_whitespace();
        let sent = counts.nth(8).and_then(|sent| sent.parse().ok());
        sent.expect("the ninth is what was sent")
    }

    /// Gives it another disk, which is empty and of this size, such as `5m`, until it is off.
    pub fn shrink(&self, size: &str) {
        let words = format!("-t tmpfs -o size={size},mode=755 none /var/lib");
        self.tool("mount", &words);
    }

    /// Gives it another disk, which is empty and can be [frozen](Host::freeze), until it is off. False, and a line that says so,
    /// where none can be made.
    ///
    /// # Panics
    /// Where it should be possible but is not.
    pub fn give_disk(&self, mib: u64) -> bool {
        for program in ["mkfs.ext4", "fsfreeze"] {
            if let Err(error) = Command::new(program).arg("-V").output() {
                eprintln!("skipped: no disk can be made here: {program}: {error}");
                return false;
            }
        }
        let image = self.disk.with_extension("image");
        let file = File::create(&image).expect("the directory is ours");
        file.set_len(mib << 20).expect("it takes no room yet");
        let image = image.display();
        self.tool("mkfs.ext4", &format!("-q {image}"));
        self.tool("mount", &format!("-o loop {image} /var/lib"));
        true
    }

    /// Whoever writes to its disk waits from now on, until this is dropped.
    pub fn freeze(&self) -> Frozen<'_> {
        self.tool("fsfreeze", "-f /var/lib");
        Frozen(self)
    }

    /// Has this host's kernel reset all TCP connections that it has with these addresses, and tell their other ends so by a packet:
    /// as who is between two hosts does to both. False, and a line that says so, where it cannot.
    ///
    /// # Panics
    /// If there is nothing to reset.
    pub fn reset(&self, peers: &str) -> bool {
        let show = format!("-Htn state established dst {peers}");
        let listed = || self.within(|| run("ss", &show));
        let before = listed();
        assert!(!before.is_empty(), "no connection with {peers}");
        self.tool("ss", &format!("-K {show}"));
        let after = listed();
        let left: HashSet<_> = after.lines().map(ends_of).collect();
        let is_done = !before.lines().any(|line| left.contains(&ends_of(line)));
        if !is_done {
            eprintln!("skipped: the kernel resets no connections (CONFIG_INET_DIAG_DESTROY)");
        }
        is_done
    }

    /// All that run here.
    pub fn processes(&self) -> Vec<u32> {
        let about = self.spaces.net.metadata().expect("it is open");
        let is_here = |pid: &u32| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|net| (net.dev(), net.ino()) == (about.dev(), about.ino()))
        };
        leftovers::every_process().filter(is_here).collect()
    }

    /// How many control groups there are within its own.
    pub fn control_groups(&self) -> usize {
        leftovers::groups_below(self.groups.clone()).len()
    }

    /// All that is here and may not stay: processes and control groups, in words.
    pub fn left(&self) -> Vec<String> {
        let groups = leftovers::groups_below(self.groups.clone());
        let groups = groups.iter().map(|group| group.display().to_string());
        let processes = self.processes().into_iter().map(leftovers::describe);
        processes.chain(groups).collect()
    }

    /// Removes the control groups, whose processes are dead or dying.
    fn remove_groups(&self) {
        let deadline = Instant::now() + LEFT_MAX;
        let all = leftovers::groups_below(self.groups.clone());
        // Those within others come later in their order.
        for group in self.groups.iter().chain(&all).rev() {
            while fs::remove_dir(group).is_err() && group.exists() {
                if Instant::now() > deadline {
                    return eprintln!("{} is left", group.display());
                }
                thread::sleep(Duration::from_millis(2)); // Dying announces itself only in cgroup2.
            }
        }
    }

    /// Ends all that run here.
    fn kill(&self) {
        for pid in self.processes() {
            // One that has ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }

    /// Runs a tool of the network's here.
    pub(crate) fn tool(&self, program: &str, words: &str) {
        self.within(|| run(program, words));
    }
}

/// A disk that stands still.
#[derive(Debug)]
pub struct Frozen<'a>(&'a Host);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.tool("fsfreeze", "-u /var/lib");
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

impl Spaces {
    fn of_switch() -> io::Result<Spaces> {
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(Spaces {
                net: File::open("/proc/thread-self/ns/net")?,
                own: None,
            })
        })
    }

    fn of_host(name: &str, disk: &Path) -> io::Result<Spaces> {
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS)?;
            sethostname(name)?;
            let nothing: Option<&str> = None;
            let is_own = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(nothing, "/", nothing, is_own, nothing)?;
            mount(Some(disk), "/var/lib", nothing, MsFlags::MS_BIND, nothing)?;
            let open = |kind| File::open(format!("/proc/thread-self/ns/{kind}"));
            Ok(Spaces {
                net: open("net")?,
                own: Some((open("uts")?, open("mnt")?)),
            })
        })
    }

    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            self.enter().expect("the superuser may enter namespaces");
            act()
        })
    }

    fn enter(&self) -> nix::Result<()> {
        setns(&self.net, CloneFlags::CLONE_NEWNET)?;
        let Some((uts, mounts)) = &self.own else {
            return Ok(());
        };
        setns(uts, CloneFlags::CLONE_NEWUTS)?;
        // Threads that share a working directory cannot be in different mount namespaces.
        unshare(CloneFlags::CLONE_FS)?;
        let here = std::env::current_dir();
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        here.map_or(Ok(()), |here| nix::unistd::chdir(&here))
    }
}

/// Namespaces belong to threads, and are inherited by those and the processes that a thread starts.
fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let ended = scope.spawn(act).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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

/// Which connection is on this line: both its addresses, behind two queues whose lengths change.
fn ends_of(line: &str) -> Vec<&str> {
    line.split_whitespace().skip(2).take(2).collect()
}

/// A card that no host has.
const NOBODY: &str = "02:00:de:ad:00:00";
/// How long a cable may take to carry anything.
const READY_MAX: Duration = Duration::from_secs(5);
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
