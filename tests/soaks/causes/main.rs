//! `cargo run --release -p deploy-tests --bin causes -- --times 50`: processes that end in 25 ways on another node than
//! the one who is told, so many times each. The one cause must reach the waiting `recv` and `wait`, the JSON lines, the
//! terminal and `cargo deploy why`, each in its words; and one that cannot be begun must say why. It needs root, and prints how
//! many were right, of how many. With `--alone 0` no job waits for a minute that nobody comes back to it.
//!
//! Deliberately absent: ends of channels while both processes live, and nodes that take 12 s to be lost (the clusters'
//! tests have them).

mod job;
mod watcher;
mod ways;

use deploy_tests::{
    cluster::Cluster,
    run::Finished,
    soak::number,
    story::{Life, Story},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{self, Command, Stdio},
    thread,
    time::Duration,
};
use watcher::Watcher;
use ways::{Blow, NOWHERE, WAYS, Way};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job::observe(&args[2..]);
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], ROOM) else {
        return;
    };
    cluster.login();
    let times = number(&args, "--times", 1);
    let alone = number(&args, "--alone", times);
    let (mut all, mut wrong) = (0, Vec::new());
    for _ in 0..times {
        let (own, others): (Vec<_>, Vec<_>) = WAYS.iter().partition(|way| way.blow == Blow::Own);
        let others = others.into_iter().filter(|way| way.blow != Blow::Nobody);
        for ways in others.map(|way| vec![way]).chain([own]) {
            all += ways.len();
            wrong.extend(run(&mut cluster, &ways));
        }
    }
    let left: Vec<_> = (0..alone).map(|_| leave_alone(&cluster)).collect();
    for (job, watcher) in left {
        all += 1;
        let story = watcher.finish(GRACE + PATIENCE);
        wrong.extend(judge(&cluster, &job, &[of(&Blow::Nobody)], &story));
    }
    let (right, kinds) = (all - wrong.len(), WAYS.len() - usize::from(alone == 0));
    println!("{right} of {all} ends ({kinds} kinds) have one cause, told right in every place");
    if !wrong.is_empty() {
        eprintln!("{}", wrong.join("\n"));
        process::exit(1);
    }
    cluster.finish();
}

/// One job, in which processes end in these ways; what is wrong with it, a line for each way.
fn run(cluster: &mut Cluster, ways: &[&Way]) -> Vec<String> {
    let begun = finish(cluster, &mut begin(cluster, &["--detach"], ways));
    let job = begun.out_text().trim().to_string();
    assert_eq!(begun.code, 0, "{}", begun.err_text());
    let mut watcher = Watcher::start(cluster, &job);
    if ways[0].blow != Blow::Own {
        let (pid, process) = watcher.wait_for_victim();
        strike(cluster, &ways[0].blow, &job, &pid, process);
    }
    let story = watcher.finish(PATIENCE);
    judge(cluster, &job, ways, &story)
}

