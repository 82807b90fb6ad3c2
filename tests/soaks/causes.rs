//! `cargo run --release -p deploy-tests --bin causes -- --times 50`: processes that end in 23 ways on another node than
//! the one who is told, so many times each. The one cause must reach the waiting `recv` and `wait`, the JSON lines, the
//! terminal and `cargo deploy why`, each in its words; and one that cannot be begun must say why. It needs root, and prints how
//! many were right, of how many.
//!
//! Deliberately absent: ends of channels while both processes live, and nodes that take 12 s to be lost (the clusters'
//! tests have them).

use deploy::*;
use deploy_tests::{
    cluster::Cluster,
    run::Finished,
    soak::number,
    story::{Life, Story, now_ms},
};
use nix::{
    sys::{
        signal::{self, Signal, kill},
        socket::{self, MsgFlags},
    },
    unistd,
};
use std::{
    env,
    io::{BufRead, BufReader},
    process::{self, Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What brings a process to its end.
enum Blow {
    /// It does it itself, or its parent does.
    Own,
    /// Somebody outside the job, when it runs.
    Stranger(Signal),
    /// `cargo deploy kill JOB/PID`, or the whole job.
    Person {
        whole: bool,
    },
    Warden,
    Daemon,
    /// Somebody stops the daemon, as one should.
    Stop,
}

/// A way to end: its name, what does it, and the end as it reads: how, why, on the terminal and in a sentence.
type Way = (
    &'static str,
    Blow,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const WAYS: [Way; 23] = [
    ("return", Blow::Own, "0", "-", "0", "ended well"),
    ("exit 3", Blow::Own, "3", "-", "3", "exited with code 3"),
    (
        "exit 255",
        Blow::Own,
        "255",
        "-",
        "255",
        "exited with code 255",
    ),
    (
        "panic",
        Blow::Own,
        "101",
        "-",
        "101",
        "exited with code 101, as a panic does",
    ),
    (
        "abort",
        Blow::Own,
        "SIGABRT",
        "-",
        "SIGABRT",
        "was ended by SIGABRT",
    ),
    (
        "SIGSEGV",
        Blow::Own,
        "SIGSEGV",
        "-",
        "SIGSEGV",
        "was ended by SIGSEGV",
    ),
    (
        "SIGILL",
        Blow::Own,
        "SIGILL",
        "-",
        "SIGILL",
        "was ended by SIGILL",
    ),
    (
        "SIGFPE",
        Blow::Own,
        "SIGFPE",
        "-",
        "SIGFPE",
        "was ended by SIGFPE",
    ),
    (
        "SIGBUS",
        Blow::Own,
        "SIGBUS",
        "-",
        "SIGBUS",
        "was ended by SIGBUS",
    ),
    (
        "SIGTRAP",
        Blow::Own,
        "SIGTRAP",
        "-",
        "SIGTRAP",
        "was ended by SIGTRAP",
    ),
    (
        "SIGSYS",
        Blow::Own,
        "SIGSYS",
        "-",
        "SIGSYS",
        "was ended by SIGSYS",
    ),
    (
        "SIGKILL",
        Blow::Own,
        "SIGKILL",
        "-",
        "SIGKILL",
        "was ended by SIGKILL, which it raised itself or something",
    ),
    (
        "memory",
        Blow::Own,
        "SIGKILL",
        "oom",
        "SIGKILL (out of memory: limit 32MiB, peak 3",
        "needed more than the 32MiB of memory that it was granted (limit 32MiB, peak 3",
    ),
    (
        "threads",
        Blow::Own,
        "101",
        "-",
        "101",
        "exited with code 101, as a panic does",
    ),
    (
        "nonsense",
        Blow::Own,
        "SIGKILL",
        "-",
        "SIGKILL",
        "was ended by SIGKILL",
    ),
    (
        "kill",
        Blow::Own,
        "SIGKILL",
        "killed",
        "SIGKILL (killed by a process of the job)",
        "was ended with SIGKILL by process ",
    ),
    (
        "link",
        Blow::Own,
        "SIGKILL",
        "linked",
        "SIGKILL (its parent ended)",
        "was ended by the end of process ",
    ),
    (
        "stranger",
        Blow::Stranger(Signal::SIGTERM),
        "SIGTERM",
        "-",
        "SIGTERM",
        "was ended by SIGTERM, which it raised itself or something",
    ),
    (
        "person",
        Blow::Person { whole: false },
        "SIGKILL",
        "interrupted",
        "SIGKILL (interrupted)",
        "was ended with SIGKILL by ",
    ),
    (
        "person, all",
        Blow::Person { whole: true },
        "SIGKILL",
        "interrupted",
        "SIGKILL (interrupted)",
        "was ended with SIGKILL by ",
    ),
    (
        "warden",
        Blow::Warden,
        "SIGKILL",
        "orphaned",
        "SIGKILL (what watched over it on its node was killed)",
        "was killed, because what watches over the job's processes on n1 was",
    ),
    (
        "daemon",
        Blow::Daemon,
        "SIGKILL",
        "lost",
        "SIGKILL (lost with its node)",
        "was lost with its node n1, by a new beginning of its daemon",
    ),
    (
        "stop",
        Blow::Stop,
        "SIGKILL",
        "lost",
        "SIGKILL (lost with its node)",
        "was lost with its node n1, by the end of its daemon, which was stopped",
    ),
];

/// What a person is told beside, of some.
const NOTES: [(&str, &str); 2] = [
    (
        "threads",
        "it and what it started were 1024 processes and threads at once",
    ),
    (
        "nonsense",
        "what came on the descriptor that connects it to the first process makes no sense",
    ),
];
/// Why what nobody can begin cannot be begun.
const NOWHERE: &str = "no node is called \"nowhere\" or has that label";

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return observe(&args[2..]);
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], "4GiB 8") else {
        return;
    };
    cluster.login();
    let (times, mut right, mut all) = (number(&args, "--times", 1), 0, 0);
    let mut wrong = Vec::new();
    for _ in 0..times {
        let own: Vec<&Way> = WAYS
            .iter()
            .filter(|way| matches!(way.1, Blow::Own))
            .collect();
        let others = WAYS.iter().filter(|way| !matches!(way.1, Blow::Own));
        let jobs = others.map(|way| vec![way]).chain([own]);
        for ways in jobs {
            all += ways.len();
            let errors = run(&mut cluster, &ways);
            right += ways.len().saturating_sub(errors.len());
            wrong.extend(errors);
        }
    }
    println!(
        "{right} of {all} ends ({} kinds) have one cause, told right in every place",
        WAYS.len()
    );
    if !wrong.is_empty() {
        eprintln!("{}", wrong.join("\n"));
        process::exit(1);
    }
    cluster.finish();
}

