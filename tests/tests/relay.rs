//! Connections that two machines cannot make themselves, by way of the master; and what becomes of them when it fails.
//!
//! What is not looked at: what each piece of a connection means, which `deploy-monitor` tests.

use deploy_tests::{cluster::Cluster, daemon::Daemon, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::process::CommandExt, path::Path, process::Command, time::Instant};

const APART: &str = env!("CARGO_BIN_EXE_apart");

/// A head and two nodes that do not reach each other, and of which each has room for a third of a hundred processes.
fn apart() -> Option<Cluster> {
    let cluster = Cluster::with_room(&["n1", "n2"], "10GiB 100")?;
    cluster.login();
    cluster.hosts.cut_pair("n1", "n2");
    Some(cluster)
}

#[test]
fn processes_whose_nodes_cannot_dial_each_other_talk_all_the_same() {
    let Some(mut cluster) = apart() else { return };
    let begun = Instant::now();
    let outcome = run::on_cluster(
        &mut cluster,
        Path::new(env!("CARGO_BIN_EXE_all_to_all")),
        include_str!("../programs/all_to_all.rs"),
    );
    println!("all to all, relayed: {:?}", begun.elapsed());
    cluster.finish();
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn nobody_waits_for_a_channel_that_nobody_reads() {
    let Some(cluster) = apart() else { return };
    let args = ["beside", "n2", "n1"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let done = cluster.finish_deploy(&mut command, b"").unwrap();
    assert_eq!(done.code, 0, "{}", done.err_text());
    let longest: u64 = done.out_text().trim().parse().unwrap();
    println!("100 MB unread on one channel: the longest of 300 turns on another took {longest} ms");
    assert!(longest < 5_000, "{longest} ms");
    cluster.finish();
}

/// A stream from n2 to n1, read at once or late.
fn stream(cluster: &Cluster, task: &str) -> Daemon {
    let args = [task, "n2", "n1"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let laptop = cluster.hosts.host("laptop");
    let mut client = laptop.within(|| Daemon::start(&mut command));
    client.expect("it flows");
    client
}

/// The warden of the only job on a host.
fn warden(cluster: &Cluster, host: &str) -> Pid {
    let mut all = cluster.hosts.host(host).processes().into_iter();
    let is_it = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"warden")
    };
    let pid = all.find(is_it).expect("the job is there");
    Pid::from_raw(pid as i32)
}

#[test]
fn a_stream_that_is_cut_is_lost_and_never_closed() {
    let Some(mut cluster) = apart() else { return };
    // The master goes, and with it all that was on its way; both processes live on.
    let clients = ["stream", "late"].map(|task| stream(&cluster, task));
    let master = cluster.release("head");
    master.signal(Signal::SIGKILL);
    master.end();
    cluster.master("10.77.0.1:9999 10GiB 100 bridge 10.77.0.1:8888");
    for mut client in clients {
        // Each of the two is told, also where the other has ended since as if all were well.
        client.expect("reader: lost");
        let (status, said) = client.end();
        assert!(status.success() && said.contains("source: lost"), "{said}");
    }
    // A warden goes, and with it its processes; what it had read of them was on its way.
    let mut client = stream(&cluster, "stream");
    kill(warden(&cluster, "n2"), Signal::SIGKILL).unwrap();
    client.expect("reader: exited");
    let (status, said) = client.end();
    assert_eq!(status.code(), Some(137), "{said}");
    cluster.finish();
}

/// From now on a process opens no more descriptors, or again as many as usual.
fn limit_descriptors(pid: Pid, is_short: bool) {
    let limit = if is_short { 0 } else { 4096 };
    let args = ["--pid", &pid.to_string(), &format!("--nofile={limit}:")];
    // As its user: not every superuser may change what another's process may have.
    let about = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let own = |name| {
        let line = about.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let mut command = Command::new("prlimit");
    let status = command
        .args(args)
        .uid(own("Uid:"))
        .gid(own("Gid:"))
        .status();
    assert!(status.expect("util-linux has it").success());
}

#[test]
fn who_has_no_descriptor_for_a_connection_is_told_and_so_is_the_other() {
    let Some(cluster) = apart() else { return };
    // The connection is to be relayed; then it could be dialed, if there were a descriptor for that.
    for way in ["by way of the master", "directly"] {
        if way == "directly" {
            cluster.hosts.heal_pair("n1", "n2");
        }
        let args = ["n2", "n1"].map(str::to_string);
        let mut command = cluster.deploy(Path::new(env!("CARGO_BIN_EXE_short")), &args, &[]);
        let laptop = cluster.hosts.host("laptop");
        let mut job = laptop.within(|| Daemon::start_listening(&mut command));
        job.expect("both are there");
        let warden = warden(&cluster, "n2");
        limit_descriptors(warden, true);
        job.tell("meet");
        let refused = job.expect("none begins: ");
        assert!(refused.contains("open files"), "{way}: {refused}");
        limit_descriptors(warden, false);
        job.tell("meet");
        let (status, said) = job.end();
        assert!(status.success(), "{way}: {said}");
        let lines = said.lines().map(str::trim);
        let told: Vec<_> = lines.filter(|line| line.contains("here: ")).collect();
        let expected = [
            "here: Err(Lost(Broken))",
            "there: Err(Lost(NoDescriptor))",
            "here: Ok(42)",
            "there: Ok(42)",
        ];
        assert_eq!(told, expected, "{way}: {said}");
    }
    cluster.finish();
}
