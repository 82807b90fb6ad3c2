//! `cargo run --release -p deploy-tests --bin nemesis -- --seed 1 --minutes 30`: a cluster of four nodes on which checked
//! jobs run without a pause, while processes, wardens, daemons and clients are killed and stopped, cables pulled, links
//! made slow and power cut, at moments that follow from the seed. It needs root. With `--master 1` the master is killed too.
//!
//! What must hold all the time: nothing is lost, doubled, reordered or torn before an end; no end looks clean that was not;
//! every end has one cause, which is one that it had, and is the same for all who learn of it; nothing runs twice, or on
//! behind its end; nobody waits for ever. And in the end, when all is mended: the cluster takes jobs, its daemons hold what
//! they held in the beginning, and on no host is anything left. It prints each blow, and what it counted.
//!
//! Deliberately absent: disks that fail, clocks that jump.

mod fault;
mod job;
mod judge;
mod stage;
mod workload;

use deploy::{Builder, Resources, init};
use deploy_tests::{
    cluster::Cluster,
    soak::{mixed, number},
    story::Story,
};
use job::{Job, News};
use judge::{Case, Counts};
use stage::{NODES, ROOM, Stage};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("job") => return workload::conduct(&args[2..]),
        Some("rest") => return rest(),
        _ => {}
    }
    let (seed, minutes) = (number(&args, "--seed", 1), number(&args, "--minutes", 2));
    let total = match number(&args, "--seconds", 0) {
        0 => Duration::from_secs(60 * minutes),
        seconds => Duration::from_secs(seconds),
    };
    let Some(cluster) = Cluster::with_room(&NODES[1..], ROOM) else {
        return;
    };
    cluster.login();
    let mut nemesis = Nemesis {
        seed,
        begun: Instant::now(),
        started: 0,
        counts: Counts::default(),
        below: directory(),
        stage: Stage::new(cluster),
        refused: 0,
        blows: BTreeMap::new(),
    };
    let outcome = nemesis.run(total, number(&args, "--master", 0) != 0);
    let below = nemesis.below.clone();
    if let Err(wrong) = outcome {
        eprintln!("seed {seed}: {}", wrong.join("\n"));
        eprintln!("what the processes left is in {}", below.display());
        drop(nemesis);
        process::exit(1);
    }
    nemesis.tell();
    nemesis.stage.cluster.finish();
    fs::remove_dir_all(below).unwrap();
    println!("left behind on any host: 0");
}

/// What a healthy cluster runs: a process on each node, which ends.
fn rest() {
    init(Resources::default());
    for node in NODES {
        let born = Builder::new().node(node).spawn(|_, ()| {}, ());
        assert!(born.unwrap().wait().unwrap().success());
    }
}

struct Nemesis {
    seed: u64,
    begun: Instant,
    /// How many jobs were begun.
    started: u64,
    counts: Counts,
    below: PathBuf,
    stage: Stage,
    /// Jobs that could not be begun, because nobody could be reached.
    refused: u64,
    blows: BTreeMap<String, u64>,
}

impl Nemesis {
    fn run(&mut self, total: Duration, with_master: bool) -> Result<(), Vec<String>> {
        self.run_rest()?;
        let held = self.held();
        self.begun = Instant::now();
        let blows = fault::schedule(self.seed, total.as_millis() as u64, with_master);
        for blow in blows {
            while self.begun.elapsed().as_millis() < u128::from(blow.at_ms) {
                self.turn(true)?;
            }
            if let Some(what) = self.stage.strike(&blow) {
                self.say(&what);
                *self.blows.entry(format!("{:?}", blow.fault)).or_default() += 1;
            }
        }
        while self.begun.elapsed() < total {
            self.turn(true)?;
        }
        for what in self.stage.mend(true) {
            self.say(&what);
        }
        while !self.stage.jobs.is_empty() {
            self.turn(false)?;
        }
        self.say("all is mended, and no job is left");
        self.wait_for_nodes()?;
        self.run_rest()?;
        self.compare(held)
    }

