//! Programs on a terminal, with a person's keys.

use deploy_tests::{leftovers::is_stopped, pty::Terminal};
use nix::sys::signal::{Signal, kill};
use std::{
    fmt::Debug,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const TALK: &str = env!("CARGO_BIN_EXE_talk");

/// A terminal in which `talk` runs.
fn talk(args: &[&str], env: &[(&str, &str)]) -> Terminal {
    Terminal::with(Command::new(TALK).args(args).envs(env.iter().copied()))
}

/// Waits until as many processes as this are left in the terminal: some go a moment after the program.
fn settle(terminal: &Terminal, count: usize) {
    soon(|| {
        (terminal.processes().len() == count)
            .then_some(())
            .ok_or(terminal.processes())
    });
}

/// Waits for what the kernel tells nobody of: the state of other processes.
fn soon<E: Debug>(look: impl Fn() -> Result<(), E>) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Err(seen) = look() {
        assert!(Instant::now() < deadline, "{seen:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_line_has_its_speaker_above_it_in_colour() {
    let (code, shown) = talk(&["say", "hi"], &[]).finish();
    assert_eq!(code, 0);
    assert!(shown.contains("\x1b[") && shown.contains("hi"), "{shown:?}");
}

#[test]
fn colour_is_not_forced_on_anybody() {
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0")] {
        let (_, shown) = talk(&["say", "hi"], &[variable]).finish();
        assert_eq!(&shown[7..], ":\r\n    hi\r\n    exited: 0\r\n", "{shown:?}");
    }
}

#[test]
fn control_sequences_other_than_colours_are_harmless() {
    let text = "ESC[2JclearedESC]0;titleESC\\ ESC[31mred";
    let (_, shown) = talk(&["escape", text], &[("NO_COLOR", "1")]).finish();
    assert!(
        shown.contains("cleared") && shown.contains("\x1b[31mred"),
        "{shown:?}"
    );
    assert!(
        !shown.contains("\x1b[2J") && !shown.contains("\x1b]"),
        "{shown:?}"
    );
    assert!(
        shown.contains("\x1b[0m") || shown.contains("\x1b[m"),
        "it ends: {shown:?}"
    );
}

#[test]
fn a_prompt_is_seen_before_its_line_ends() {
    let mut terminal = talk(&["prompt", "your name? "], &[]);
    terminal.expect_within("your name? ", Duration::from_secs(5));
    terminal.keys("me\n");
    terminal.expect("answered me");
    assert_eq!(terminal.finish().0, 0);
}

#[test]
fn a_map_says_how_far_it_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pool_map"));
    let (code, shown) = Terminal::with(command.arg("slow")).finish();
    assert_eq!(code, 0);
    let said = |text: &str| shown.matches(text).count();
    assert!(said("nap: ") >= 2 && said("/s") >= 2, "{shown:?}");
    assert!(
        said("nap: 40 of 40 done, ") == 1 && said(", 2 workers") >= 2,
        "{shown:?}"
    );
}

#[test]
fn ctrl_c_ends_all_processes_and_the_shell_sees_it() {
    let mut terminal = talk(&["wait"], &[]);
    terminal.expect("waiting");
    terminal.keys("\x03");
    assert_eq!(terminal.finish().0, 130);

    let mut shell = Terminal::shell();
    shell.keys(&format!("{TALK} wait\n"));
    shell.expect("waiting");
    shell.keys("\x03");
    shell.expect("[ready] ");
    assert_eq!(shell.line("echo $?"), "130\r\n");
    settle(&shell, 1);
    shell.keys("exit\n");
    shell.finish();
}

#[test]
fn ctrl_c_ends_a_loop_of_the_shell_too() {
    let mut shell = Terminal::shell();
    shell.keys(&format!("while true; do {TALK} wait; done\n"));
    shell.expect("waiting");
    shell.keys("\x03");
    shell.expect("[ready] ");
    settle(&shell, 1);
    shell.keys("exit\n");
    shell.finish();
}