/// A job whose client was killed, and who watches it.
fn leave_alone(cluster: &Cluster) -> (String, Watcher) {
    let mut command = begin(cluster, &["--format", "json"], &[of(&Blow::Nobody)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let laptop = cluster.hosts.host("laptop");
    let mut client = laptop.within(|| command.spawn()).unwrap();
    let mut events = BufReader::new(client.stdout.take().unwrap());
    let first = events.read_line(&mut String::new()).unwrap();
    assert!(first > 0, "the job is not begun");
    // The latest to begin stands last.
    let listed = finish(
        cluster,
        &mut cluster.cargo(&["ps", BRIDGE, "--format", "json"]),
    );
    let listed = listed.out_text();
    let latest: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    let job = latest["job"].as_str().unwrap().to_string();
    let mut watcher = Watcher::start(cluster, &job);
    watcher.wait_for_victim();
    client.kill().unwrap();
    client.wait().unwrap();
    (job, watcher)
}

fn begin(cluster: &Cluster, flags: &[&str], ways: &[&Way]) -> Command {
    let program = env::current_exe().unwrap();
    let mut command = cluster.cargo(&[BRIDGE]);
    command.args(flags).arg("--exe").arg(program);
    command
        .args(["--", "job"])
        .args(ways.iter().map(|way| way.name));
    command
}

fn strike(cluster: &mut Cluster, blow: &Blow, job: &str, pid: &str, process: u32) {
    let hit = |process: u32, signal: Signal| {
        kill(Pid::from_raw(process as i32), signal).unwrap();
    };
    match blow {
        Blow::Own | Blow::Nobody => {}
        Blow::Stranger(signal) => hit(process, *signal),
        Blow::Person => end_by_command(cluster, &format!("{job}/{pid}")),
        Blow::PersonAll => end_by_command(cluster, job),
        Blow::Warden => {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
            hit(parent.unwrap().trim().parse().unwrap(), Signal::SIGKILL);
        }
        Blow::Daemon | Blow::Stop | Blow::Leave => {
            let daemon = cluster.release("n1");
            match blow {
                Blow::Daemon => daemon.signal(Signal::SIGKILL),
                Blow::Stop => daemon.signal(Signal::SIGTERM),
                _ => assert_eq!(cluster.run("n1", "leave").code, 0),
            }
            daemon.end();
            // Long enough for a peer to ask what became of the other.
            thread::sleep(Duration::from_millis(1_500));
            let join = match blow {
                Blow::Leave => format!("join {} ", cluster.node_token),
                _ => String::new(),
            };
            let words = format!("{join}10.77.0.2:9999 {ROOM} --label tests=yes");
            cluster.serve("n1", &words);
        }
    }
}

fn end_by_command(cluster: &Cluster, what: &str) {
    let done = finish(cluster, &mut cluster.cargo(&["kill", what, BRIDGE]));
    assert_eq!(done.code, 0, "{}", done.err_text());
}

/// What is wrong with what is told of a job that is over, a line for each way.
fn judge(cluster: &Cluster, job: &str, ways: &[&Way], story: &Story) -> Vec<String> {
    let observer = story.lives.first();
    let refused = observer.and_then(|life| life.said("nowhere: ").next());
    if !refused.is_some_and(|why| why.contains(NOWHERE)) {
        return vec![format!("where there is no node is said: {refused:?}")];
    }
    let shown = finish(cluster, &mut cluster.cargo(&["logs", job, BRIDGE])).err_text();
    let why = |pid: &str| {
        let what = format!("{job}/{pid}");
        finish(cluster, &mut cluster.cargo(&["why", &what, BRIDGE])).out_text()
    };
    let checked = ways.iter().map(|way| {
        let checked = check(way, story, &shown, &why);
        checked.map_err(|what| format!("{}: {what}", way.name))
    });
    checked.filter_map(Result::err).collect()
}

/// Whether everybody says the same of the one who ended in this way.
fn check(
    way: &Way,
    story: &Story,
    shown: &str,
    why: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let observer = story.lives.first().ok_or("no life")?;
    let said = |words: &str| observer.said(words).next().map(str::to_string);
    let Some(pid) = said(&format!("{}: ", way.name)) else {
        return Err(format!("it was not begun: {}", observer.err));
    };
    let end = story.life(&pid).and_then(|life: &Life| life.end.as_ref());
    let end = end.ok_or("it has no end")?;
    if (end.how.as_str(), end.reason.as_str()) != (way.how(), way.reason) {
        return Err(format!("JSON says {} {}", end.how, end.reason));
    }
    for place in ["recv", "wait"].into_iter().filter(|_| !way.ends_all()) {
        let said = said(&format!("{} {place}: ", way.name)).unwrap_or_default();
        if !said.starts_with(way.shown) || way.reason == "-" && said != way.shown {
            return Err(format!("{place} says {said:?}"));
        }
    }
    // The terminal groups lines by process: behind the last header of this one comes its end.
    let behind = shown.rsplit(&format!("{pid}:\n")).next();
    let behind = behind.unwrap_or_default();
    let mut lines = behind.lines();
    let line = lines.find_map(|line| line.trim().strip_prefix("exited: "));
    if !line.is_some_and(|line| line.starts_with(way.shown)) {
        return Err(format!("the terminal says {line:?}"));
    }
    if let Some(note) = way.note.filter(|note| !behind.contains(note)) {
        return Err(format!("the terminal does not say {note:?}: {behind:?}"));
    }
    match why(&pid) {
        said if said.starts_with(&format!("{pid} ")) && said.contains(way.sentence) => Ok(()),
        said => Err(format!("why says {said:?}")),
    }
}

fn of(blow: &Blow) -> &'static Way {
    let found = WAYS.iter().find(|way| way.blow == *blow);
    found.expect("it is one of them")
}

fn finish(cluster: &Cluster, command: &mut Command) -> Finished {
    let finished = cluster.finish_deploy(command, b"");
    finished.unwrap_or_else(|why| panic!("{command:?}: {why}"))
}

/// What each node gives: room for as many jobs as wait for nobody at the same time.
const ROOM: &str = "100GiB 64";
/// Where the head listens for people.
const BRIDGE: &str = "10.77.0.1:8888";
/// What did not happen by now never will.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a job goes on that nobody comes back to.
const GRACE: Duration = Duration::from_secs(60);
