//! Jobs that outlive their terminals: a real master with a node on the loopback, connections that are cut, clients that are
//! killed, a disk that is full.
//!
//! In the suite the numbered lines are few; `DEPLOY_TEST_MEGABYTES=100` before `cargo test --release -p cargo-deploy --test
//! deploy outlive` has a hundred megabytes of them cross twenty cuts, and twenty clients be killed.

use crate::{
    cluster::Cluster,
    person::{code, said, stderr, stdout},
};
use deploy_trust::{identity::Identity, state::StateDir};
use nix::{sys::signal::Signal, unistd::geteuid};
use std::{
    env, fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

impl Cluster {
    /// Another address of the bridge, whose connections are cut after so many bytes to the client, the first so many of them.
    fn bad_line(&self, bytes: u64, cuts: u64) -> BadLine {
        let line = BadLine::start(self.bridge.parse().unwrap(), bytes, cuts);
        let clusters = self.person.home().join("deploy/clusters");
        let own = StateDir::open(&clusters.join(&self.bridge)).unwrap();
        let mut identity = Identity::load(&own).unwrap().unwrap();
        identity.address = line.address.to_string();
        let other = StateDir::open(&clusters.join(&identity.address)).unwrap();
        identity.save(&other).unwrap();
        line
    }
}

/// Leads to the bridge, for a while.
struct BadLine {
    address: SocketAddr,
    /// How many connections were cut.
    cuts: Arc<AtomicU64>,
}

impl BadLine {
    /// It ends with the test, which has no more to do with it then.
    fn start(bridge: SocketAddr, bytes: u64, cuts_max: u64) -> BadLine {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let counted = cuts.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(bridge) = TcpStream::connect(bridge) else {
                    return;
                };
                let limit = match counted.load(Ordering::SeqCst) < cuts_max {
                    true => bytes,
                    false => u64::MAX,
                };
                let counted = counted.clone();
                thread::spawn(move || carry(&client, &bridge, limit, &counted));
            }
        });
        BadLine { address, cuts }
    }
}

/// Until one side ends, or so many bytes have come from the bridge: then both are cut without a goodbye.
fn carry(client: &TcpStream, bridge: &TcpStream, limit: u64, cuts: &AtomicU64) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*client, &mut &*bridge);
            let _ = bridge.shutdown(Shutdown::Both);
        });
        let carried = io::copy(&mut bridge.take(limit), &mut &*client);
        if carried.is_ok_and(|carried| carried == limit) {
            cuts.fetch_add(1, Ordering::SeqCst);
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = bridge.shutdown(Shutdown::Both);
    });
}

/// Numbered lines, of about so many megabytes in all, and how many they are.
fn lines(megabytes: u64) -> (Vec<u8>, String) {
    let wanted = env::var("DEPLOY_TEST_MEGABYTES");
    let megabytes = wanted.map_or(megabytes, |word| word.parse().unwrap());
    let count = megabytes * 1_000_000 / 8;
    let mut bytes = Vec::new();
    for number in 1..=count {
        writeln!(bytes, "{number}").unwrap();
    }
    (bytes, count.to_string())
}

/// Where they differ, rather than both of them.
#[track_caller]
fn same(found: &[u8], expected: &[u8]) {
    let pairs = found.iter().zip(expected);
    let until = pairs.take_while(|(one, other)| one == other).count();
    assert!(
        found == expected,
        "{} bytes and {}, alike until {until}: {:?} and {:?}",
        found.len(),
        expected.len(),
        String::from_utf8_lossy(&found[until..found.len().min(until + 40)]),
        String::from_utf8_lossy(&expected[until..expected.len().min(until + 40)]),
    );
}

#[test]
fn each_byte_comes_once_over_connections_that_are_cut() {
    let cluster = Cluster::start();
    let (lines, count) = lines(8);
    let line = cluster.bad_line(lines.len() as u64 / SHORT, CUTS);
    let address = line.address.to_string();
    let mut command = cluster.run(&address, &["--format", "json"], &["/usr/bin/seq", &count]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(line.cuts.load(Ordering::SeqCst), CUTS);
    let events: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("spawn"), of("exit")), (1, 1));
    assert_eq!(events.last().unwrap()["event"], "exit");
    let texts = events.iter().filter_map(|event| {
        event["text"]
            .as_str()
            .filter(|_| event["event"] == "output")
    });
    let text: String = texts.collect();
    same(text.as_bytes(), &lines);
}

