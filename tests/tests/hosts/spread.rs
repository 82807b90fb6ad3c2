//! A program on its way to many nodes: they pass it on, so that it leaves the head once, and who vanishes is replaced.
//!
//! What is not looked at: who gives it to whom.

use deploy_tests::cluster::Cluster;
use std::{
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The head, which has room for no program, behind a link of 100 Mbit/s; and three nodes with room for one each.
fn cluster() -> Option<Cluster> {
    let words = "10.77.0.1:9999 1MiB 1 bridge 10.77.0.1:8888";
    let mut cluster = Cluster::head_only(&["n1", "n2", "n3"], words)?;
    for (node, address) in [("n1", 2), ("n2", 3), ("n3", 4)] {
        let words = format!("join {} 10.77.0.{address}:9999 1GiB 1", cluster.node_token);
        cluster.serve(node, &words);
    }
    cluster.login();
    cluster.limit("head", "100mbit");
    Some(cluster)
}

/// `sh`, with so many MiB behind it that do not compress; no two are alike.
fn program(cluster: &Cluster, mib: usize) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("large-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let path = cluster.hosts.host("laptop").disk().join(name);
    let mut bytes = fs::read("/bin/sh").unwrap();
    let noise = File::open("/dev/urandom").unwrap();
    noise
        .take((mib << 20) as u64)
        .read_to_end(&mut bytes)
        .unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// Begins to run the program where there is room for it; with more than there is it is only sent.
fn start(cluster: &Cluster, program: &Path, mem: &str) -> Child {
    let program = program.to_str().unwrap();
    let words = ["10.77.0.1:8888", "--exe", program, "--mem", mem];
    let script = "echo it runs; sleep 2";
    let mut command = cluster.cargo(&[&words[..], &["--", "-c", script]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| command.spawn()).unwrap()
}

fn send(cluster: &Cluster, program: &Path) {
    let sent = start(cluster, program, "2GiB").wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&sent.stderr);
    assert_eq!(sent.status.code(), Some(72), "{said}");
}

fn has_run(job: Child) {
    let ended = job.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.stdout, b"it runs\n", "{said}");
}

/// Where nodes keep programs.
fn arriving(cluster: &Cluster, node: &str) -> u64 {
    let kept = cluster.hosts.host(node).disk().join("fabric/node/images");
    let files = fs::read_dir(kept).unwrap().flatten();
    let frames = files.filter(|file| file.path().to_string_lossy().ends_with(".zst.part"));
    frames
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// The first of the nodes on which so much has arrived and the rest has not.
fn first_with(cluster: &Cluster, bytes: u64) -> &'static str {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut nodes = ["n1", "n2", "n3"].into_iter();
        if let Some(node) = nodes.find(|node| arriving(cluster, node) > bytes) {
            return node;
        }
        assert!(Instant::now() < deadline, "nothing comes anywhere");
        thread::sleep(Duration::from_millis(2)); // A file says nothing when it grows.
    }
}

pub fn three_nodes_take_a_program_from_the_head_once() {
    let Some(cluster) = cluster() else {
        return;
    };
    let mib = 8;
    let program = program(&cluster, mib);
    send(&cluster, &program);
    let (before, begun) = (cluster.hosts.host("head").sent(), Instant::now());
    let jobs = [(); 3].map(|()| start(&cluster, &program, "1GiB"));
    jobs.into_iter().for_each(has_run);
    let (sent, took) = (cluster.hosts.host("head").sent() - before, begun.elapsed());
    assert!(sent < (mib as u64 * 3 / 2) << 20, "{sent}");
    // Beside it three that the nodes have to take from the head each.
    let programs = [(); 3].map(|()| self::program(&cluster, mib));
    programs.iter().for_each(|program| send(&cluster, program));
    let begun = Instant::now();
    let jobs = programs.map(|program| start(&cluster, &program, "1GiB"));
    jobs.into_iter().for_each(has_run);
    let seconds = |took: Duration| (took - Duration::from_secs(2)).as_secs_f64();
    println!(
        "three nodes have {mib} MiB after {:.1} s, and {:.1} MiB left the head; from the head each it takes {:.1} s",
        seconds(took),
        sent as f64 / f64::from(1 << 20),
        seconds(begun.elapsed())
    );
    cluster.finish();
}

pub fn two_people_send_one_program_at_once() {
    let Some(cluster) = cluster() else {
        return;
    };
    let mib = 4;
    let program = program(&cluster, mib);
    cluster.limit("laptop", "50mbit"); // So that they meet.
    let begun = Instant::now();
    let jobs = [(); 2].map(|()| start(&cluster, &program, "1GiB"));
    jobs.into_iter().for_each(has_run);
    let laptop = cluster.hosts.host("laptop");
    println!(
        "both run after {:.1} s, {:.1} MiB left the laptop",
        (begun.elapsed() - Duration::from_secs(2)).as_secs_f64(),
        laptop.sent() as f64 / f64::from(1 << 20)
    );
    cluster.finish();
}

pub fn a_node_that_vanishes_halfway_is_replaced() {
    let Some(mut cluster) = cluster() else {
        return;
    };
    let mib = 16;
    let program = program(&cluster, mib);
    send(&cluster, &program);
    let first = start(&cluster, &program, "1GiB");
    let gone = first_with(&cluster, 1 << 20);
    let others = [(); 2].map(|()| start(&cluster, &program, "1GiB"));
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_passed_on = || {
        let nodes = ["n1", "n2", "n3"].into_iter();
        let mut others = nodes.filter(|node| *node != gone);
        others.any(|node| arriving(&cluster, node) > 4 << 20)
    };
    while !is_passed_on() {
        assert!(Instant::now() < deadline, "{gone} passes nothing on");
        thread::sleep(Duration::from_millis(2));
    }
    cluster.hosts.power_off(gone);
    others.into_iter().for_each(has_run);
    let first = first.wait_with_output().unwrap();
    assert!(!first.status.success());
    drop(cluster.release(gone));
    cluster.hosts.power_on(gone);
    cluster.finish();
}
