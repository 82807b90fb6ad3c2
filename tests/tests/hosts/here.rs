//! The initial process at the laptop (`--here`), when things go wrong there or on the way, and as somebody at its terminal
//! sees it.
//!
//! What is not looked at: what programs do that nobody disturbs (`programs.rs`), and cuts between nodes (`relay.rs`).

use deploy_tests::{
    cluster::Cluster, commands, daemon::Daemon, leftovers, pty::Terminal, run::Finished,
};
use nix::sys::signal::Signal;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const APART: &str = env!("CARGO_BIN_EXE_apart");
const TALK: &str = env!("CARGO_BIN_EXE_talk");
const HEAD: &str = "10.77.0.1:9999 bridge 10.77.0.1:8888";

/// A head, a node and a laptop whose initial processes stay there.
fn cluster() -> Option<Cluster> {
    let mut cluster = Cluster::start(&["n1"])?;
    cluster.is_here = true;
    cluster.login();
    Some(cluster)
}

/// A stream from n1 to the laptop, and the job's name.
fn stream(cluster: &Cluster) -> (Daemon, String) {
    let args = ["stream", "n1"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let laptop = cluster.hosts.host("laptop");
    let mut client = laptop.within(|| Daemon::start(&mut command));
    client.expect("it flows");
    let job = job(cluster);
    (client, job)
}

/// The only job that runs.
fn job(cluster: &Cluster) -> String {
    let shown = ask(cluster, &["ps"]).out_text();
    let line = shown.lines().last().unwrap();
    line.split(' ').next().unwrap().to_string()
}

fn ask(cluster: &Cluster, words: &[&str]) -> Finished {
    let finished = cluster.finish_deploy(&mut cluster.cargo(words), b"");
    finished.unwrap_or_else(|why| panic!("{words:?}: {why}"))
}

/// Until nothing runs at the laptop.
fn deserted(cluster: &Cluster, limit: Duration) {
    let laptop = cluster.hosts.host("laptop");
    let deadline = Instant::now() + limit;
    while let [pid, ..] = laptop.processes()[..] {
        let late = Instant::now() > deadline;
        assert!(!late, "{} stays", leftovers::describe(pid));
        thread::sleep(Duration::from_millis(5)); // Nothing announces the end of processes that are not ours.
    }
}

/// What the job printed, and what is said of its first process.
fn told(cluster: &Cluster, job: &str) -> (String, String) {
    let logs = ask(cluster, &["logs", "-f", job]);
    assert_eq!(logs.code, 137, "{}", logs.err_text());
    let why = ask(cluster, &["why", job]).out_text();
    (logs.out_text(), why)
}

pub fn what_cuts_it_off_is_the_end_of_the_process_here_and_of_no_other() {
    let Some(mut cluster) = cluster() else { return };
    let (client, job) = stream(&cluster);
    let refused = ask(&cluster, &["attach", &job]);
    assert_eq!(refused.code, 78, "{}", refused.err_text());
    let says = refused.err_text().contains("cargo deploy logs -f");
    assert!(says, "{}", refused.err_text());
    client.signal(Signal::SIGKILL);
    client.end();
    deserted(&cluster, Duration::from_secs(5));
    let (output, why) = told(&cluster, &job);
    assert!(output.contains("source: exited"), "{output}");
    assert!(why.contains("was lost with the terminal"), "{why}");

    let (client, job) = stream(&cluster);
    let master = cluster.release("head");
    master.signal(Signal::SIGKILL);
    master.end();
    cluster.master(HEAD);
    let (status, said) = client.end();
    assert_eq!(status.code(), Some(137), "{said}");
    assert!(said.contains("connected again"), "{said}");
    let (output, why) = told(&cluster, &job);
    // What was on its way went with the master.
    assert!(output.contains("source: lost"), "{output}");
    assert!(why.contains("was lost with the terminal"), "{why}");
    cluster.finish();
}

pub fn a_network_that_is_away_for_a_while_ends_nothing_and_for_long_it_does() {
    let Some(cluster) = cluster() else { return };
    let (mut client, job) = stream(&cluster);
    cluster.hosts.cut("laptop");
    thread::sleep(Duration::from_secs(5)); // Just that long.
    client.said();
    cluster.hosts.heal("laptop");
    let begun = Instant::now();
    client.expect("it flows");
    println!("it flows again after {:?}", begun.elapsed());

    cluster.hosts.cut("laptop");
    let begun = Instant::now();
    client.expect("trying again");
    let is_client = |pid: &u32| *pid == client.id();
    let laptop = cluster.hosts.host("laptop");
    while !laptop.processes().iter().all(is_client) {
        let late = begun.elapsed() > Duration::from_secs(15);
        assert!(
            !late,
            "the process here outlives the patience of the master"
        );
        thread::sleep(Duration::from_millis(5)); // Nothing announces the end of processes that are not ours.
    }
    println!("nothing of it is here after {:?}", begun.elapsed());
    cluster.hosts.heal("laptop");
    let (status, said) = client.end();
    assert_eq!(status.code(), Some(137), "{said}");
    assert!(told(&cluster, &job).0.contains("source: exited"), "{said}");
    cluster.finish();
}

/// A shell at the laptop's terminal.
fn shell(cluster: &Cluster) -> Terminal {
    let laptop = cluster.hosts.host("laptop");
    let mut shell = laptop.within(Terminal::shell);
    shell.line(&format!("export HOME={}", laptop.disk().display()));
    let command = commands::cargo_deploy().display();
    shell.line(&format!(
        "here() {{ {command} deploy 10.77.0.1:8888 --here --exe {TALK} -- \"$@\"; }}"
    ));
    shell
}

pub fn keys_input_and_debuggers_are_those_of_a_program_that_runs_alone() {
    let Some(cluster) = cluster() else { return };
    let mut shell = shell(&cluster);
    shell.keys("here count 3\n");
    for number in 0..3 {
        shell.expect(&format!("number {number}"));
        if number == 1 {
            shell.keys("\x1a");
            shell.expect(PROMPT);
            assert!(shell.processes().into_iter().any(leftovers::is_stopped));
            // Longer than anybody waits for a machine that is silent.
            thread::sleep(Duration::from_secs(16));
            shell.keys("fg\n");
            shell.expect("fg\r\n");
        }
        shell.keys("\n");
    }
    let ended = |shell: &mut Terminal, code: &str| {
        shell.expect(PROMPT);
        assert_eq!(shell.line("echo $?"), code);
    };
    ended(&mut shell, "0\r\n");
    shell.keys("here wait\n");
    shell.expect("waiting");
    shell.keys("\x03");
    ended(&mut shell, "130\r\n");
    // One that does not mind is killed by the second.
    shell.keys("here deaf\n");
    shell.expect("    deaf\r\n");
    shell.keys("\x03");
    shell.keys("still\n");
    shell.expect("heard still");
    shell.keys("\x03");
    ended(&mut shell, "130\r\n");
    shell.keys("exit\n");
    shell.finish();

    let run = |program: &str, words: &[&str], wrap: &str, stdin: &[u8]| {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let mut command = cluster.deploy(Path::new(program), &words, &[]);
        command.env("DEPLOY_WRAP", wrap);
        let done = cluster.finish_deploy(&mut command, stdin).unwrap();
        assert_eq!(done.code, 0, "{}", done.err_text());
        done.out_text()
    };
    let words = ["wrap".to_string()];
    let mut command = cluster.deploy(Path::new(TALK), &words, &[]);
    command.envs([("DEPLOY_WRAP", "gdb"), ("DEPLOY_WRAP_WORKER", "wrapped")]);
    let refused = cluster.finish_deploy(&mut command, b"").unwrap();
    assert_eq!(refused.code, 78, "{}", refused.err_text());
    let why = "with --here only the first process runs here";
    assert!(refused.err_text().contains(why), "{}", refused.err_text());
    let wrapped = run(TALK, &["wrap"], "env WRAPPED=yes", b"");
    assert_eq!(wrapped, "main yes\nworker no\n");
    assert_eq!(run(TALK, &["cat"], "", b"one\ntwo"), "one\ntwo");
    // What it starts runs on the cluster, so there is nothing beside it.
    let beside = ["stream", "local"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &beside, &[]);
    let refused = cluster.finish_deploy(&mut command, b"").unwrap();
    assert_eq!(refused.code, 101, "{}", refused.err_text());
    let why = "nothing is started where `--here` runs the first one";
    assert!(refused.err_text().contains(why), "{}", refused.err_text());
    let longest: u64 = run(APART, &["beside", "n1"], "", b"")
        .trim()
        .parse()
        .unwrap();
    println!("100 MB unread on one channel: the longest of 300 turns on another took {longest} ms");
    assert!(longest < 5_000, "{longest} ms");
    cluster.finish();
}

/// As the shells of these tests have it.
const PROMPT: &str = "[ready] ";