#[test]
fn much_output_takes_less_room_and_is_the_same_again() {
    let cluster = Cluster::start();
    let (lines, count) = lines(8);
    let program = fs::read("/bin/sh").unwrap();
    let script = format!("seq {count}; cat /bin/sh /bin/sh; seq {count} >&2; seq {count}");
    let output = cluster.run(&cluster.bridge, &[], &["/bin/sh", "-c", &script]);
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = [&lines[..], &program, &program, &lines].concat();
    same(&output.stdout, &expected);
    let printed_too = String::from_utf8(lines.clone()).unwrap();
    assert!(
        stderr(&output).contains(&printed_too),
        "all of it, between our own words"
    );
    // It is kept as it came: numbers in a row are far shorter, and most of a program is.
    let printed = expected.len() + lines.len();
    let kept = bytes_below(&cluster.state.join("records"));
    assert!(kept < printed as u64 / 2, "{kept} of {printed} bytes");
    let job = stdout(&cluster.deploy(&["ps", "--all", "--format", "json"]));
    let job: serde_json::Value = serde_json::from_str(&job).unwrap();
    let logs = cluster.deploy(&["logs", job["job"].as_str().unwrap()]);
    same(&logs.stdout, &expected);
    assert!(stderr(&logs).contains(&printed_too));
}

/// How long the files below this directory are together.
fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap();
    let of = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let facts = entry.metadata().unwrap();
        match facts.is_dir() {
            true => bytes_below(&entry.path()),
            false => facts.len(),
        }
    };
    entries.map(of).sum()
}

