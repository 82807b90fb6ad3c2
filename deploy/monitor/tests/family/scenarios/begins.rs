//! How processes begin: what they have, what is granted, what is refused.

use super::{Scenario, Worker, scenario};
use crate::newborn::ended;
use deploy_monitor::{MonitorError, Wrap};
use deploy_sys::{
    memfd,
    process::{self, DescriptorLimit},
};
use deploy_wire::{
    control::{Argument, NodeResources, Refusal},
    event::{Event, Stream},
    exit::End,
    resources::{Cpu, Mem, Resources},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::AsFd,
};

pub const WORKERS: &[Worker] = &[
    ("greet", |me| {
        println!("hello from {}", me.birth.pid);
        me.parent().write_all(b"done").unwrap();
    }),
    ("tell stdin", |_| {
        println!("{}", fs::read_link("/proc/self/fd/0").unwrap().display());
    }),
    ("tell argument", |me| {
        match me.birth.work.take().unwrap().argument {
            Argument::Inline(bytes) => println!("inline {}", bytes.len()),
            Argument::File { len } => {
                let file = File::from(me.files.pop().unwrap());
                let bytes = memfd::read_all(&file).unwrap();
                assert_eq!(bytes.len() as u64, len);
                println!(
                    "file {}",
                    bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()
                );
            }
        }
    }),
    ("tell birth", |me| {
        let birth = &me.birth;
        println!(
            "{} {} {}",
            birth.wrapped,
            birth.resources,
            std::env::var("WRAP").unwrap_or_default()
        );
    }),
    ("until told", |me| {
        let _ = me.parent().read(&mut [0]);
    }),
];

fn half() -> Resources {
    Resources {
        mem: Mem::GIB,
        cpu: Cpu::CORE,
        gpu: 0,
    }
}

fn whole() -> Resources {
    Resources {
        mem: 2 * Mem::GIB,
        cpu: 2 * Cpu::CORE,
        gpu: 0,
    }
}

