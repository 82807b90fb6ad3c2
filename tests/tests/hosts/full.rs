//! Disks that are full: what has no room is refused in words, nothing is left half, and the jobs of others go on.
//!
//! What is not looked at: later readers of what a job has printed meanwhile.

use deploy_tests::{cluster::Cluster, hosts::Host};
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// A head whose own node has no room for a program, and a node; one of both with a disk of 5 MiB.
fn cluster(small: &str) -> Option<Cluster> {
    let words = "10.77.0.1:9999 1MiB 1 bridge 10.77.0.1:8888";
    let mut cluster = Cluster::bare(&["n1"])?;
    cluster.hosts.host(small).shrink("5m");
    cluster.master(words);
    cluster.join("n1");
    cluster.login();
    Some(cluster)
}

/// `sh`, with so many MiB behind it that do not compress.
fn program(cluster: &Cluster, mib: u64) -> PathBuf {
    let path = cluster.hosts.host("laptop").disk().join("large");
    fs::copy("/bin/sh", &path).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut noise = Vec::new();
    let source = File::open("/dev/urandom").unwrap();
    source.take(mib << 20).read_to_end(&mut noise).unwrap();
    file.write_all(&noise).unwrap();
    path
}

fn start(cluster: &Cluster, program: &Path, script: &str) -> Child {
    let program = program.to_str().unwrap();
    let words = ["10.77.0.1:8888", "--exe", program, "--mem", "16MiB"];
    let mut command = cluster.cargo(&[&words[..], &["--", "-c", script]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| command.spawn()).unwrap()
}

/// What the host keeps of programs; the digests without their ends.
fn kept(host: &Host, place: &str) -> Vec<String> {
    let dir = Path::new("/var/lib/fabric").join(place);
    let names = host.within(|| {
        let files = fs::read_dir(dir).unwrap().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.collect::<Vec<String>>()
    });
    let mut names: Vec<String> = names.iter().map(|name| name[64..].to_string()).collect();
    names.sort();
    names
}

/// A job that has begun, and waits for a line.
fn begin_another(cluster: &Cluster) -> Child {
    let script = "echo begun; read line; echo $line";
    let mut other = start(cluster, Path::new("/bin/sh"), script);
    let mut begun = [0; 6];
    let said = other.stdout.as_mut().unwrap();
    said.read_exact(&mut begun).unwrap();
    assert_eq!(begun, *b"begun\n");
    other
}

/// Gives it that line, by which it ends as it should.
fn let_it_end(mut other: Child) {
    other.stdin.take().unwrap().write_all(b"on\n").unwrap();
    let ended = other.wait_with_output().unwrap();
    assert_eq!(
        (&*ended.stdout, ended.status.code()),
        (&b"on\n"[..], Some(0))
    );
}

/// A large program is refused with these words, while a small one goes on that was there before.
fn check(small: &str, place: &str, words: &[&str]) {
    let Some(cluster) = cluster(small) else {
        return;
    };
    let large = program(&cluster, 8);
    let other = begin_another(&cluster);

    for _ in 0..2 {
        let refused = start(&cluster, &large, "echo it runs")
            .wait_with_output()
            .unwrap();
        let why = String::from_utf8_lossy(&refused.stderr);
        for words in words {
            assert!(why.contains(words), "{words:?} is not in: {why}");
        }
        assert_eq!(refused.status.code(), Some(71), "{why}");
        assert_eq!(refused.stdout, b"");
        assert_eq!(kept(cluster.hosts.host(small), place), ["", ".zst"]);
    }

    let_it_end(other);
    cluster.finish();
}

pub fn a_program_that_the_masters_disk_has_no_room_for_is_refused() {
    let words = ["/var/lib/fabric/images", "No space left", "make room there"];
    check("head", "images", &words);
}

pub fn a_program_that_a_nodes_disk_has_no_room_for_is_refused() {
    let words = ["n1", "/var/lib/fabric/node/images", "make room there"];
    check("n1", "node/images", &words);
}

pub fn a_job_goes_elsewhere_where_a_nodes_disk_has_no_room_for_it() {
    let Some(mut cluster) = Cluster::bare(&["n1", "n2"]) else {
        return;
    };
    cluster.hosts.host("n1").shrink("5m");
    cluster.master("10.77.0.1:9999 1MiB 1 bridge 10.77.0.1:8888");
    // Of two that fit the smaller one is the better.
    for (host, room) in [("n1", "256MiB 1"), ("n2", "512MiB 2")] {
        let address = cluster.hosts.host(host).address;
        let words = format!("join {} {address}:9999 {room}", cluster.node_token);
        cluster.serve(host, &words);
    }
    cluster.login();
    let n1 = cluster.hosts.host("n1");
    n1.within(|| assert!(fs::exists("/var/lib/fabric/node").unwrap()));
    fill(n1);
    for _ in 0..2 {
        let script = "echo it runs on $(uname -n)";
        let done = start(&cluster, Path::new("/bin/sh"), script);
        let done = done.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&done.stderr);
        let (code, said) = (done.status.code(), String::from_utf8_lossy(&done.stdout));
        assert_eq!((code, &*said), (Some(0), "it runs on n2\n"), "{why}");
        assert!(cluster.node("n1").contains("failing"));
    }
    let line = cluster.daemon("head").expect("node n1 cannot take jobs in");
    for words in [
        "go elsewhere",
        "/var/lib/fabric/node/images",
        "No space left",
    ] {
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
    assert_eq!(cluster.said().matches("cannot take jobs in").count(), 1);
    let n1 = cluster.hosts.host("n1");
    assert_eq!(kept(n1, "node/images"), [""; 0]);
    // With room it takes jobs again.
    n1.within(|| fs::remove_file(FILLER)).unwrap();
    let done = start(&cluster, Path::new("/bin/sh"), "uname -n");
    assert_eq!(done.wait_with_output().unwrap().stdout, b"n1\n");
    assert!(!cluster.node("n1").contains("failing"));
    cluster.finish();
}

/// Puts something on a host's disk until no room is left.
fn fill(host: &Host) {
    host.within(|| {
        let mut file = File::create(FILLER).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    });
}

pub fn a_job_that_the_masters_disk_has_no_room_for_is_refused_and_what_runs_goes_on() {
    let Some(cluster) = cluster("head") else {
        return;
    };
    let shell = Path::new("/bin/sh");
    let other = begin_another(&cluster);

    let head = cluster.hosts.host("head");
    fill(head);
    for _ in 0..2 {
        let refused = start(&cluster, shell, "echo it runs");
        let refused = refused.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&refused.stderr);
        for words in ["the master's disk takes nothing", "No space left"] {
            assert!(why.contains(words), "{words:?} is not in: {why}");
        }
        assert_eq!(
            (refused.status.code(), &*refused.stdout),
            (Some(71), &b""[..])
        );
    }
    let_it_end(other);

    head.within(|| fs::remove_file(FILLER)).unwrap();
    let again = start(&cluster, shell, "echo it runs");
    let again = again.wait_with_output().unwrap();
    assert_eq!(
        (again.status.code(), &*again.stdout),
        (Some(0), &b"it runs\n"[..])
    );
    cluster.finish();
}

const FILLER: &str = "/var/lib/filler";
