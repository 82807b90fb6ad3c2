//! Programs among other programs: pipes, redirections, loops, `timeout`, `nohup`, `&`, and what the shell sees of them.

use deploy_tests::{
    family,
    header::Ending,
    run::{Finished, finish},
};
use nix::unistd::geteuid;
use std::process::Command;

const GREETINGS: &str = env!("CARGO_BIN_EXE_greetings");
const TALK: &str = env!("CARGO_BIN_EXE_talk");
const CROWD: &str = env!("CARGO_BIN_EXE_crowd");
const EXITS: &str = env!("CARGO_BIN_EXE_exits");

/// Runs a script in which `$GREETINGS`, `$TALK`, `$CROWD` and `$EXITS` are programs, and checks that nothing is left.
fn sh(script: &str) -> Finished {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("GREETINGS", GREETINGS)
        .env("TALK", TALK)
        .env("CROWD", CROWD)
        .env("EXITS", EXITS)
        .env("RUST_BACKTRACE", "0")
        .env_remove("DEPLOY_FORMAT");
    finish(&mut command, b"").unwrap()
}

#[test]
fn standard_output_in_a_file_is_what_was_printed() {
    let finished = sh("$GREETINGS > $TMPDIR/out 2>/dev/null; cat $TMPDIR/out; rm $TMPDIR/out");
    let mut lines: Vec<&str> = finished
        .out
        .split(|b| *b == b'\n')
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect();
    lines.sort();
    let mut expected: Vec<String> = (0..10)
        .map(|index| format!("hello worker {index}!"))
        .collect();
    expected.extend(["total 4500!".into(), String::new()]);
    expected.sort();
    assert_eq!(lines, expected);
}

/// The limit on open files is the first that a crowd of processes meets.
#[test]
fn too_few_descriptors_are_an_error_that_names_the_limit() {
    let finished = sh("ulimit -n 256; $CROWD");
    let err = finished.err_text();
    let told = "raise the hard limit on open files (ulimit -Hn), which is 256";
    assert_eq!(finished.code, 101, "{err}");
    assert!(err.contains(told), "{err}");
}

#[test]
fn notes_go_to_standard_error() {
    let finished = sh("$TALK say one");
    assert_eq!(finished.out_text(), "one\n");
    let err = finished.err_text();
    assert!(err.contains("exited: 0") && !err.contains("one"), "{err}");
}

#[test]
fn one_destination_for_both_shows_whom_each_line_is_from() {
    let finished = sh("$TALK say one 2>&1");
    let out = finished.out_text();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].len() == 8 && lines[0].ends_with(':'), "{out}");
    assert_eq!(lines[1..], ["    one", "    exited: 0"]);
}

