//! A job of many processes: its lines folded, its output in files, and the last word.

use crate::{
    bridge::{Bridge, Client},
    person::{Person, said, stderr, stdout},
};
use deploy_wire::{
    event::Stream,
    exit::{End, ExitStatus},
    pid::Job,
};
use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

const WORKERS: u32 = 300;

fn exited(code: i32) -> ExitStatus {
    ExitStatus::new(End::Code(code))
}

/// A first process and workers of which one panics. All say the same, but for what they compute.
fn play(client: &mut Client) {
    for number in 1..=WORKERS {
        client.spawned(number, "hello::work");
    }
    for number in 1..=WORKERS {
        client.wrote_as(number, Stream::Stdout, b"re");
    }
    for number in 1..=WORKERS {
        client.wrote_as(number, Stream::Stdout, b"ady\n");
    }
    client.wrote_as(7, Stream::Stdout, b"\xff\x1b[2J");
    let panic = b"\nthread 'hello::work' (12) panicked at src/main.rs:9:5:\nno luck\n";
    client.wrote_as(9, Stream::Stderr, panic);
    client.died_as(9, exited(101));
    for number in (1..=WORKERS).filter(|number| *number != 9) {
        client.died_as(number, exited(0));
    }
    client.wrote(Stream::Stderr, b"a worker is gone\n");
    client.died_as(0, exited(1));
    client.finished();
}

fn bridge() -> Bridge {
    Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        play(&mut client);
    })
}

#[test]
fn the_last_word_says_who_failed_first_and_how_to_see_the_rest() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let all = stderr(&output);
    let last: Vec<&str> = all.lines().rev().take(2).collect();
    let first = "(hello::work on n2) failed first: it panicked at src/main.rs:9:5: no luck; 1 more failed after it; \
                 the exit code is that of";
    assert!(last[1].contains(first), "{all}");
    let (_, job) = last[0].split_once("cargo deploy logs ").expect(&all);
    let job = &job[..8];
    assert!(last[0].contains(&format!("`cargo deploy why {job}`")));

    // Programs have their own way to tell, and whose end is plain to see needs no word.
    let output = person.run(&bridge, &["--format", "json"]).output().unwrap();
    assert_eq!(stderr(&output), "", "{}", said(&output));
    let plain = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.died(exited(3));
    });
    let person = Person::of(&plain);
    let output = person.run(&plain, &[]).output().unwrap();
    let notes = stderr(&output);
    assert!(notes.ends_with("exited: 3\n"), "{notes}");
}

#[test]
fn folded_the_same_line_of_all_is_one() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &["--fold"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let mut said_ready = 0;
    for line in stdout(&output)
        .lines()
        .filter(|line| line.ends_with("] ready"))
    {
        let who = line
            .strip_prefix('[')
            .and_then(|line| line.split_once(']'))
            .unwrap()
            .0;
        said_ready += who.split(',').map(count).sum::<u32>();
    }
    assert_eq!(said_ready, WORKERS);
    // Were the machine as slow as never before, there would be some groups more.
    let lines = stdout(&output).lines().count() + stderr(&output).lines().count();
    assert!(lines < 60, "{}", said(&output));
    assert!(
        output
            .stdout
            .windows(9)
            .any(|bytes| bytes == b"[7] \xff\x1b[2J")
    );
}

/// How many there are in `3-7`, or in `3`.
fn count(range: &str) -> u32 {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u32>().unwrap();
    number(last) + 1 - number(first)
}

/// The files below a directory that holds one job's, by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let jobs: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|job| job.unwrap().path())
        .collect();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let entries = fs::read_dir(&jobs[0]).unwrap().map(|entry| entry.unwrap());
    let named = |entry: fs::DirEntry| {
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    };
    entries.map(named).collect()
}