/// One job, in which processes end in these ways; what is wrong with it, a line for each way.
fn run(cluster: &mut Cluster, ways: &[&Way]) -> Vec<String> {
    let program = env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let mut command = cluster.cargo(&[BRIDGE, "--detach", "--exe", program, "--", "job"]);
    command.args(ways.iter().map(|way| way.0));
    let begun = finish(cluster, &mut command);
    let job = begun.out_text().trim().to_string();
    assert_eq!(begun.code, 0, "{}", begun.err_text());
    let mut watcher = Watcher::start(cluster, &job);
    if !matches!(ways[0].1, Blow::Own) {
        let (pid, process) = watcher.wait_for_victim();
        strike(cluster, &ways[0].1, &job, &pid, process);
    }
    let story = watcher.finish();
    let shown = finish(cluster, &mut cluster.cargo(&["logs", &job, BRIDGE]));
    let why = |pid: &str| {
        let what = format!("{job}/{pid}");
        finish(cluster, &mut cluster.cargo(&["why", &what, BRIDGE])).out_text()
    };
    let refused = story
        .lives
        .first()
        .and_then(|life| life.said("nowhere: ").next());
    if !refused.is_some_and(|why| why.contains(NOWHERE)) {
        return vec![format!("where there is no node is said: {refused:?}")];
    }
    let checked = ways
        .iter()
        .map(|way| check(way, &story, &shown.err_text(), &why));
    checked.filter_map(Result::err).collect()
}

