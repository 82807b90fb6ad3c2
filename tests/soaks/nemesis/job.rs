//! A job from the command that begins it to its last event, with whoever watches it, and comes back if they are killed.
//!
//! Deliberately absent: what becomes of it.

use deploy_tests::{
    cluster::Cluster,
    story::{Story, now_ms},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// One job.
pub struct Job {
    /// What its choices follow from.
    pub seed: u64,
    /// Where its processes leave files.
    pub directory: PathBuf,
    /// Its name, once it has one.
    pub id: Option<String>,
    client: Client,
    /// What earlier watchers were told.
    pub earlier: Vec<Story>,
    pub begun: Instant,
    pub begun_ms: u64,
    /// Whether somebody other than its processes ended it.
    pub is_ended_ms: Option<u64>,
    refusals: u32,
}

/// A command at the laptop, and what it has said.
struct Client {
    child: Child,
    story: Arc<Mutex<Story>>,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
}

/// What became of a job's client.
pub enum News {
    None,
    /// All is told; this is the exit code.
    Over(i32),
    /// It could not be begun, or found again, and this is why.
    Refused(String),
}

impl Job {
    /// Has the laptop begin it.
    pub fn begin(
        cluster: &Cluster,
        seed: u64,
        millis: u64,
        nodes: &str,
        below: &std::path::Path,
    ) -> Job {
        let directory = below.join(format!("job-{seed:016x}"));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let program = std::env::current_exe().unwrap();
        let args: Vec<String> = vec![
            "job".into(),
            seed.to_string(),
            millis.to_string(),
            directory.to_str().unwrap().into(),
            nodes.into(),
        ];
        let mut command = cluster.cargo(&[BRIDGE, "--detach", "--exe", program.to_str().unwrap()]);
        command.arg("--").args(args);
        Job {
            seed,
            directory,
            id: None,
            client: Client::start(cluster, command),
            earlier: Vec::new(),
            begun: Instant::now(),
            begun_ms: now_ms(),
            is_ended_ms: None,
            refusals: 0,
        }
    }

    /// Looks whether its client has ended, and goes on from there.
    pub fn look(&mut self, cluster: &Cluster) -> News {
        let Some(status) = self.client.child.try_wait().unwrap() else {
            return News::None;
        };
        match &self.id {
            None => {
                let (_, out, err) = self.client.end();
                let id = out.trim();
                if !status.success() || id.is_empty() {
                    return News::Refused(format!("{status}: {err}"));
                }
                self.id = Some(id.to_string());
                self.watch(cluster);
                News::None
            }
            Some(_) if self.story().is_over() && status.code().is_some() => {
                News::Over(status.code().unwrap())
            }
            // It was killed, or the cluster could not be reached for long enough.
            Some(id) => {
                let id = id.clone();
                let (story, _, err) = self.client.end();
                self.earlier.push(story);
                self.refusals += u32::from(status.code().is_some());
                if self.refusals > REFUSALS_MAX {
                    return News::Refused(format!("{id}: {status}: {err}"));
                }
                self.watch(cluster);
                News::None
            }
        }
    }

    fn watch(&mut self, cluster: &Cluster) {
        let id = self.id.clone().expect("it has begun");
        // One of them has the job, the other looks on.
        let words = match (self.seed ^ self.earlier.len() as u64) % 2 {
            0 => vec!["attach", &id, BRIDGE, "--format", "json"],
            _ => vec!["logs", "-f", &id, BRIDGE, "--format", "json"],
        };
        self.client = Client::start(cluster, cluster.cargo(&words));
    }

    /// What its watcher was told so far.
    pub fn story(&self) -> Story {
        self.client.story.lock().unwrap().clone()
    }

    /// The end of the story: its last watcher has been told all.
    pub fn end(mut self) -> (Story, Vec<Story>) {
        let (story, _, _) = self.client.end();
        (story, self.earlier.clone())
    }

    /// What its client has said on standard error, once that has ended.
    pub fn signal_client(&self, signal: Signal) {
        // It may have ended, and is still ours to wait for.
        let _ = kill(Pid::from_raw(self.client.child.id() as i32), signal);
    }

    /// Whether it has a watcher, rather than one who begins it.
    pub fn is_watched(&self) -> bool {
        self.id.is_some()
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Client {
    fn start(cluster: &Cluster, mut command: Command) -> Client {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let host = cluster.hosts.host("laptop");
        let mut child = host.within(|| command.spawn()).unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let story: Arc<Mutex<Story>> = Arc::default();
        let told = story.clone();
        Client {
            child,
            story,
            out: thread::spawn(move || hear(BufReader::new(out), &told)),
            err: thread::spawn(move || {
                let mut text = String::new();
                // What is cut off with its writer is not missed.
                let _ = BufReader::new(err).read_to_string(&mut text);
                text
            }),
        }
    }

    /// Waits for it, and hands over what it has said: the story, what was no event, and standard error.
    fn end(&mut self) -> (Story, String, String) {
        let _: ExitStatus = self.child.wait().unwrap();
        let take = |thread: &mut JoinHandle<String>| {
            std::mem::replace(thread, thread::spawn(String::new))
                .join()
                .unwrap()
        };
        let (out, err) = (take(&mut self.out), take(&mut self.err));
        (self.story.lock().unwrap().clone(), out, err)
    }
}

/// Takes events as they come; returns what is none. A line without an end is one that a killed client was writing.
fn hear(mut lines: impl BufRead, story: &Mutex<Story>) -> String {
    let (mut other, mut line) = (String::new(), String::new());
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        match line.starts_with('{') {
            true if line.ends_with('\n') => story.lock().unwrap().take(&line),
            true => {}
            false => other.push_str(&line),
        }
        line.clear();
    }
    other
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the head listens for people.
pub const BRIDGE: &str = "10.77.0.1:8888";
/// How often a cluster that is struck may be out of reach for one client after the other.
const REFUSALS_MAX: u32 = 20;
