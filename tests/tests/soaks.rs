//! The short runs of the commands in `soaks/`, each of which prints its figures and fails where they are not what is
//! promised.

use deploy_sys::signal;
use deploy_tests::{commands, run};
use std::{process::Command, time::Duration};

fn check(program: &str, args: &[&str], env: &[(&str, &str)]) {
    check_within(Duration::from_secs(60), program, args, env);
}

fn check_within(time: Duration, program: &str, args: &[&str], env: &[(&str, &str)]) {
    // First, because their time is not for that: it takes minutes where nobody has built them so before.
    let _ = (commands::fabric(), commands::cargo_deploy());
    // A suite that was started with `&` ignores SIGINT, and so would what runs here.
    signal::forget_ignored().unwrap();
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied());
    let finished = run::finish_within(time, &mut command, b"").unwrap();
    let (out, err) = (finished.out_text(), finished.err_text());
    assert_eq!(finished.code, 0, "{out}{err}");
    print!("{out}");
}

#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    let args = ["--kills", "32", "--seed", "20"];
    check(env!("CARGO_BIN_EXE_kills"), &args, &[]);
}

#[test]
fn every_call_on_a_pool_is_answered_once_while_workers_are_killed() {
    let args = ["--calls", "20000", "--kills", "30", "--seed", "20"];
    check(env!("CARGO_BIN_EXE_pool_kills"), &args, &[]);
}

#[test]
fn a_sender_that_nobody_reads_holds_no_more_than_a_window() {
    let offered = env!("CARGO_BIN_EXE_offered");
    check(offered, &["--gib", "1", "--seconds", "1"], &[]);
    let channels = [("DEPLOY_CHANNELS", "tcp")];
    check(offered, &["--gib", "1", "--seconds", "1"], &channels);
}

#[test]
fn who_closes_what_is_not_its_own_and_ends_loses_nothing_without_a_word() {
    for channels in ["", "tcp", "sockets", "memory"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hasty"));
        let command = command.args(["--workers", "100"]);
        let finished = run::finish(command.env("DEPLOY_CHANNELS", channels), b"").unwrap();
        let (out, err) = (finished.out_text(), finished.err_text());
        let is_kept = out.contains(" 0 lost values and said nothing");
        assert!(is_kept, "over {channels:?}: {out}{err}");
        print!("{channels}: {out}");
    }
}

#[test]
fn a_process_in_a_debugger_is_not_taken_for_dead() {
    let traced = env!("CARGO_BIN_EXE_traced");
    check(traced, &["--seconds", "3"], &[]);
    let channels = [("DEPLOY_CHANNELS", "tcp")];
    check(traced, &["--seconds", "3"], &channels);
}

#[test]
fn a_cluster_under_every_kind_of_blow_keeps_its_promises() {
    // The blows take 2 minutes, the master is killed too; what was lost with a node may take a while to be told and ended.
    let (nemesis, args) = (
        env!("CARGO_BIN_EXE_nemesis"),
        ["--seed", "7", "--seconds", "120", "--master", "1"],
    );
    check_within(Duration::from_secs(300), nemesis, &args, &[]);
}

#[test]
fn every_end_has_one_cause_that_is_told_right_everywhere() {
    check(
        env!("CARGO_BIN_EXE_causes"),
        &["--times", "1", "--alone", "0"],
        &[],
    );
}

#[test]
fn processors_are_shared_out_as_they_were_granted() {
    // Loosely: some seconds are short, and the machine has other things to do.
    let args = ["--seconds", "4", "--permille", "240"];
    check(env!("CARGO_BIN_EXE_shares"), &args, &[]);
}

#[test]
fn processes_that_take_all_they_can_get_hurt_nobody_and_nothing_grows_with_them() {
    check(
        env!("CARGO_BIN_EXE_gluttons"),
        &["--mib", "64", "--seconds", "1"],
        &[],
    );
}

#[test]
fn nobody_is_taken_for_dead_on_a_machine_that_has_too_much_to_do() {
    check(env!("CARGO_BIN_EXE_loaded"), &["--seconds", "8"], &[]);
}

#[test]
fn a_job_that_has_had_many_processes_costs_what_those_cost_that_live() {
    let long_job = env!("CARGO_BIN_EXE_long_job");
    check(long_job, &["--processes", "1000"], &[]);
}

#[test]
fn a_hundred_jobs_leave_nothing_that_grows() {
    check(env!("CARGO_BIN_EXE_many_jobs"), &["--jobs", "100"], &[]);
}

#[test]
fn ctrl_c_ends_three_hundred_processes() {
    check(env!("CARGO_BIN_EXE_interrupted"), &[], &[]);
}