/// Whether everybody says the same of the one who ended in this way.
fn check(
    way: &Way,
    story: &Story,
    shown: &str,
    why: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let (name, blow, how, reason, at_terminal, sentence) = way;
    let fail = |what: String| Err(format!("{name}: {what}"));
    let observer = story.lives.first().ok_or("no life")?;
    let said = |words: &str| observer.said(words).next().map(str::to_string);
    let Some(pid) = said(&format!("{name}: ")) else {
        return fail(format!("it was not begun: {}", observer.err));
    };
    let end = story.life(&pid).and_then(|life: &Life| life.end.as_ref());
    let Some(end) = end else {
        return fail("it has no end".to_string());
    };
    if (end.how.as_str(), end.reason.as_str()) != (*how, *reason) {
        return fail(format!("JSON says {} {}", end.how, end.reason));
    }
    // Who observes ends with the job that a person ends.
    if !matches!(blow, Blow::Person { whole: true }) {
        for place in ["recv", "wait"] {
            let said = said(&format!("{name} {place}: ")).unwrap_or_default();
            if !said.starts_with(at_terminal) || reason == &"-" && said != *at_terminal {
                return fail(format!("{place} says {said:?}"));
            }
        }
    }
    // The terminal groups lines by process: behind the last header of this one comes its end.
    let behind = shown
        .rsplit(&format!("{pid}:\n"))
        .next()
        .unwrap_or_default();
    let line = behind
        .lines()
        .find_map(|line| line.trim().strip_prefix("exited: "));
    if !line.is_some_and(|line| line.starts_with(at_terminal)) {
        return fail(format!("the terminal says {line:?}"));
    }
    if let Some((_, note)) = NOTES.iter().find(|(way, _)| way == name)
        && !behind.contains(note)
    {
        return fail(format!("the terminal does not say {note:?}: {behind:?}"));
    }
    match why(&pid) {
        said if said.starts_with(&format!("{pid} ")) && said.contains(sentence) => Ok(()),
        said => fail(format!("why says {said:?}")),
    }
}

fn strike(cluster: &mut Cluster, blow: &Blow, job: &str, pid: &str, process: u32) {
    let hit = |process: u32, signal: Signal| {
        kill(unistd::Pid::from_raw(process as i32), signal).unwrap();
    };
    match blow {
        Blow::Own => {}
        Blow::Stranger(signal) => hit(process, *signal),
        Blow::Person { whole } => {
            let what = match whole {
                true => job.to_string(),
                false => format!("{job}/{pid}"),
            };
            let done = finish(cluster, &mut cluster.cargo(&["kill", &what, BRIDGE]));
            assert_eq!(done.code, 0, "{}", done.err_text());
        }
        Blow::Warden => {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
            hit(parent.unwrap().trim().parse().unwrap(), Signal::SIGKILL);
        }
        Blow::Daemon | Blow::Stop => {
            let daemon = cluster.release("n1");
            daemon.signal(match blow {
                Blow::Stop => Signal::SIGTERM,
                _ => Signal::SIGKILL,
            });
            daemon.end();
            // Long enough for a peer to ask what became of the other.
            thread::sleep(Duration::from_millis(1_500));
            cluster.serve("n1", "10.77.0.2:9999 4GiB 8 --label tests=yes");
        }
    }
}

fn finish(cluster: &Cluster, command: &mut Command) -> Finished {
    let finished = cluster.finish_deploy(command, b"");
    finished.unwrap_or_else(|why| panic!("{command:?}: {why}"))
}

/// Somebody who follows the job in JSON.
struct Watcher {
    child: Child,
    lines: mpsc::Receiver<String>,
    story: Story,
}