fn check_files(directory: &Path) {
    let files = files(directory);
    let of = |number: u32, kind: &str| {
        let prefix = format!("{number:04}-");
        let found = files
            .iter()
            .find(|(name, _)| name.starts_with(&prefix) && name.ends_with(kind));
        found.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
    };
    assert_eq!(files.len() as u32, WORKERS + 2);
    assert_eq!(of(0, ".err").as_deref(), Some("a worker is gone\n"));
    assert_eq!(of(0, ".out"), None);
    assert_eq!(of(300, ".out").as_deref(), Some("ready\n"));
    let strange = files
        .iter()
        .find(|(name, _)| name.starts_with("0007"))
        .unwrap()
        .1;
    assert_eq!(strange, b"ready\n\xff\x1b[2J");
}

#[test]
fn each_process_has_files_of_its_own() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let directory = person.home().join("some/results");
    let output = format!("dir={}", directory.display());
    let done = person
        .run(&bridge, &["--output", &output, "--fold"])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    check_files(&directory);

    // A job that was left alone has them too, when somebody looks on; and what is there is left as it is.
    let number: OnceLock<Job> = OnceLock::new();
    let looked_on = Bridge::start(move |mut client| {
        client.be(*number.get_or_init(|| client.pid().job()));
        client.looked_on();
        client.born_as("hello::main");
        play(&mut client);
    });
    let person = Person::of(&looked_on);
    let directory = person.home().join("logs");
    let output = format!("dir={}", directory.display());
    let look = || {
        person
            .deploy(&["logs", "-f", "ab12", "--output", &output])
            .output()
            .unwrap()
    };
    let done = look();
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    check_files(&directory);
    let done = look();
    assert_eq!(done.status.code(), Some(78), "{}", said(&done));
    assert!(
        stderr(&done).contains("is there already"),
        "{}",
        said(&done)
    );
    check_files(&directory);
}

#[test]
fn files_that_nobody_could_write_are_refused_before_the_job_begins() {
    let bridge = Bridge::start(|_| panic!("nothing is to be run"));
    let person = Person::of(&bridge);
    let check = |words: &[&str], expected: &str| {
        let done = person.run(&bridge, words).output().unwrap();
        assert_eq!(done.status.code(), Some(78), "{}", said(&done));
        assert!(stderr(&done).contains(expected), "{}", said(&done));
    };
    check(
        &["--output", "dir=x", "--detach"],
        "cargo deploy logs -f JOB --output dir=x",
    );
    check(&["--output", "dir=/proc/no"], "of --output cannot be made");
    check(
        &["--output", "dir=/proc/self"],
        "nothing can be made in `/proc/self`",
    );
    check(&["--output", "results"], "dir=results");
    check(&["--fold", "--format", "json"], "--fold");
}

#[test]
fn a_full_disk_is_told_at_once_and_in_the_end() {
    // A disk of 64 KiB: a file that may not grow any more looks the same to whoever writes.
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        for _ in 0..3 {
            client.wrote(Stream::Stdout, &[b'x'; 40_000]);
        }
        client.wrote(Stream::Stdout, b"\n");
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let output = format!("dir={}", person.home().join("files").display());
    let run = person.run(&bridge, &["--output", &output]);
    let mut shell = person.limited(&run, "ulimit -f 64; trap '' XFSZ");
    let done = shell.output().unwrap();
    assert_eq!(done.status.code(), Some(74), "{}", said(&done));
    let told = "what came after that is not in the files";
    assert_eq!(stderr(&done).matches(told).count(), 2, "{}", said(&done));
    assert_eq!(done.stdout.len(), 120_001, "the screen has it all");
}

#[test]
fn names_are_by_number_and_pid() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let directory = person.home().join("files");
    let output = format!("dir={}", directory.display());
    let done = person
        .run(&bridge, &["--output", &output, "--format", "json"])
        .output()
        .unwrap();
    let mut pids = BTreeMap::new();
    for line in stdout(&done).lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "spawn" {
            pids.insert(pids.len(), event["pid"].as_str().unwrap().to_string());
        }
    }
    for name in files(&directory).keys() {
        let (number, rest) = name.split_once('-').unwrap();
        let number: usize = number.parse().unwrap();
        assert_eq!(pids[&number], rest[..7], "{name}");
    }
}