#[test]
fn input_arrives_once_over_connections_that_are_cut() {
    let cluster = Cluster::start();
    let (lines, _) = lines(8);
    let line = cluster.bad_line(lines.len() as u64 / SHORT, CUTS);
    let mut child = cluster
        .run(&line.address.to_string(), &[], &["/usr/bin/cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let typed = lines.clone();
    let typist = thread::spawn(move || stdin.write_all(&typed).unwrap());
    let output = child.wait_with_output().unwrap();
    typist.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(line.cuts.load(Ordering::SeqCst), CUTS);
    same(&output.stdout, &lines);
}

#[test]
fn a_job_whose_clients_are_killed_is_found_whole_by_the_next() {
    let cluster = Cluster::start();
    let (lines, count) = lines(2);
    // It waits for input before it ends, so that there is something to go back to.
    let script = format!("seq {count}; read word; echo $word; exit 3");
    let mut command = cluster.run(&cluster.bridge, &[], &["/bin/sh", "-c", &script]);
    let mut job = String::new();
    for kill in 1..=CUTS {
        let wanted = lines.len() as u64 * kill / CUTS;
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut read = Vec::new();
        // Open until the end: nobody has stopped to read.
        let mut output = client.stdout.take().unwrap();
        (&mut output).take(wanted).read_to_end(&mut read).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        same(&read, &lines[..wanted as usize]);
        if job.is_empty() {
            let listed = stdout(&cluster.deploy(&["ps", "--format", "json"]));
            let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
            job = listed["job"].as_str().unwrap().to_string();
        }
        command = cluster.person.deploy(&["attach", &job]);
    }
    let mut last = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    last.stdin.take().unwrap().write_all(b"enough\n").unwrap();
    let output = last.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    same(&output.stdout, &[&lines[..], b"enough\n"].concat());
    // And whoever looks when it is over.
    let output = cluster.deploy(&["logs", &job]);
    assert_eq!(output.status.code(), Some(3));
    same(&output.stdout, &[&lines[..], b"enough\n"].concat());
    let why = stdout(&cluster.deploy(&["why", &job]));
    assert!(
        why.contains("(sh::main on ") && why.contains("exited with code 3."),
        "{why}"
    );
}

#[test]
fn a_detached_job_is_followed_to_its_code_and_killed_by_name() {
    let cluster = Cluster::start();
    let job = cluster.detach(&["/bin/sh", "-c", "read word; echo got $word; exit 9"]);
    let followed = cluster.deploy(&["logs", "-f", &job]);
    assert_eq!(followed.status.code(), Some(9), "{}", said(&followed));
    assert_eq!(stdout(&followed), "got\n", "its input is empty");
    let running = cluster.detach(&["/usr/bin/sleep", "1000"]);
    let listed = stdout(&cluster.deploy(&["ps"]));
    assert!(
        listed.contains(&running) && listed.contains("detached"),
        "{listed}"
    );
    assert!(!listed.contains(&job), "{listed}");
    // So far nothing was printed, and nothing is over.
    let so_far = cluster.deploy(&["logs", &running]);
    assert_eq!(
        (so_far.status.code(), stdout(&so_far)),
        (Some(0), String::new())
    );
    assert!(cluster.deploy(&["kill", &running[..8]]).status.success());
    let followed = cluster.deploy(&["logs", "-f", &running]);
    assert_eq!(followed.status.code(), Some(137), "{}", said(&followed));
    let late = cluster.deploy(&["kill", &running[..8]]);
    assert_eq!(late.status.code(), Some(78), "{}", said(&late));
    assert!(stderr(&late).contains("is over"), "{}", said(&late));
    let why = stdout(&cluster.deploy(&["why", &running, "--format", "json"]));
    let why: serde_json::Value = serde_json::from_str(&why).unwrap();
    assert_eq!(why["status"]["reason"], "interrupted");
    assert!(why["by"].is_string(), "{why}");
    let events = cluster.audited();
    let known = [
        ("joined", ""),
        ("run", &*job),
        ("run", &*running),
        ("kill", &running[..8]),
        ("kill", &running[..8]),
    ];
    let of = |(event, job): &(&str, &str)| (event.to_string(), job.to_string());
    assert_eq!(events, known.iter().map(of).collect::<Vec<_>>());
}

/// What runs on its machine ends with it, and whoever watched that has nothing to go back to.
#[test]
fn a_master_that_is_stopped_says_that_its_jobs_are_over() {
    let mut cluster = Cluster::start();
    let program = ["/bin/sh", "-c", "echo begun; exec sleep 1000"];
    let mut command = cluster.run(&cluster.bridge, &[], &program);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut line = [0; 6];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begun\n");
    let master = cluster.master.take().unwrap();
    master.signal(Signal::SIGTERM);
    let (status, told) = master.end();
    assert!(status.success(), "{told}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(output.status), 137, "{}", said(&output));
    let told = stderr(&output);
    assert!(!told.contains("connection"), "{told}");
}

#[test]
fn who_writes_where_nobody_reads_learns_it_as_at_home() {
    let cluster = Cluster::start();
    let mut child = cluster
        .run(&cluster.bridge, &[], &["/usr/bin/seq", "100000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"1\n");
    assert_eq!(code(child.wait().unwrap()), 141);
}

#[test]
fn a_full_disk_of_the_master_is_a_note_and_the_job_goes_on() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only the superuser can make a disk that is soon full");
    }
    let cluster = Cluster::start_by(|fabric, state| {
        let records = state.join("records");
        fs::DirBuilder::new().mode(0o700).create(&records).unwrap();
        let mut command = Command::new("unshare");
        let mount = "mount -t tmpfs -o size=1M,mode=700 none \"$1\" && shift && exec \"$@\"";
        command
            .args(["--mount", "sh", "-c", mount, "sh"])
            .arg(records);
        command.arg(fabric.get_program()).args(fabric.get_args());
        command
    });
    let (lines, count) = lines(16);
    let mut command = cluster.run(&cluster.bridge, &[], &["/usr/bin/seq", &count]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    same(&output.stdout, &lines);
    assert!(
        stderr(&output).contains("the disk of the master takes nothing"),
        "{}",
        stderr(&output)
    );
}

const CUTS: u64 = 20;
/// A line is cut when a part of what is printed has passed. Numbers in a row are packed to some eighth of their length.
const SHORT: u64 = 200;
