//! What is shown of a cluster, and how something on it is ended.

use crate::{
    bridge::Bridge,
    person::{Person, said, stderr, stdout},
};
use deploy_wire::{
    client::{Answer, Ask, JobView, NodeView},
    code::OwnCode,
    pid::Job,
    resources::{Cpu, Mem, Resources},
};

fn cluster() -> Bridge {
    Bridge::start(|mut client| {
        while let Some(ask) = client.hear() {
            match ask {
                Ask::Hello { .. } => client.greet(),
                Ask::Nodes => client.tell(&Answer::Nodes(vec![node(), lost()])),
                Ask::Jobs => client.tell(&Answer::Jobs(vec![job()])),
                Ask::Past => client.tell(&Answer::Jobs(vec![JobView {
                    state: "failed: 3".into(),
                    ..job()
                }])),
                Ask::Kill { job, process } if job == "ab" => {
                    assert!(process.is_none_or(|process| process == "3fecd01"));
                    client.tell(&Answer::Done);
                }
                _ => client.tell(&Answer::Refused {
                    code: OwnCode::Setting.number() as u8,
                    why: "no such job: look at `cargo deploy ps`".into(),
                }),
            }
        }
    })
}

fn node() -> NodeView {
    let resources = |gib| Resources {
        mem: gib * Mem::GIB,
        cpu: 8 * Cpu::CORE,
        gpu: 1,
    };
    NodeView {
        name: "n2".into(),
        address: "10.0.0.2:9999".into(),
        state: "up".into(),
        capacity: resources(64),
        free: resources(48),
        processes: 3,
        isolation: "own user, control group".into(),
        labels: vec!["gpu-box".into(), "disk=ssd".into()],
        glibc: "2.36".into(),
        lost_seconds: None,
    }
}

fn lost() -> NodeView {
    NodeView {
        name: "n3".into(),
        state: "lost".into(),
        lost_seconds: Some(245),
        ..node()
    }
}

pub fn job() -> JobView {
    JobView {
        job: Job::from_bits(0xab << 120),
        worker: "hello::main".into(),
        user: "ada".into(),
        processes: 2,
        seconds: 65,
        state: "detached".into(),
    }
}

#[test]
fn tables_for_people_and_lines_for_programs() {
    let bridge = cluster();
    let person = Person::of(&bridge);
    let shown = |words: &[&str]| {
        let output = person.deploy(words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        stdout(&output)
    };
    assert_eq!(
        shown(&["nodes"]),
        "NODE  ADDRESS        STATE              GiB FREE      CORES FREE  GPUs FREE  PROCESSES  LABELS            ISOLATION\n\
         n2    10.0.0.2:9999  up                 48.0 of 64.0  8 of 8      1 of 1     3          gpu-box disk=ssd  own user, control group\n\
         n3    10.0.0.2:9999  lost for 4:05 min  48.0 of 64.0  8 of 8      1 of 1     3          gpu-box disk=ssd  own user, control group\n"
    );
    assert_eq!(
        shown(&["ps"]),
        "JOB                               PROGRAM      USER  PROCESSES  TIME      STATE\n\
         ab000000000000000000000000000000  hello::main  ada   2          1:05 min  detached\n"
    );
    assert_eq!(shown(&["ps", "--all"]).matches("failed: 3\n").count(), 1);
    let once = shown(&["top"]);
    assert!(
        once.starts_with("NODE ") && once.contains("\n\nJOB "),
        "{once}"
    );
    let lines = shown(&["nodes", "--format", "json"]);
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["free"]["mem"], 48_u64 << 30);
    let told = lines.iter().map(|line| line["lost_seconds"].as_u64());
    assert_eq!(told.collect::<Vec<_>>(), [None, Some(245)]);
    let lines = shown(&["ps", "--format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line["worker"], "hello::main");
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = person.deploy(&["ps"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
}

#[test]
fn a_job_or_a_process_of_it_is_ended() {
    let bridge = cluster();
    let person = Person::of(&bridge);
    for what in ["ab", "ab/3fecd01"] {
        assert!(person.deploy(&["kill", what]).status().unwrap().success());
    }
    let output = person.deploy(&["kill", "cd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("no such job"), "{}", said(&output));
}
