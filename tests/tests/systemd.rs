//! The README's unit under a real systemd, which is the first process of each host: whom it starts again, and what that
//! leaves alone.
//!
//! Deliberately absent: masters that are killed and started by hand (`restarts.rs`).

use deploy_tests::{cluster::Cluster, commands, daemon::Daemon, hosts::Host};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

#[test]
fn what_a_service_is_started_again_for_its_jobs_do_not_notice() {
    if !Path::new(SYSTEMD).exists() {
        eprintln!("skipped: there is no {SYSTEMD} here");
        return;
    }
    let Some(mut cluster) = Cluster::bare(&["n1"]) else {
        return;
    };
    let mut head = Service::start(cluster.hosts.host("head"), &of_master());
    head.journal.expect("node head is up");
    cluster.user_token = token(&cluster, "user");
    let node = of_node(&token(&cluster, "node"));
    let mut n1 = Service::start(cluster.hosts.host("n1"), &node);
    n1.journal.expect("in the cluster as n1");
    cluster.login();

    let (mut client, done) = errands(&cluster);
    client.expect("errand 3 is done");
    head.control("kill --kill-who=main --signal=KILL fabric");
    let begun = fs::read_dir(done.path()).unwrap().count();
    head.journal.expect("node head is up");
    // Asked for after the kill, whatever was on its way.
    client.expect(&format!("errand {} is done", begun + 2));
    fs::write(done.path().join("stop"), "").unwrap();
    let (status, said) = client.end();
    assert!(status.success() && !said.contains("is refused"), "{said}");

    // A node that is killed is there again, and nothing is left of what ran on it.
    n1.control("kill --kill-who=main --signal=KILL fabric");
    head.journal.expect("node n1 is lost");
    head.journal.expect("node n1 is up");

    let (mut client, _done) = errands(&cluster);
    client.expect("errand 3 is done");
    head.control("stop fabric");
    n1.control("stop fabric");
    head.finish();
    n1.finish();
    client.kill(); // It would look for the master for a minute.
}

/// A job that goes on until there is a file `stop` in the directory, in which each errand leaves one.
fn errands(cluster: &Cluster) -> (Daemon, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let args = [directory.path().to_str().unwrap(), "n1", "head"].map(str::to_string);
    let program = Path::new(env!("CARGO_BIN_EXE_errands"));
    let mut command = cluster.deploy(program, &args, &[]);
    let laptop = cluster.hosts.host("laptop");
    let client = laptop.within(|| Daemon::start(&mut command));
    (client, directory)
}

fn token(cluster: &Cluster, kind: &str) -> String {
    let made = cluster.run("head", &format!("token new {kind}")).out_text();
    let mut words = made.split_whitespace();
    let token = words.find(|word| word.starts_with("fab1-"));
    token.unwrap_or_else(|| panic!("{made}")).to_string()
}

/// The unit that the README has, but for addresses and where the program lies.
fn of_master() -> String {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once("```ini\n").expect("it has a unit");
    let (unit, _) = behind.split_once("```").expect("which ends");
    assert!(unit.contains(INSTALLED), "{unit}");
    unit.replace(INSTALLED, commands::fabric().to_str().unwrap())
        .replace("10.0.0.1", "10.77.0.1")
}

/// What the README says of other machines.
fn of_node(token: &str) -> String {
    let join = format!("ExecStart={} join {token}", commands::fabric().display());
    let line = |line: &str| match line.split_once('=') {
        Some(("KillMode", _)) => String::new(),
        Some(("ExecStart", _)) => format!("{join}\n"),
        _ => format!("{line}\n"),
    };
    of_master().lines().map(line).collect()
}

/// A systemd that is the first process of namespaces within a host's, and serves one unit.
struct Service<'a> {
    host: &'a Host,
    /// Dropped, it takes all of its namespace along.
    systemd: Daemon,
    /// What the unit prints.
    journal: Daemon,
}

impl<'a> Service<'a> {
    fn start(host: &'a Host, unit: &str) -> Service<'a> {
        let units = host.disk().join("units");
        fs::create_dir_all(units.join("fabric.service.d")).unwrap();
        let write = |name: &str, text: &str| fs::write(units.join(name), text).unwrap();
        // What every service waits for, on a machine that has nothing to set up.
        for target in ["sysinit", "basic", "shutdown"] {
            let nothing = "[Unit]\nDefaultDependencies=no\n";
            write(&format!("{target}.target"), nothing);
        }
        write("fabric.service", unit);
        let output = "StandardOutput=append:/var/lib/said\nStandardError=append:/var/lib/said\n";
        let output = format!("[Service]\n{output}");
        write("fabric.service.d/output.conf", &output);
        let said = host.disk().join("said");
        fs::write(&said, "").unwrap();
        let mut tail = Command::new("tail");
        tail.args(["--lines=+1", "--follow"]).arg(said);
        let mut boot = host.command("unshare", &UNSHARE.split(' ').collect::<Vec<_>>());
        boot.args(["sh", "-ec", BOOT, SYSTEMD]).env_clear();
        boot.env("PATH", env::var_os("PATH").unwrap());
        Service {
            host,
            systemd: host.within(|| Daemon::start(&mut boot)),
            journal: Daemon::start(&mut tail),
        }
    }

    /// `systemctl WORDS`, as the superuser of the host.
    fn control(&self, words: &str) {
        let unshare = self.systemd.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let first = children.unwrap();
        let args = ["--mount", "--pid", "--target", first.trim(), "systemctl"];
        let output = Command::new("nsenter")
            .args(args)
            .args(words.split(' '))
            .output();
        let output = output.unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "systemctl {words}: {why}");
    }

    /// Ends it, once the unit is stopped and nothing but its own is left on the host.
    fn finish(mut self) {
        let is_own = |what: &String| {
            let processes = ["unshare ", SYSTEMD];
            let groups = ["/init.scope", "/system.slice"];
            processes.iter().any(|own| what.contains(own))
                || groups.iter().any(|own| what.ends_with(own))
        };
        let deadline = Instant::now() + LEFT_MAX;
        loop {
            let mut left = self.host.left();
            left.retain(|what| !is_own(what));
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}");
            thread::sleep(Duration::from_millis(5)); // Nothing announces the end of processes that are not ours.
        }
        self.journal.kill();
        self.systemd.kill();
    }
}

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Where the README has it.
const INSTALLED: &str = "/usr/local/bin/fabric";
const UNSHARE: &str = "--pid --fork --kill-child --mount --mount-proc --ipc --cgroup";
/// The machine's name would be the host's else. Mounts the control groups, of whichever version, as the namespace has them: the host's own are its roots.
const BOOT: &str = r#"
mount -t tmpfs none /run
hostname >/run/hostname
mount --bind /run/hostname /etc/hostname
if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 none /sys/fs/cgroup
else
    mount -t tmpfs none /sys/fs/cgroup
    for kind in $(cut -d: -f2 /proc/self/cgroup); do
        at=/sys/fs/cgroup/${kind#name=}
        mkdir $at
        case $kind in name=*) kind=none,$kind ;; esac
        mount -t cgroup -o $kind none $at
    done
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 none /sys/fs/cgroup/unified
fi
export container=other SYSTEMD_UNIT_PATH=/var/lib/units
exec $0 --system --unit=fabric.service --log-target=null --show-status=no
"#;
/// How long what was stopped may take to go.
const LEFT_MAX: Duration = Duration::from_secs(5);
