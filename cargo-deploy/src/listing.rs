//! `cargo deploy nodes`, `ps` and `kill`: one question each.

use crate::{
    cli::{Kill, Listing, Ps, Shown},
    clusters,
    failure::Failure,
    session::Bridge,
};
use deploy_bridge::{Format, Options, duration, node_table, table};
use deploy_wire::{
    client::{Answer, Ask, JobView, NodeView},
    resources::Resources,
};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Shows the machines.
pub fn nodes(listing: &Listing) -> Result<i32, Failure> {
    let is_json = is_json(&listing.shown)?;
    let nodes = ask(
        listing.target.as_deref(),
        &Ask::Nodes,
        |answer| match answer {
            Answer::Nodes(nodes) => Some(nodes),
            _ => None,
        },
    )?;
    print(match is_json {
        true => lines(nodes.iter().map(node_json)),
        false => node_table(&nodes),
    })
}

/// Shows one's jobs, those that are over first.
pub fn jobs(ps: &Ps) -> Result<i32, Failure> {
    let is_json = is_json(&ps.listing.shown)?;
    let target = ps.listing.target.as_deref();
    let ask = |asked: &Ask| {
        ask(target, asked, |answer| match answer {
            Answer::Jobs(jobs) => Some(jobs),
            _ => None,
        })
    };
    let mut jobs = match ps.all {
        true => ask(&Ask::Past)?,
        false => Vec::new(),
    };
    jobs.extend(ask(&Ask::Jobs)?);
    print(match is_json {
        true => lines(jobs.iter().map(job_json)),
        false => job_table(&jobs),
    })
}

/// Ends a job or a process.
pub fn kill(kill: &Kill) -> Result<i32, Failure> {
    let (job, process) = job_and_process(&kill.what);
    let asked = Ask::Kill { job, process };
    ask(kill.target.as_deref(), &asked, |answer| {
        (answer == Answer::Done).then_some(())
    })?;
    Ok(0)
}

/// `JOB/PID` or `JOB`.
pub fn job_and_process(what: &str) -> (String, Option<String>) {
    match what.split_once('/') {
        Some((job, process)) => (job.to_string(), Some(process.to_string())),
        None => (what.to_string(), None),
    }
}

/// One question to a cluster, and what its answer holds.
pub fn ask<T>(
    target: Option<&str>,
    ask: &Ask,
    take: impl FnOnce(Answer) -> Option<T>,
) -> Result<T, Failure> {
    let mut bridge = Bridge::connect(&clusters::find(target)?)?;
    let answer = take(bridge.ask(ask)?).ok_or_else(|| bridge.surprised())?;
    bridge.finish();
    Ok(answer)
}

/// Whether it is to be shown to programs.
pub fn is_json(shown: &Shown) -> Result<bool, Failure> {
    let word = shown.word();
    let look_up = |name: &str| word.clone().filter(|_| name == "DEPLOY_FORMAT");
    let options = Options::from_env(look_up, false, false, false).map_err(Failure::setting)?;
    Ok(options.format == Format::Json)
}

/// A reader that has seen enough is a quiet end.
pub fn print(text: String) -> Result<i32, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        _ => Ok(0),
    }
}

/// Objects, one a line.
pub fn lines(objects: impl Iterator<Item = Value>) -> String {
    objects.map(|object| format!("{object}\n")).collect()
}

/// Jobs for people.
pub fn job_table(jobs: &[JobView]) -> String {
    table(JOB_HEAD, jobs.iter().map(job_row).collect())
}

fn job_row(job: &JobView) -> [String; 6] {
    [
        job.job.to_string(),
        job.worker.clone(),
        job.user.clone(),
        job.processes.to_string(),
        duration(job.seconds),
        job.state.clone(),
    ]
}

fn node_json(node: &NodeView) -> Value {
    json!({
        "node": node.name,
        "address": node.address,
        "state": node.state,
        "lost_seconds": node.lost_seconds,
        "capacity": resources_json(node.capacity),
        "free": resources_json(node.free),
        "processes": node.processes,
        "isolation": node.isolation,
        "labels": node.labels,
    })
}

fn job_json(job: &JobView) -> Value {
    json!({
        "job": job.job.to_string(),
        "worker": job.worker,
        "user": job.user,
        "processes": job.processes,
        "seconds": job.seconds,
        "state": job.state,
    })
}

/// As in the events of a job.
pub fn resources_json(resources: Resources) -> Value {
    let cores = resources.cpu.millionths() as f64 / 1e6;
    json!({"mem": resources.mem.bytes(), "cpu": cores, "gpu": resources.gpu})
}

const JOB_HEAD: [&str; 6] = ["JOB", "PROGRAM", "USER", "PROCESSES", "TIME", "STATE"];