pub const ALL: &[Scenario] = &[
    scenario(
        "ten_workers_say_hello",
        |me| {
            for _ in 0..10 {
                let (_, mut connection) = me.spawn("greet");
                let mut text = String::new();
                connection.read_to_string(&mut text).unwrap();
                assert_eq!(text, "done");
            }
            println!("total");
        },
        |record, outcome| {
            assert_eq!(outcome.unwrap().interrupted, None);
            assert_eq!(record.stdout(0), "total\n");
            assert_eq!(record.pids().len(), 11);
            for (number, pid) in record.pids().into_iter().enumerate().skip(1) {
                assert_eq!(record.stdout(number as u32), format!("hello from {pid}\n"));
            }
            for event in &record.events {
                if let Event::Spawned {
                    pid,
                    parent,
                    node,
                    worker,
                    ..
                } = event
                {
                    let is_initial = pid.number() == 0;
                    assert_eq!(*parent, (!is_initial).then(|| record.pids()[0]));
                    assert_eq!((node.as_str(), worker == "greet"), ("local", !is_initial));
                }
            }
        },
    ),
    scenario(
        "only_the_initial_process_has_our_standard_input",
        |me| {
            assert_eq!(
                fs::read_link("/proc/self/fd/0")
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .split(':')
                    .next(),
                Some("pipe")
            );
            me.spawn("tell stdin");
        },
        |record, _| assert_eq!(record.stdout(1), "/dev/null\n"),
    ),
    scenario(
        "limits_and_signal_masks_are_the_ones_from_before",
        |me| {
            assert_eq!(process::blocked_signals(), me.birth.signals_blocked);
            let limit = process::descriptor_limit().unwrap();
            println!("{}", limit.soft);
        },
        |record, _| {
            let limit = process::descriptor_limit().unwrap();
            assert_eq!(limit.soft, limit.hard, "the monitor has raised its own");
            assert_eq!(
                record.stdout(0),
                format!("{}\n", crate::monitor::SOFT_LIMIT)
            );
        },
    ),
    scenario(
        "arguments_travel_in_the_message_or_as_a_file",
        |me| {
            let mut request = me.worker("tell argument");
            request.argument = Argument::Inline(vec![7; 60_000]);
            me.try_spawn(request).unwrap();
            let mut request = me.worker("tell argument");
            request.argument = Argument::File { len: 10_000_000 };
            let file = memfd::sealed("argument", &vec![1; 10_000_000]).unwrap();
            me.try_spawn_with(request, &[file.as_fd()]).unwrap();
        },
        |record, _| {
            assert_eq!(record.stdout(1), "inline 60000\n");
            assert_eq!(record.stdout(2), "file 10000000\n");
        },
    ),
    Scenario {
        configure: |config| config.capacity = Some(whole()),
        ..scenario(
            "what_does_not_fit_is_refused_and_a_waiter_gets_its_turn",
            |me| {
                let nodes = |resources| {
                    vec![NodeResources {
                        name: "local".into(),
                        resources,
                    }]
                };
                let mut small = me.worker("until told");
                small.resources = half();
                // The initial process has its share, so a second half is too much.
                let initial = Resources::default();
                let (first, connection) = me.try_spawn(small.clone()).unwrap();
                let free = Resources {
                    mem: Mem::GIB.saturating_sub(initial.mem),
                    cpu: Cpu::CORE.saturating_sub(initial.cpu),
                    gpu: 0,
                };
                let refused = Refusal::OutOfResources {
                    asked: half(),
                    nodes: nodes(free),
                    others: 0,
                };
                assert_eq!(me.try_spawn(small.clone()).err(), Some(refused));
                let big = Resources {
                    mem: 3 * Mem::GIB,
                    ..half()
                };
                let mut request = me.worker("until told");
                (request.resources, request.wait) = (big, true);
                let never = Refusal::NeverFits {
                    asked: big,
                    nodes: nodes(whole()),
                    others: 0,
                };
                assert_eq!(me.try_spawn(request).err(), Some(never));
                small.wait = true;
                me.send_spawn(&small, &[]);
                drop(connection);
                assert_eq!(me.spawned(small.id).unwrap().0.number(), 2);
                assert_eq!(me.wait(first), ended(End::Code(0)));
            },
            |record, _| assert_eq!(record.pids().len(), 3),
        )
    },
    Scenario {
        configure: |config| {
            config.capacity = Some(half());
            config.resources.mem = 2 * Mem::GIB;
        },
        ..scenario(
            "an_initial_process_that_never_fits_is_an_error",
            |_| unreachable!("it is never started"),
            |record, outcome| {
                let error = outcome.unwrap_err();
                assert!(matches!(error, MonitorError::NeverFits { .. }), "{error}");
                assert!(error.to_string().contains("2GiB"), "{error}");
                assert!(record.events.is_empty());
            },
        )
    },
    scenario(
        "another_node_does_not_exist",
        |me| {
            let mut request = me.worker("greet");
            request.node = Some("moon".into());
            let Refusal::Launch { why } = me.try_spawn(request).unwrap_err() else {
                panic!("another refusal");
            };
            assert!(why.contains("moon") && why.contains("local"), "{why}");
            let mut request = me.worker("greet");
            request.node = Some("local".into());
            assert!(me.try_spawn(request).is_ok());
        },
        |record, _| assert_eq!(record.pids().len(), 2),
    ),
    Scenario {
        configure: |config| config.program.exe = "/no/such/program".into(),
        ..scenario(
            "a_program_that_cannot_be_executed_is_an_error",
            |_| unreachable!("it is never started"),
            |record, outcome| {
                let error = outcome.unwrap_err();
                assert!(error.to_string().contains("No such file"), "{error}");
                assert!(record.events.is_empty());
            },
        )
    },
    Scenario {
        configure: |config| {
            config.capacity = Some(whole());
            let command = vec!["no-such-debugger".into()];
            config.program.wrap = Some(Wrap {
                command,
                worker: Some("greet".into()),
            });
        },
        ..scenario(
            "a_failed_start_is_refused_and_leaves_nothing",
            |me| {
                for _ in 0..20 {
                    let mut request = me.worker("greet");
                    request.resources = half();
                    let Refusal::Launch { why } = me.try_spawn(request).unwrap_err() else {
                        panic!("another refusal");
                    };
                    assert!(
                        why.contains("No such file") && why.contains("DEPLOY_WRAP"),
                        "{why}"
                    );
                }
                let mut request = me.worker("tell birth");
                request.resources = half();
                assert_eq!(me.try_spawn(request).unwrap().0.number(), 1);
            },
            |record, _| assert_eq!(record.pids().len(), 2),
        )
    },
    Scenario {
        configure: |config| {
            // A shell that stays between the monitor and the program, as a debugger does.
            let script = "\"$@\"; exit $?";
            let command = ["env", "WRAP=yes", "sh", "-c", script, "sh"]
                .map(Into::into)
                .into();
            config.program.wrap = Some(Wrap {
                command,
                worker: Some("tell birth".into()),
            });
        },
        ..scenario(
            "a_wrapped_worker_runs_under_its_wrapper",
            |me| {
                let (pid, _connection) = me.spawn("tell birth");
                assert_eq!(me.wait(pid), ended(End::Code(0)));
                println!("{}", me.birth.wrapped);
            },
            |record, _| {
                assert_eq!(record.stdout(0), "false\n");
                let resources = Resources::default();
                assert_eq!(record.stdout(1), format!("true {resources} yes\n"));
                assert_eq!(record.text(1, Stream::Stderr), "");
            },
        )
    },
    Scenario {
        configure: |_| {
            let limit = DescriptorLimit { soft: 64, hard: 64 };
            process::limit_descriptors_of(std::process::id(), limit).unwrap();
        },
        ..scenario(
            "at_the_limit_of_descriptors_starts_are_refused_and_others_go_on",
            |me| {
                let mut living = Vec::new();
                let why = loop {
                    let request = me.worker("until told");
                    match me.try_spawn(request) {
                        Ok(started) => living.push(started),
                        Err(Refusal::Launch { why }) => break why,
                        Err(other) => panic!("another refusal: {other:?}"),
                    }
                };
                assert!(why.contains("ulimit -Hn"), "{why}");
                assert!(living.len() > 4, "{}", living.len());
                // Two, because the keeper may have come meanwhile, and has its descriptor too.
                for _ in 0..2 {
                    let (pid, connection) = living.pop().unwrap();
                    drop(connection);
                    assert_eq!(me.wait(pid), ended(End::Code(0)));
                }
                me.spawn("until told");
            },
            |record, _| {
                assert_eq!(record.text(0, Stream::Stderr), "");
                assert_eq!(record.status(0).code(), Some(0));
            },
        )
    },
    scenario(
        "hundreds_at_once",
        |me| {
            let connections: Vec<_> = (0..200).map(|_| me.spawn("greet").1).collect();
            for mut connection in connections {
                let mut text = String::new();
                connection.read_to_string(&mut text).unwrap();
                assert_eq!(text, "done");
            }
        },
        |record, _| {
            let greeted = (1..=200).filter(|number| record.stdout(*number).starts_with("hello"));
            assert_eq!(greeted.count(), 200);
        },
    ),
];