#[test]
fn ctrl_c_spares_no_newborn() {
    for _ in 0..5 {
        let mut terminal = talk(&["storm"], &[]);
        terminal.expect("storming");
        terminal.keys("\x03");
        terminal.finish();
    }
}

#[test]
fn a_terminal_that_is_closed_ends_all() {
    let mut inner = Command::new("script");
    // Under `nohup` the tests ignore the hangup, and so would the program.
    inner.args([
        "-qc",
        &format!("env --default-signal=HUP {TALK} wait"),
        "/dev/null",
    ]);
    let mut terminal = Terminal::with(&inner);
    terminal.expect("waiting");
    kill(terminal.first(), Signal::SIGKILL).unwrap();
    assert_eq!(terminal.finish().0, 137);
}

#[test]
fn who_does_not_mind_ctrl_c_goes_on() {
    let mut terminal = talk(&["deaf"], &[]);
    terminal.expect("deaf");
    terminal.keys("\x03word\n");
    terminal.expect("heard word");
    terminal.keys("\x04");
    terminal.expect("worker went on");
    assert_eq!(terminal.finish().0, 0);
}

#[test]
fn a_second_ctrl_c_ends_even_the_deaf() {
    let mut terminal = talk(&["deaf"], &[]);
    terminal.expect("deaf");
    terminal.keys("\x03");
    terminal.keys("word\n");
    terminal.expect("heard word");
    terminal.keys("\x03");
    let (code, shown) = terminal.finish();
    assert_ne!(code, 0);
    assert!(!shown.contains("went on"), "{shown:?}");
}

#[test]
fn ctrl_backslash_ends_all() {
    let mut terminal = talk(&["wait"], &[]);
    terminal.expect("waiting");
    terminal.keys("\x1c");
    assert_eq!(terminal.finish().0, 131);
}

#[test]
fn ctrl_z_stops_all_and_fg_goes_on() {
    let mut shell = Terminal::shell();
    shell.keys(&format!("{TALK} count 4\n"));
    shell.expect("number 0");
    shell.keys("\x1a");
    shell.expect("[ready] ");
    let stopped = |shell: &Terminal| {
        let processes = shell.processes();
        processes.into_iter().filter(|pid| is_stopped(*pid)).count()
    };
    // The shell waits for the monitor alone; the others got the same signal, and stop when they next run.
    soon(|| match stopped(&shell) {
        3.. => Ok(()),
        count => Err(format!(
            "{count} of the monitor, the initial process and its worker stopped"
        )),
    });
    shell.keys("fg\n");
    shell.expect("count 4\r\n");
    for number in 1..4 {
        shell.keys("\n");
        shell.expect(&format!("number {number}"));
    }
    shell.keys("\n");
    shell.expect("[ready] ");
    assert_eq!(shell.line("echo $?"), "0\r\n");
    settle(&shell, 1);
    shell.keys("exit\n");
    shell.finish();
}

#[test]
fn in_the_background_it_runs_and_waits_for_input_as_any_program() {
    let mut shell = Terminal::shell();
    shell.line(&format!("{TALK} cat &"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !shell.line("jobs").contains("Stopped") {
        assert!(Instant::now() < deadline, "it reads in the background");
    }
    shell.keys("fg\n");
    shell.expect("cat\r\n");
    shell.keys("a line\n");
    shell.expect("a line\r\n");
    shell.expect("a line");
    shell.keys("\x04");
    shell.expect("[ready] ");
    shell.keys("exit\n");
    shell.finish();
}

#[test]
fn the_initial_process_has_the_terminal_itself() {
    let (code, _) = talk(&["run", "test", "-t", "0"], &[]).finish();
    assert_eq!(code, 0);
}

#[test]
fn the_shell_sees_the_exit_code() {
    let mut shell = Terminal::shell();
    shell.line(&format!("{TALK} fail 3"));
    assert_eq!(shell.line("echo $?"), "3\r\n");
    shell.keys("exit\n");
    shell.finish();
}
