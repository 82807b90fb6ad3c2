//! What a job's processes may not do, and who may not touch them: other jobs, and other users of the machine.

use crate::daemons::{Cluster, PATIENCE, ask, children, greeted, request};
use deploy_trust::{
    client::Client,
    identity::Identity,
    join::join,
    subject::{Name, Role},
    token::Token,
};
use deploy_wire::{
    client::{Answer, Ask, CHUNK_BYTES_MAX, CREDIT_BYTES_FIRST, RunRequest},
    event::Event,
    exit::{ExitStatus, Reason},
    resources::Resources,
};
use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    process::{Command, Output},
    time::{Duration, Instant, SystemTime},
};

/// Runs a program of this machine as a job, and leaves it to the caller to hear of it.
fn begin(cluster: &Cluster, user: &str, program: &str, args: &[&str]) -> Client {
    let identity = cluster.identity(Role::User, user, SystemTime::now());
    begin_as(&identity, program, args)
}

/// The same, as this user.
pub fn begin_as(identity: &Identity, program: &str, args: &[&str]) -> Client {
    let mut client = greeted(identity);
    let file = fs::canonicalize(program).unwrap();
    let bytes = fs::read(&file).unwrap();
    let digest = *blake3::hash(&bytes).as_bytes();
    let image = Ask::Image {
        digest,
        len: bytes.len() as u64,
        bases: Vec::new(),
    };
    if ask(&mut client, &image).unwrap() != Answer::ImageKnown {
        let mut frame = Vec::new();
        let mut packed = deploy_parcel::Packed::whole(bytes.as_slice()).unwrap();
        packed.read_to_end(&mut frame).unwrap();
        let last = frame.chunks(CHUNK_BYTES_MAX).map(|bytes| {
            let bytes = bytes.to_vec();
            ask(&mut client, &Ask::Chunk { bytes }).unwrap()
        });
        assert_eq!(last.last(), Some(Answer::ImageKnown));
    }
    let words: Vec<&str> = [program].into_iter().chain(args.iter().copied()).collect();
    let request = request(digest, &words);
    let started = ask(&mut client, &Ask::Run(Box::new(request))).unwrap();
    assert!(matches!(started, Answer::Started { .. }), "{started:?}");
    let bytes = CREDIT_BYTES_FIRST;
    client
        .send(Ask::Credit { bytes }.encode(), Instant::now() + PATIENCE)
        .unwrap();
    client
}

/// All that the job writes, until it has ended.
pub fn output(mut client: Client) -> String {
    let mut text = String::new();
    loop {
        let message = client.recv(Instant::now() + PATIENCE).unwrap();
        match Answer::decode(&message).unwrap() {
            Answer::Event {
                event: Event::Output { bytes, .. },
                ..
            } => text += &String::from_utf8_lossy(&bytes),
            Answer::Finished => return text,
            Answer::Refused { why, .. } => panic!("{why}"),
            _ => {}
        }
    }
}

/// How the job's only process ends.
fn status(mut client: Client) -> ExitStatus {
    loop {
        let message = client.recv(Instant::now() + PATIENCE).unwrap();
        match Answer::decode(&message).unwrap() {
            Answer::Event {
                event: Event::Exited { status, .. },
                ..
            } => return status,
            Answer::Finished => panic!("its end was not told"),
            _ => {}
        }
    }
}

/// Those of the head's own node, which is the master's only child.
fn wardens(cluster: &Cluster) -> Vec<u32> {
    let nodes = children(cluster.master.id()).into_iter();
    nodes.flat_map(children).collect()
}

/// The warden and the one process of the only job, once they are there.
fn family(cluster: &Cluster) -> (u32, u32) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for warden in wardens(cluster) {
            let sleeps = |process: &u32| {
                let line = fs::read_to_string(format!("/proc/{process}/cmdline"));
                line.is_ok_and(|line| line.starts_with("/usr/bin/sleep"))
            };
            if let Some(process) = children(warden).into_iter().find(sleeps) {
                return (warden, process);
            }
        }
        assert!(Instant::now() < deadline, "the job never begins");
        std::thread::sleep(Duration::from_millis(5)); // Its beginning is told to nobody but its client.
    }
}

fn is_root(why: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only the superuser can give {why}");
    }
    is_root
}

