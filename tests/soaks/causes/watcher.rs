//! Who follows a job.
//!
//! Deliberately absent: whether what it is told is right.

use crate::{BRIDGE, PATIENCE};
use deploy_tests::{
    cluster::Cluster,
    story::{Story, now_ms},
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Somebody who follows the job in JSON.
pub struct Watcher {
    child: Child,
    lines: mpsc::Receiver<String>,
    story: Story,
}

impl Watcher {
    pub fn start(cluster: &Cluster, job: &str) -> Watcher {
        let mut command = cluster.cargo(&["logs", "-f", job, BRIDGE, "--format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let laptop = cluster.hosts.host("laptop");
        let mut child = laptop.within(|| command.spawn()).unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (teller, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = teller.send(line); // Whoever stopped listening misses nothing.
            }
        });
        Watcher {
            child,
            lines,
            story: Story::default(),
        }
    }

    /// The victim's pid, and its number on its host.
    pub fn wait_for_victim(&mut self) -> (String, u32) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            self.story.take(&line.expect("the victim is born"));
            let mut lives = self.story.lives.iter();
            if let Some(life) = lives.find(|life| life.process().is_some()) {
                return (life.pid.clone(), life.process().unwrap());
            }
        }
    }

    /// All that it was told, when the job is over, or after this time.
    pub fn finish(mut self, patience: Duration) -> Story {
        let deadline = now_ms() + patience.as_millis() as u64;
        let left = || Duration::from_millis(deadline.saturating_sub(now_ms()));
        while let Ok(line) = self.lines.recv_timeout(left()) {
            self.story.take(&line);
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(self.story.broken.is_empty(), "{:?}", self.story.broken);
        self.story
    }
}