impl Watcher {
    fn start(cluster: &Cluster, job: &str) -> Watcher {
        let mut command = cluster.cargo(&["logs", "-f", job, BRIDGE, "--format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = cluster
            .hosts
            .host("laptop")
            .within(|| command.spawn())
            .unwrap();
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
    fn wait_for_victim(&mut self) -> (String, u32) {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .expect("the victim is born");
            self.story.take(&line);
            let victim = self
                .story
                .lives
                .iter()
                .find(|life| life.process().is_some());
            if let Some(life) = victim {
                return (life.pid.clone(), life.process().unwrap());
            }
        }
    }

    fn finish(mut self) -> Story {
        let deadline = now_ms() + PATIENCE.as_millis() as u64;
        while let Ok(line) = self
            .lines
            .recv_timeout(Duration::from_millis(deadline.saturating_sub(now_ms())))
        {
            self.story.take(&line);
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(self.story.broken.is_empty(), "{:?}", self.story.broken);
        self.story
    }
}

/// The initial process: has a victim end in each of these ways, on another node, and says what it saw.
fn observe(ways: &[String]) {
    init(Resources::default());
    let nowhere = Builder::new().node("nowhere").spawn(|_, ()| {}, ());
    println!("nowhere: {}", nowhere.unwrap_err());
    for way in ways {
        let resources = Resources {
            // A thousand threads need something, too.
            mem: if way == "threads" { 256 } else { 32 } * Mem::MIB,
            ..Resources::default()
        };
        let born = match way.as_str() {
            // It tells of its child, whom it takes along.
            "link" => Builder::new().node("n1").spawn(short_lived, ()),
            way => Builder::new()
                .node("n1")
                .resources(resources)
                .spawn(victim, way.to_string()),
        };
        let pid = born.unwrap();
        let receiver = Receiver::<Pid>::new(pid);
        let pid = receiver.recv().unwrap();
        println!("{way}: {pid}");
        let receiver = match way.as_str() {
            "link" => {
                let linked = Receiver::<Pid>::new(pid);
                linked.recv().unwrap();
                Sender::<()>::new(receiver.pid()).send(()).unwrap();
                linked
            }
            _ => receiver,
        };
        if way == "kill" {
            pid.kill().unwrap();
        }
        let end = match receiver.recv() {
            Err(ChannelError::Exited(status)) => status.to_string(),
            other => format!("{other:?}"),
        };
        println!("{way} recv: {end}");
        println!("{way} wait: {}", pid.wait().unwrap());
    }
}

/// Has a linked child, and ends when it is told to.
fn short_lived(parent: Pid, (): ()) {
    let child = Builder::new().link(true).spawn(linked, parent).unwrap();
    let sender = Sender::<Pid>::new(parent);
    sender.send(child).unwrap();
    std::mem::forget(sender);
    Receiver::<()>::new(parent).recv().unwrap();
}

fn linked(_: Pid, observer: Pid) {
    let sender = Sender::<Pid>::new(observer);
    sender.send(pid()).unwrap();
    std::mem::forget(sender);
    wait_for_the_end();
}

fn victim(parent: Pid, way: String) {
    let is_outer = WAYS
        .iter()
        .any(|other| other.0 == way && !matches!(other.1, Blow::Own));
    let sender = Sender::<Pid>::new(parent);
    sender.send(pid()).unwrap();
    // Who aborts promises nothing that was not acknowledged.
    sender.flush().unwrap();
    // It does not end the channel: how the process ends does.
    std::mem::forget(sender);
    match way.as_str() {
        "return" => {}
        "exit 3" => process::exit(3),
        "exit 255" => process::exit(255),
        "panic" => panic!("as it is to"),
        "abort" => process::abort(),
        "memory" => {
            let memory = vec![1_u8; 256 << 20];
            panic!("{} bytes are more than it may have", memory.len());
        }
        "threads" => loop {
            thread::spawn(wait_for_the_end);
        },
        "nonsense" => {
            socket::send(control(), b"\xff\xff\xff", MsgFlags::empty()).unwrap();
            wait_for_the_end();
        }
        "kill" => wait_for_the_end(),
        _ if is_outer => {
            println!("born {}", process::id());
            wait_for_the_end();
        }
        name => {
            let signal: Signal = name.parse().unwrap();
            // Rust's own handler takes the first one, where it has one, and leaves the next to the kernel.
            loop {
                signal::raise(signal).unwrap();
            }
        }
    }
}

/// The socket that connects this process to the first: the only one that carries packets.
fn control() -> i32 {
    let all = std::fs::read_to_string("/proc/self/net/unix").unwrap();
    let is_it = |number: &i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
        let inode = link
            .to_string_lossy()
            .replace("socket:[", "")
            .replace(']', "");
        let mut lines = all
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.any(|words| words.get(6) == Some(&&*inode) && words[4] == "0005")
    };
    (512..600).find(is_it).expect("it has one")
}

fn wait_for_the_end() {
    loop {
        thread::park();
    }
}

/// Where the head listens for people.
const BRIDGE: &str = "10.77.0.1:8888";
/// What did not happen by now never will.
const PATIENCE: Duration = Duration::from_secs(40);