#[test]
fn json_lines_are_as_promised() {
    let finished = sh("DEPLOY_FORMAT=json $TALK say one");
    let out = finished.out_text();
    let pid = &out[out.find("\"pid\":\"").unwrap() + 7..][..7];
    let expected = [
        format!(
            "{{\"event\":\"spawn\",\"pid\":\"{pid}\",\"parent\":null,\"node\":\"local\",\"worker\":\"talk::main\",\
             \"resources\":{{\"mem\":268435456,\"cpu\":0.0625,\"gpu\":0}}}}"
        ),
        format!("{{\"event\":\"output\",\"pid\":\"{pid}\",\"fd\":1,\"text\":\"one\\n\"}}"),
        format!("{{\"event\":\"exit\",\"pid\":\"{pid}\",\"status\":{{\"code\":0}}}}"),
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    assert_eq!(finished.err_text(), "");
}

#[test]
fn the_last_line_says_who_failed_first() {
    let finished = sh("$EXITS");
    let err = finished.err_text();
    let last = err.lines().next_back().unwrap();
    assert_eq!(finished.code, 3, "{err}");
    let told = " (exits::worker) failed first: exit code 3; 9 more failed after it";
    assert!(
        last.starts_with("deploy: ") && last.ends_with(told),
        "{err}"
    );
    let plain = sh("$TALK fail 3").err_text();
    assert!(plain.ends_with("    exited: 3\n"), "{plain}");
}

#[test]
fn folded_the_same_line_is_shown_once() {
    let finished = sh("DEPLOY_FORMAT=fold $CROWD 50");
    let (out, err) = (finished.out_text(), finished.err_text());
    assert!(out.starts_with("[0] 50 workers: "), "{out}");
    // Were the machine slow, it would be a few.
    let ends = err.lines().filter(|line| line.ends_with("] exited: 0"));
    assert!((1..20).contains(&ends.count()), "{err}");
}

#[test]
fn a_format_that_is_unknown_is_refused() {
    let finished = sh("DEPLOY_FORMAT=yaml $TALK say one");
    assert!((70..80).contains(&finished.code), "{finished:?}");
    assert!(
        finished.err_text().contains("DEPLOY_FORMAT"),
        "{finished:?}"
    );
    assert_eq!(finished.out_text(), "");
}

#[test]
fn a_capacity_that_is_unknown_or_too_small_is_refused() {
    for capacity in ["much", "1MiB 1", "4 2"] {
        let finished = sh(&format!("DEPLOY_CAPACITY='{capacity}' $TALK say one"));
        assert!((70..80).contains(&finished.code), "{finished:?}");
        assert_eq!(finished.out_text(), "");
        assert!(!finished.err_text().is_empty());
    }
}

#[test]
fn a_wrap_for_a_worker_that_never_runs_is_told() {
    let run = |worker: &str| {
        let words = format!("DEPLOY_WRAP='env WRAPPED=yes' DEPLOY_WRAP_WORKER={worker} $TALK wrap");
        let finished = sh(&words);
        assert_eq!(finished.code, 0, "{finished:?}");
        (finished.out_text(), finished.err_text())
    };
    let told = "and no process ran a function of that name: nothing was wrapped";
    let (out, err) = run("wrapped");
    assert_eq!(
        (out.as_str(), err.contains(told)),
        ("main no\nworker yes\n", false),
        "{err}"
    );
    let (out, err) = run("wraped");
    assert_eq!(out, "main no\nworker no\n");
    assert!(
        err.ends_with(&format!(
            "deploy: DEPLOY_WRAP_WORKER is \"wraped\", {told}\n"
        )),
        "{err}"
    );
}

#[test]
fn channels_of_an_unknown_kind_are_refused() {
    let finished = sh("DEPLOY_CHANNELS=udp $TALK say one");
    assert_eq!(finished.code, 78, "{finished:?}");
    assert!(finished.err_text().contains("DEPLOY_CHANNELS is \"udp\""));
    assert_eq!(finished.out_text(), "");
}

#[test]
fn a_loop_keeps_its_input() {
    let finished =
        sh("printf 'one\\ntwo\\nthree\\n' | while read line; do $TALK say $line 2>/dev/null; done");
    assert_eq!(finished.out_text(), "one\ntwo\nthree\n");
}

#[test]
fn the_initial_process_reads_as_much_as_it_wants() {
    let finished = sh("printf 'one\\ntwo\\nthree\\n' | { read line; $TALK cat 2>/dev/null; }");
    assert_eq!(finished.out_text(), "two\nthree\n");
}

#[test]
fn a_reader_that_leaves_ends_the_program() {
    let finished = sh("$TALK for-ever 2>/dev/null | head -n 1");
    assert_eq!(finished.out_text(), "again\n");
}

#[test]
fn timeout_leaves_nothing() {
    let finished = sh("timeout 1 $TALK wait >/dev/null 2>&1; echo $?");
    assert_eq!(finished.out_text(), "124\n");
}

/// Starts a talent whose processes say `waiting`, and then runs `action` on the first process, `$!`.
fn while_waiting(talent: &str, action: &str) -> Finished {
    sh(&format!(
        "{talent} >$TMPDIR/out 2>/dev/null & \
         until grep -q waiting $TMPDIR/out; do sleep 0.02; done; {action}; rm $TMPDIR/*"
    ))
}

#[test]
fn killing_the_first_process_leaves_nothing() {
    let finished = while_waiting("$TALK wait", "kill -9 $!; wait $!; echo $?");
    assert_eq!(finished.out_text(), "137\n");
}

#[test]
fn killing_the_first_process_leaves_no_stranger_either() {
    if !geteuid().is_root() {
        eprintln!(
            "skipped: no control group may be made, so that strangers cannot be held together"
        );
        return;
    }
    let finished = while_waiting("$TALK litter", "kill -9 $!; wait $!; echo $?");
    assert_eq!(finished.out_text(), "137\n");
}

#[test]
fn a_term_reaches_every_process() {
    let finished = while_waiting("$TALK wait", "kill -TERM $!; wait $!; echo $?");
    assert_eq!(finished.out_text(), "143\n");
    let finished = while_waiting(
        "DEPLOY_FORMAT=json $TALK wait",
        "kill -TERM $!; wait $!; cat $TMPDIR/out",
    );
    let family = family::parse(&finished.out).unwrap();
    let interrupted = Ending::Signal {
        name: "SIGTERM".into(),
        reason: Some("interrupted".into()),
    };
    assert_eq!(family.children.len(), 2);
    for process in family.children.iter().chain([&family]) {
        assert_eq!(process.end, interrupted);
    }
}

#[test]
fn nohup_and_the_background_work() {
    let finished = sh("nohup $TALK say one 2>/dev/null & wait $!; echo $?");
    assert_eq!(finished.out_text(), "one\n0\n");
    let ignored = sh("trap '' HUP; $TALK ignores-hup 2>/dev/null");
    assert_eq!(ignored.out_text(), "main true\nworker true\n");
}

#[test]
fn descriptors_of_the_shell_reach_the_initial_process() {
    let finished = sh("$TALK read-3 3<<END 2>/dev/null\nthree\nEND");
    assert_eq!(finished.out_text(), "three\nworker has no 3\n");
}

#[test]
fn without_init_everything_says_so() {
    for words in ["no-init", "no-init call"] {
        let finished = sh(&format!("$TALK {words}"));
        assert_eq!(finished.code, 101);
        let err = finished.err_text();
        assert!(
            err.contains("call init") && err.contains("talk.rs"),
            "{err}"
        );
    }
}

#[test]
fn a_stray_certificate_is_no_certificate() {
    let finished = sh("DEPLOY_BIRTH=7 timeout -s KILL 10 $TALK say one 2>/dev/null");
    assert_eq!(finished.out_text(), "one\n");
}

#[test]
fn a_program_started_by_a_program_is_its_own() {
    let finished = sh("DEPLOY_FORMAT=json $TALK run $TALK say one");
    let outer = family::parse(&finished.out).unwrap();
    assert_eq!((outer.end, outer.children.len()), (Ending::Code(0), 0));
    let inner = family::parse(&outer.out).unwrap();
    assert_eq!(inner.out, b"one\n");
}

#[test]
fn a_wrapper_runs_the_worker_that_is_named() {
    let finished =
        sh("DEPLOY_WRAP='env WRAPPED=yes' DEPLOY_WRAP_WORKER=wrapped $TALK wrap 2>/dev/null");
    assert_eq!(finished.out_text(), "main no\nworker yes\n");
    let finished = sh("DEPLOY_WRAP='env WRAPPED=yes' $TALK wrap 2>/dev/null");
    assert_eq!(finished.out_text(), "main yes\nworker no\n");
}

#[test]
fn a_full_disk_is_told() {
    let finished = sh("$TALK say one >/dev/full");
    let err = finished.err_text();
    assert_eq!(finished.code, 74, "{err}");
    let told = "deploy: standard output could not be written: No space left on device";
    assert!(err.contains(told), "{err}");
}

/// The last word to a reader that had gone was a panic: code 101.
#[test]
fn the_exit_code_is_the_programs_also_where_nobody_reads_standard_error() {
    let finished = sh(
        "{ $EXITS 2>&1 >/dev/null; echo $? >$TMPDIR/code; } | head -n 1 >/dev/null; cat $TMPDIR/code; rm $TMPDIR/code",
    );
    assert_eq!(finished.out_text(), "3\n");
    let finished = sh("$TALK say one 2>/dev/full");
    assert_eq!((finished.code, finished.out_text().as_str()), (74, "one\n"));
}

#[test]
fn no_port_is_opened() {
    let finished = while_waiting(
        "$TALK wait",
        "for pid in $(grep -lz DEPLOY_TEST_RUN=$DEPLOY_TEST_RUN /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do \
             ls -l /proc/$pid/fd 2>/dev/null | grep -o 'socket:.*' | tr -dc '0-9\\n'; \
         done | sort > $TMPDIR/sockets; \
         cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | awk '{ print $10 }' | sort > $TMPDIR/ports; \
         comm -12 $TMPDIR/sockets $TMPDIR/ports; wc -l < $TMPDIR/sockets; kill -9 $!; wait $!",
    );
    let sockets = finished.out_text();
    let sockets: u32 = sockets
        .trim()
        .parse()
        .expect("no port, only the number of sockets");
    assert!(sockets > 0, "those of the runtime are seen");
}