fn owner(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs a line of the shell as this user, who has nothing else.
fn as_user(user: u32, line: &str) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .uid(user)
        .gid(user)
        .current_dir("/");
    command.output().unwrap()
}

#[test]
fn a_process_has_no_way_to_more_than_it_was_given() {
    let cluster = Cluster::start();
    let status = output(begin(
        &cluster,
        "ada",
        "/usr/bin/cat",
        &["/proc/self/status", "/proc/self/limits"],
    ));
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {status}"));
        line[name.len()..]
            .split_whitespace()
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let adjusted = output(begin(
        &cluster,
        "ada",
        "/usr/bin/cat",
        &["/proc/self/oom_score_adj"],
    ));
    let adjusted: i32 = adjusted.trim().parse().unwrap();
    assert!(adjusted >= 500, "the kernel would rather end a daemon");
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Umask:"), ["0077"]);
    assert_eq!(field("Max core file size")[..2], ["0", "0"]);
    let files: u64 = field("Max open files")[1].parse().unwrap();
    assert!(files <= 1 << 16, "{status}");
    if is_root("a job a user of its own") {
        let user: u32 = field("Uid:")[1].parse().unwrap();
        assert!(user >= fabric::confine::USERS_FIRST, "{status}");
        assert_eq!(field("Groups:"), [] as [&str; 0]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), ["0000000000000000"]);
        }
    }
}

#[test]
fn another_job_and_another_user_are_kept_off() {
    if !is_root("jobs users of their own") {
        return;
    }
    let cluster = Cluster::start();
    let mut client = begin(&cluster, "ada", "/usr/bin/sleep", &["1000"]);
    let (warden, process) = family(&cluster);
    let user = owner(process);
    let attempts = |process: u32| {
        ["environ", "maps", "mem"]
            .map(|file| format!("head -c 1 /proc/{process}/{file}"))
            .into_iter()
            .chain([
                format!("ls /proc/{process}/fd/"),
                format!("kill -0 {process}"),
            ])
    };
    let state = cluster.state("head");
    let state = state.display();
    let others = attempts(process).chain(attempts(warden)).chain([
        format!("ls {state}/jobs/*/"),
        format!("cat {state}/*/identity"),
        format!("cat {state}/audit.jsonl"),
    ]);
    for (other, line) in others.flat_map(|line| [(65_534, line.clone()), (user + 1, line)]) {
        let tried = as_user(other, &line);
        assert!(!tried.status.success(), "{line} as {other}: {tried:?}");
    }
    let control = as_user(
        user,
        &format!("ls /proc/{process}/fd/ && kill -0 {process}"),
    );
    assert!(control.status.success(), "{control:?}");
    // Its own processes may look at one another, but not at the warden, which knows the job's key.
    for line in attempts(warden).filter(|line| !line.starts_with("kill")) {
        let tried = as_user(user, &line);
        assert!(
            !tried.status.success(),
            "{line} as the job itself: {tried:?}"
        );
    }
    // And so a job of somebody else's.
    let environ = format!("/proc/{process}/environ");
    let said = output(begin(&cluster, "eve", "/usr/bin/cat", &[&environ]));
    assert!(said.contains("Permission denied"), "{said}");

    assert!(fs::metadata(format!("/proc/{process}")).is_ok());
    let deadline = Instant::now() + PATIENCE;
    client
        .send(Ask::Signal { signal: 9 }.encode(), deadline)
        .unwrap();
    output(client);
    assert!(fs::metadata(format!("/proc/{process}")).is_err());
}

#[test]
fn jobs_of_two_daemons_on_one_machine_have_two_users() {
    if !is_root("jobs users of their own") {
        return;
    }
    let clusters = [Cluster::start(), Cluster::start()];
    let clients = clusters.each_ref().map(|cluster| {
        let client = begin(cluster, "ada", "/usr/bin/sleep", &["1000"]);
        (client, owner(family(cluster).1))
    });
    let [(_, one), (_, other)] = &clients;
    assert_ne!(one, other);
}