    /// Looks after all jobs once, and begins others in the place of those that are over.
    fn turn(&mut self, may_begin: bool) -> Result<(), Vec<String>> {
        for what in self.stage.mend(false) {
            self.say(&what);
        }
        let mut index = 0;
        while index < self.stage.jobs.len() {
            let (job, cluster) = (&mut self.stage.jobs[index], &self.stage.cluster);
            match job.look(cluster) {
                News::None if job.age() > AGE_MAX => return Err(self.late(index)),
                News::None => index += 1,
                News::Over(code) => {
                    let job = self.stage.jobs.remove(index);
                    self.judge(job, code)?;
                }
                News::Refused(why) => {
                    self.say(&why);
                    self.refused += 1;
                    self.stage.jobs.remove(index);
                }
            }
        }
        while may_begin && self.stage.jobs.len() < JOBS {
            self.begin();
        }
        thread::sleep(TURN);
        Ok(())
    }

    fn begin(&mut self) {
        let seed = mixed(self.seed, 1 << 32 | self.started);
        self.started += 1;
        let millis = 2_000 + seed % 6_000;
        let job = Job::begin(
            &self.stage.cluster,
            seed,
            millis,
            &NODES.join(","),
            &self.below,
        );
        self.stage.jobs.push(job);
    }

    fn judge(&mut self, job: Job, code: i32) -> Result<(), Vec<String>> {
        let (id, directory) = (job.id.clone().expect("it has begun"), job.directory.clone());
        let begun_ms = job.begun_ms;
        let (story, earlier) = job.end();
        let case = Case {
            id: &id,
            begun_ms,
            story: &story,
            earlier: &earlier,
            code,
            directory: &directory,
            log: &self.stage.log,
        };
        let wrong = case.judge(&mut self.counts);
        if wrong.is_empty() {
            self.say(&format!(
                "{id} is over: {code}, {} processes",
                story.lives.len()
            ));
            return fs::remove_dir_all(directory).map_err(|error| vec![error.to_string()]);
        }
        self.write_told(&directory, &story);
        Err([
            vec![format!("{} ms: job {id}", self.begun.elapsed().as_millis())],
            wrong,
        ]
        .concat())
    }

    /// A job that has not ended when it must have.
    fn late(&mut self, index: usize) -> Vec<String> {
        let job = &self.stage.jobs[index];
        let id = job.id.clone().unwrap_or_default();
        let story = job.story();
        let (directory, age) = (job.directory.clone(), job.age());
        self.write_told(&directory, &story);
        let living = story.lives.iter().filter(|life| life.end.is_none());
        let living = living.map(|life| {
            format!(
                "{} {} on {}: {:?}",
                life.pid,
                life.worker,
                life.node,
                life.out.lines().next_back()
            )
        });
        let mut wrong = vec![format!("job {id} has not ended after {age:?}; who lives:")];
        wrong.extend(living);
        wrong
    }

    /// What was done to whom, what the daemons have said, and what was told of a job that is wrong.
    fn write_told(&mut self, directory: &Path, story: &Story) {
        let mut told = format!("{:#?}\n", self.stage.log.0);
        for node in self.stage.cluster.served() {
            let said = self.stage.cluster.daemon(&node).said();
            told.push_str(&format!("{node}:\n{said}\n"));
        }
        told.push_str(&format!("{story:#?}"));
        // Without it there is less to go by, and no other harm.
        let _ = fs::write(directory.join("told"), told);
    }

    /// A healthy cluster runs a program that has little to do, on all nodes.
    fn run_rest(&mut self) -> Result<(), Vec<String>> {
        let program = env::current_exe().unwrap();
        let mut command = self.stage.cluster.deploy(&program, &["rest".into()], &[]);
        let done = self.stage.cluster.finish_deploy(&mut command, b"");
        match done {
            Ok(done) if done.code == 0 => Ok(()),
            other => Err(vec![format!("the cluster does not run a job: {other:?}")]),
        }
    }

