//! A master that is killed, again and again, under a job that goes on: nothing is run twice, nothing that was printed is lost
//! or doubled, and who talks to each other does not notice, on whichever machine: the head's own node is none of the dead.
//!
//! `DEPLOY_TEST_RESTARTS=100 cargo test -p deploy-tests --test hosts restarts` for as many as one likes.
//!
//! Deliberately absent: nodes and networks that fail meanwhile (`cluster.rs`).

use deploy_tests::cluster::Cluster;
use nix::sys::signal::Signal;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// At another address the head's own node would begin anew.
const HEAD: &str = "10.77.0.1:9999 bridge 10.77.0.1:8888 --label tests=yes";

pub fn a_job_goes_on_under_a_master_that_is_killed() {
    let kills = env::var("DEPLOY_TEST_RESTARTS").map_or(4, |text| text.parse().unwrap());
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    cluster.login();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut client = Client::start(&cluster, directory.path());
    client.wait_for(3);
    let mut random = Random(env::var("DEPLOY_TEST_SEED").map_or(1, |text| text.parse().unwrap()));
    let mut times = Vec::new();
    for kill in 0..kills {
        thread::sleep(Duration::from_millis(random.next() % 700));
        let master = cluster.release("head");
        master.signal(Signal::SIGKILL);
        master.end();
        let started = fs::read_dir(directory.path()).unwrap().count() as u64;
        thread::sleep(Duration::from_millis(random.next() % 300));
        let begun = Instant::now();
        cluster.master(&format!("{HEAD} --label kill={kill}"));
        // Asked for after the kill, whatever was on its way.
        client.wait_for(started + 2);
        times.push(begun.elapsed());
    }
    fs::write(directory.path().join("stop"), "").unwrap();
    let said = client.finish();
    println!("{}", said.last().unwrap());
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{kills} kills: errands go on after {median:?} (median), {most:?} (at most)");
    assert!(most < Duration::from_secs(8), "{most:?}");
    // Each line once, in order.
    for (index, line) in said[..said.len() - 1].iter().enumerate() {
        let start = format!("errand {index} is ");
        assert!(line.starts_with(&start), "{index}: {line}");
    }
    let mut command = cluster.cargo(&["ps", "--all"]);
    let past = cluster.finish_deploy(&mut command, b"").unwrap();
    let past = past.out_text();
    assert!(past.contains("ended: 0"), "{past}");
    cluster.finish();
}

/// `cargo deploy` at the laptop, and what it prints.
struct Client {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Client {
    fn start(cluster: &Cluster, directory: &Path) -> Client {
        let directory = directory.to_str().unwrap();
        let args = [directory, "n1", "head", "n2"].map(str::to_string);
        let errands = Path::new(env!("CARGO_BIN_EXE_errands"));
        let mut command = cluster.deploy(errands, &args, &[]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let host = cluster.hosts.host("laptop");
        let mut child = host.within(|| command.spawn()).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                let _ = sender.send(line.unwrap()); // Whoever stopped listening misses nothing.
            }
        });
        Client {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Until so many lines have come.
    fn wait_for(&mut self, count: u64) {
        while (self.said.len() as u64) < count {
            let line = self.lines.recv_timeout(PATIENCE);
            self.said
                .push(line.unwrap_or_else(|why| panic!("{why} behind {:?}", self.said.last())));
        }
    }

    /// All that was printed, once it has ended well.
    fn finish(mut self) -> Vec<String> {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        assert!(self.child.wait().unwrap().success());
        std::mem::take(&mut self.said)
    }
}

/// A test that fails leaves nothing either.
impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that look like chance, and are the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

/// Longer than a lost node takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(30);