/// Where jobs run as the daemon's own user.
#[test]
fn without_rights_a_job_is_kept_from_the_daemons_state_and_from_other_jobs() {
    let cluster = Cluster::start_unprivileged();
    let nodes = cluster.say(&["nodes"]);
    if !deploy_sys::landlock::is_there() {
        assert!(nodes.contains("trusts its users"), "{nodes}");
        return eprintln!("skipped: this kernel has no Landlock");
    }
    assert!(nodes.contains("by Landlock"), "{nodes}");
    let token: Token = cluster.user_token.parse().unwrap();
    let ada = join(&token, &Name::like("ada"), PATIENCE).unwrap();
    let other = begin_as(&ada, "/usr/bin/sleep", &["1000"]);
    let (warden, process) = family(&cluster);
    let state = cluster.state("head");
    let state = state.display();
    let denied = [
        format!("cat {state}/node/identity"),
        format!("cat {state}/node/leash.secret"),
        format!("cat {state}/authority/tokens"),
        format!("cat {state}/audit.jsonl"),
        format!("mv {state}/node/identity {state}/node/x"),
        format!("rm -r {state}/node/images"),
        format!("touch {state}/new"),
        format!("for file in {state}/jobs/*; do touch $file/new || exit 1; done"),
        format!("cat /proc/{process}/environ"),
        format!("cat /proc/{warden}/environ"),
        format!("kill -0 {process}"),
        format!("kill -0 {warden}"),
        format!("kill -0 {}", cluster.master.id()),
        format!("kill -0 {}", children(cluster.master.id())[0]),
    ];
    let allowed = ["echo own > own && cat own", "cat /proc/self/stat", "ls /"];
    let denied = denied.map(|line| format!("({line}) && exit 7\n"));
    let allowed = allowed.map(|line| format!("({line}) || exit 8\n"));
    let script = format!("{}{}echo all was so", denied.concat(), allowed.concat());
    let said = output(begin_as(&ada, "/bin/sh", &["-c", &script]));
    assert!(said.ends_with("all was so\n"), "{said}");
    drop(other);
}

/// Where no control group may be made, somebody looks at what processes use.
#[test]
fn without_rights_memory_is_limited_all_the_same() {
    let cluster = Cluster::start_unprivileged();
    let token: Token = cluster.user_token.parse().unwrap();
    let ada = join(&token, &Name::like("ada"), PATIENCE).unwrap();
    let script = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); sleep 1000";
    let status = status(begin_as(&ada, "/bin/sh", &["-c", script]));
    let Some(Reason::OutOfMemory(shortage)) = status.reason() else {
        panic!("{status}");
    };
    assert_eq!(shortage.limit, Resources::DEFAULT.mem);
    assert!(shortage.peak > shortage.limit, "{status}");
    assert_eq!(output(begin_as(&ada, "/bin/echo", &["well"])), "well\n");
}

#[test]
fn a_user_neither_sees_nor_kills_anothers_job() {
    let cluster = Cluster::start();
    let client = begin(&cluster, "ada", "/usr/bin/sleep", &["1000"]);
    let eve = cluster.identity(Role::User, "eve", SystemTime::now());
    let mut eves = greeted(&eve);
    assert_eq!(
        ask(&mut eves, &Ask::Jobs).unwrap(),
        Answer::Jobs(Vec::new())
    );
    let (_, process) = family(&cluster);
    for digit in "0123456789abcdef".chars() {
        let kill = Ask::Kill {
            job: digit.to_string(),
            process: None,
        };
        let answer = ask(&mut eves, &kill).unwrap();
        assert!(
            matches!(&answer, Answer::Refused { why, .. } if why.starts_with("none of your jobs"))
        );
    }
    assert!(fs::metadata(format!("/proc/{process}")).is_ok());
    drop(client);
    assert!(cluster.audit().contains(r#""event":"kill""#));
}

#[test]
fn a_program_is_not_given_what_would_change_how_it_is_loaded() {
    let cluster = Cluster::start();
    let eve = cluster.identity(Role::User, "eve", SystemTime::now());
    let request = RunRequest {
        env: vec![(b"LD_PRELOAD".to_vec(), b"/tmp/x.so".to_vec())],
        ..request([7; 32], &["test"])
    };
    let answer = ask(&mut greeted(&eve), &Ask::Run(Box::new(request))).unwrap();
    assert!(
        matches!(&answer, Answer::Refused { why, .. } if why.starts_with("LD_PRELOAD")),
        "{answer:?}"
    );
}