    fn wait_for_nodes(&mut self) -> Result<(), Vec<String>> {
        let begun = Instant::now();
        loop {
            let all = self.stage.cluster.run("head", "nodes").out_text();
            let is_up = |node: &&str| {
                all.lines()
                    .any(|line| line.starts_with(&format!("{node} ")) && line.contains(" up"))
            };
            if NODES.iter().all(is_up) {
                self.say(&format!("all nodes are up after {:?}", begun.elapsed()));
                return Ok(());
            }
            if begun.elapsed() > BACK_MAX {
                return Err(vec![format!("not all nodes come back:\n{all}")]);
            }
            thread::sleep(TURN);
        }
    }

    /// What each daemon holds open, by its kind, and what lies in its state.
    fn held(&mut self) -> BTreeMap<String, Held> {
        let all = NODES.map(|node| {
            let daemon = self.stage.cluster.daemon(node).id();
            let mut held = Held::new();
            for entry in fs::read_dir(format!("/proc/{daemon}/fd"))
                .unwrap()
                .flatten()
            {
                let path = fs::read_link(entry.path()).unwrap_or_default();
                let kind = path.display().to_string();
                // Sockets have numbers, and a daemon that was started again has a group of another name.
                let kind = kind.split(['[', '-']).next().unwrap_or_default();
                *held.entry(format!("descriptor of {kind}")).or_default() += 1;
            }
            walk(self.stage.cluster.hosts.host(node).disk(), &mut held);
            (node.to_string(), held)
        });
        BTreeMap::from(all)
    }

    /// Fails if the daemons hold more than before, once a moment has passed.
    fn compare(&mut self, before: BTreeMap<String, Held>) -> Result<(), Vec<String>> {
        let begun = Instant::now();
        loop {
            let mut wrong = Vec::new();
            for (node, held) in self.held() {
                for (what, count) in held {
                    let count_before = before[&node].get(&what).copied().unwrap_or(0);
                    if count > count_before {
                        wrong.push(format!("{node} has {count} {what}, and had {count_before}"));
                    }
                }
            }
            if wrong.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > BACK_MAX {
                return Err(wrong);
            }
            thread::sleep(TURN);
        }
    }

    fn say(&self, what: &str) {
        println!("{:8.3} {what}", self.begun.elapsed().as_secs_f64());
    }

    fn tell(&self) {
        let Counts {
            jobs,
            processes,
            lines,
            seen,
            lost,
            ends,
        } = &self.counts;
        println!(
            "seed {}, {:?}: blows {:?}",
            self.seed,
            self.begun.elapsed(),
            self.blows
        );
        println!(
            "{jobs} jobs, {processes} processes, {lines} lines and {seen} sights of ends compared; {lost} connections \
             lost to the network; {} jobs refused",
            self.refused
        );
        println!("ends: {ends:?}");
        println!(
            "lost, doubled, reordered, torn, run twice, wrong or double causes, waits without end: 0"
        );
    }
}

/// What somebody holds, and how much of it.
type Held = BTreeMap<String, usize>;

/// All files below, but programs and the records of jobs that are over: those are kept, up to a limit.
fn walk(directory: &Path, held: &mut Held) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if KEPT.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            walk(&path, held);
        }
        *held.entry(path.display().to_string()).or_default() += 1;
    }
}

fn directory() -> PathBuf {
    let path = env::temp_dir().join(format!("deploy-nemesis-{}", process::id()));
    fs::create_dir(&path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path
}

/// Directories of what is kept.
const KEPT: [&str; 2] = ["images", "records"];
/// How many jobs there are at a time.
const JOBS: usize = 2;
/// How often is looked.
const TURN: Duration = Duration::from_millis(20);
/// The longest that a job may take: its work, the loss of a node, cut links, and a client that finds its way back.
const AGE_MAX: Duration = Duration::from_secs(75);
/// How soon a cluster is whole again.
const BACK_MAX: Duration = Duration::from_secs(30);
