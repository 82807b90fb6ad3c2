//! Children as they begin: what they have, what they block, and with whom they end.

use super::*;
use crate::{cgroup::Tree, packet, pidfd::Death, process};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{PipeReader, Read, pipe},
    os::fd::{AsFd, OwnedFd},
};

struct Started {
    process: Process,
    stdout: PipeReader,
    birth: OwnedFd,
}

fn start(program: &str, arguments: &[&str], signals_blocked: u64) -> io::Result<Started> {
    start_where(program, arguments, signals_blocked, None)
}

fn start_where(
    program: &str,
    arguments: &[&str],
    signals_blocked: u64,
    group: Option<&Leaf>,
) -> io::Result<Started> {
    start_as(program, arguments, signals_blocked, |launch| match group {
        Some(group) => launch.start_in(group),
        None => launch.start(),
    })
}

fn start_as(
    program: &str,
    arguments: &[&str],
    signals_blocked: u64,
    start: impl FnOnce(&Launch<'_>) -> io::Result<Process>,
) -> io::Result<Started> {
    let text = |text: &&str| CString::new(*text).unwrap();
    let arguments: Vec<_> = [&program].into_iter().chain(arguments).map(text).collect();
    let null = File::open("/dev/null").unwrap();
    let (stdout, output) = pipe().unwrap();
    let (birth, theirs) = packet::pair().unwrap();
    let number = CString::new(format!("BIRTH={KEPT}")).unwrap();
    let launch = Launch {
        program: &CString::new(program).unwrap(),
        arguments: &Texts::new(arguments),
        environment: &Texts::new(vec![number, c"PATH=/bin:/usr/bin".into()]),
        stdin: Some(null.as_fd()),
        stdout: output.as_fd(),
        stderr: output.as_fd(),
        kept: theirs.as_fd(),
        kept_as: Some(KEPT),
        inherits: true,
        by: None,
        signals_blocked,
    };
    Ok(Started {
        process: start(&launch)?,
        stdout,
        birth,
    })
}

fn output(mut started: Started) -> String {
    let mut text = String::new();
    started.stdout.read_to_string(&mut text).unwrap();
    assert_eq!(started.process.wait().unwrap(), Death::Code(0));
    text
}

/// What whoever runs the tests left open for their children; no test of this crate does so below 900.
fn inherited() -> BTreeSet<String> {
    let marked = |number: &i32| {
        // SAFETY: the call copes with a number that is not open, and touches no memory of ours.
        let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
        flags == 0
    };
    (3..900).filter(marked).map(|n| n.to_string()).collect()
}

const KEPT: RawFd = 777;

#[test]
fn a_child_has_its_descriptors_and_no_other() {
    let mut expected = inherited();
    let script =
        "echo $BIRTH; cd /proc/$$/fd; for n in *; do [ $n -lt 900 -a -e $n ] && echo $n; done; :";
    let text = output(start("sh", &["-c", script], 0).unwrap());
    let (birth, open) = text.split_once('\n').unwrap();
    expected.extend(["0", "1", "2", birth].map(str::to_string));
    assert_eq!(
        open.lines().map(str::to_string).collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn a_child_born_in_a_group_leaves_our_descriptors_as_they_are() {
    let Some(tree) = Tree::create("deploy-test-table-", &std::process::id().to_string()) else {
        eprintln!("skipped: no group may be made here");
        return;
    };
    let leaf = tree.leaf("1").unwrap();
    let kept_open = crate::fd::raise(File::open("/dev/null").unwrap().into()).unwrap();
    let arguments = ["-c", "cd /proc/$$/fd; echo *"];
    let shell = crate::fd::raise(File::open("/bin/sh").unwrap().into()).unwrap();
    let alone = |launch: &Launch<'_>| {
        let apart = Launch {
            inherits: false,
            by: Some(shell.as_raw_fd()),
            ..*launch
        };
        apart.start_in(&leaf)
    };
    let program = format!("/proc/self/fd/{}", shell.as_raw_fd());
    let text = output(start_as(&program, &arguments, 0, alone).unwrap());
    let open: BTreeSet<_> = text.split_whitespace().map(str::to_string).collect();
    let mut expected = inherited();
    expected.extend(["0", "1", "2", "777"].map(str::to_string));
    // The shell may have one more for the directory that it lists.
    assert!(
        open.contains("777") && open.difference(&expected).count() <= 1,
        "{text}"
    );
    assert!(crate::fd::same_file(
        kept_open.as_fd(),
        File::open("/dev/null").unwrap().as_fd()
    ));
}

#[test]
fn a_child_born_in_a_group_ends_with_who_started_it() {
    let Some(tree) = Tree::create("deploy-test-orphan-", &std::process::id().to_string()) else {
        eprintln!("skipped: no group may be made here");
        return;
    };
    let leaf = tree.leaf("1").unwrap();
    if leaf.birthplace().is_none() {
        eprintln!("skipped: no process may be born in a group here");
        return;
    }
    // For the kernel who started it is the thread.
    let started = std::thread::scope(|scope| {
        let start = || start_where("/bin/sleep", &["1000"], 0, Some(&leaf)).unwrap();
        scope.spawn(start).join().unwrap()
    });
    assert_eq!(
        started.process.wait().unwrap(),
        Death::Signal(libc::SIGKILL)
    );
}

#[test]
fn a_child_blocks_what_it_is_told_and_what_stops() {
    let text = output(
        start(
            "grep",
            &["-E", "^Sig(Blk|Ign)", "/proc/self/status"],
            1 << 9,
        )
        .unwrap(),
    );
    let mask = |name| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 1 << 9 | mask_of(&STOPPING));
    assert_eq!(mask("SigIgn:") & mask_of(&[libc::SIGPIPE]), 0);
}

#[test]
fn a_child_apart_leads_a_session() {
    let script = "read -r pid name state parent group session rest </proc/self/stat; echo $$ $group $session";
    let ids = |start: fn(&Launch<'_>) -> io::Result<Process>| -> Vec<u32> {
        let text = output(start_as("sh", &["-c", script], 0, start).unwrap());
        process::numbers(&text).collect()
    };
    let apart = ids(|launch| launch.start_apart());
    assert_eq!(apart[1..], [apart[0]; 2]);
    let plain = ids(|launch| launch.start());
    assert!(plain[1] != plain[0] && plain[2] != plain[0]);
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_its_number() {
    let error = |program| start(program, &[], 0).err().unwrap().raw_os_error();
    assert_eq!(error("/no/such/file"), Some(libc::ENOENT));
    assert_eq!(error("no-such-program"), Some(libc::ENOENT));
    assert_eq!(error("/etc/passwd"), Some(libc::EACCES));
}

#[test]
fn the_kept_descriptor_ends_with_the_child() {
    let started = start("true", &[], process::blocked_signals()).unwrap();
    assert!(
        packet::receive(started.birth.as_fd(), &mut Vec::new())
            .unwrap()
            .is_none()
    );
    assert_eq!(output(started), "");
}

#[test]
fn a_child_born_in_a_group_is_like_any_other() {
    let Some(tree) = Tree::create("deploy-test-launch-", &std::process::id().to_string()) else {
        eprintln!("skipped: no group may be made here");
        return;
    };
    let leaf = tree.leaf("1").unwrap();
    let text = |program, arguments: &[&str], group| {
        output(start_where(program, arguments, 1 << 9, group).unwrap())
    };
    let path = format!("/deploy-test-launch-{}/1", std::process::id());
    assert!(text("/bin/cat", &["/proc/self/cgroup"], Some(&leaf)).contains(&path));
    let check = |program, arguments: &[&str], what: fn(&str) -> BTreeSet<String>| {
        let (plain, born) = (
            text(program, arguments, None),
            text(program, arguments, Some(&leaf)),
        );
        assert_eq!(what(&plain), what(&born));
        assert!(!what(&born).is_empty());
    };
    check(
        "/bin/grep",
        &["-E", "^Sig(Blk|Cgt)", "/proc/self/status"],
        |text| text.lines().map(str::to_string).collect(),
    );
    let script = "cd /proc/$$/fd; for n in *; do [ $n != $BIRTH -a -e $n ] && echo $n; done; :";
    check("/bin/sh", &["-c", script], |text| {
        let below = text
            .lines()
            .filter(|number| number.parse::<u32>().unwrap() < 900);
        below.map(str::to_string).collect()
    });
    let pipe = text("/bin/grep", &["^SigIgn", "/proc/self/status"], Some(&leaf));
    let ignored = u64::from_str_radix(pipe.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & mask_of(&[libc::SIGPIPE]), 0);
    let error = |program| {
        start_where(program, &[], 0, Some(&leaf))
            .err()
            .unwrap()
            .raw_os_error()
    };
    assert_eq!(error("/no/such/file"), Some(libc::ENOENT));
    assert_eq!(error("/etc/passwd"), Some(libc::EACCES));
    assert!(leaf.is_empty());
}
