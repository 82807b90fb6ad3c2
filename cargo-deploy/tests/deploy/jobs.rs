//! A job from its upload to its exit code.

use crate::{
    bridge::{Bridge, Client, PATIENCE},
    frame::unpacked,
    person::{BINARY, Person, code, said, stderr, stdout},
};
use deploy_parcel::talk::Packer;
use deploy_sys::signal;
use deploy_wire::{
    client::{Answer, Ask, CREDIT_BYTES_FIRST},
    event::Stream,
    exit::{End, ExitStatus, Reason},
    packed::Packed,
    resources::{Cpu, Mem, Resources},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

/// What of the program may be different there: it says that there are no symbols.
const ELF_HEADER: usize = 64;

fn exited(code: i32) -> ExitStatus {
    ExitStatus::new(End::Code(code))
}

fn interrupted(signal: i32) -> ExitStatus {
    ExitStatus::new(End::Signal(signal)).because(Reason::Interrupted)
}

/// The next thing asked that is not output granted.
fn next(client: &mut Client) -> Option<Ask> {
    loop {
        match client.hear() {
            Some(Ask::Credit { .. }) => {}
            other => return other,
        }
    }
}

/// The next signal; that there is no input may be said before or after it.
fn next_signal(client: &mut Client) -> i32 {
    loop {
        match next(client) {
            Some(Ask::Signal { signal }) => return signal,
            Some(Ask::Input { bytes }) if bytes.is_empty() => {}
            other => panic!("{other:?} is no signal"),
        }
    }
}

#[test]
fn a_program_is_sent_run_and_shown() {
    let bridge = Bridge::start(|mut client| {
        let (request, file) = client.take_program();
        let whole = fs::read(BINARY).unwrap();
        assert!(
            file[ELF_HEADER..] == whole[ELF_HEADER..file.len()] && file.len() < whole.len(),
            "the file has changed on its way"
        );
        assert_eq!(request.image, *blake3::hash(&file).as_bytes());
        assert_eq!(request.worker, "cargo_deploy::main");
        assert_eq!(request.args, [&b"cargo-deploy"[..], b"--x", b"y z"]);
        assert_eq!(
            request.env,
            [
                (b"A".to_vec(), b"b=c".to_vec()),
                (b"HERE".to_vec(), b"yes".to_vec())
            ]
        );
        let resources = Resources {
            mem: 2 * Mem::GIB,
            cpu: Cpu::CORE / 2,
            gpu: 0,
        };
        assert_eq!(request.resources, Some(resources));
        assert!(!request.stdout_is_terminal && !request.stderr_is_terminal);
        client.born(&request);
        client.wrote(Stream::Stdout, b"hello\n");
        client.wrote(Stream::Stderr, b"oh\n");
        client.died(exited(3));
    });
    let person = Person::of(&bridge);
    let words = [
        "--env", "A=b=c", "--env", "HERE", "--env", "NOT_SET", "--mem", "2GiB", "--cpu", "0.5",
        "--", "--x", "y z",
    ];
    let output = person
        .run(&bridge, &words)
        .env("HERE", "yes")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(stdout(&output), "hello\n");
    let notes = stderr(&output);
    assert!(
        notes.contains("oh\n") && notes.contains("exited: 3"),
        "{notes}"
    );
}

#[test]
fn who_wants_backtraces_sends_the_names_of_functions() {
    let bridge = Bridge::start(|mut client| {
        let (request, file) = client.take_program();
        assert!(file == fs::read(BINARY).unwrap(), "some is left out");
        let wish = (b"RUST_BACKTRACE".to_vec(), b"1".to_vec());
        assert_eq!(request.env, [wish]);
        client.born(&request);
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let mut command = person.run(&bridge, &[]);
    let output = command.env("RUST_BACKTRACE", "1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn json_lines_are_those_of_a_program_run_alone() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"hi\n");
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &["--format", "json"]).output().unwrap();
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["spawn", "output", "exit"], "{}", said(&output));
    assert_eq!(lines[0]["node"], "n1");
}

#[test]
fn what_is_known_is_not_sent_and_what_was_begun_is_continued() {
    let visits = Mutex::new(0);
    let bridge = Bridge::start(move |mut client| {
        assert!(matches!(client.hear(), Some(Ask::Hello { .. })));
        client.greet();
        let Some(Ask::Image { len, .. }) = client.hear() else {
            panic!("nothing is asked");
        };
        let mut visits = visits.lock().unwrap();
        *visits += 1;
        if *visits == 1 {
            let (offset, base) = (len - 1000, None);
            client.tell(&Answer::ImageWanted { offset, base });
            assert_eq!(client.hear(), Some(Ask::Nodes));
            client.tell(&Answer::Nodes(Vec::new()));
            let Some(Ask::Chunk { bytes }) = client.hear() else {
                panic!("nothing is sent");
            };
            assert_eq!(unpacked(&*bytes, len).unwrap().len(), 1000);
        }
        client.tell(&Answer::ImageKnown);
        assert!(matches!(client.hear(), Some(Ask::Run(_))));
        let why = "there is no node".to_string();
        client.tell(&Answer::Refused { code: 72, why });
    });
    let person = Person::of(&bridge);
    for _ in 0..2 {
        let output = person.run(&bridge, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(72), "{}", said(&output));
        assert!(stderr(&output).contains("there is no node"));
    }
}

#[test]
fn programs_that_could_not_run_are_not_sent() {
    let bridge = Bridge::start(|_| panic!("nothing is to be sent"));
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let cut = person.home().join("cut");
    fs::write(&cut, &fs::read(BINARY).unwrap()[..100_000]).unwrap();
    let script = person.home().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    for (path, expected) in [
        (&cut, "cut off"),
        (&script, "a script"),
        (&person.home().join("none"), "No such file"),
    ] {
        let output = person
            .deploy(&[&target, "--exe", path.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(71), "{}", said(&output));
        assert!(stderr(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn a_program_that_never_calls_init_is_told_of() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let address = bridge.address.to_string();
    let told = |words: &[&str]| {
        let words = [&[&*address, "--exe"], words].concat();
        let output = person.deploy(&words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        stderr(&output).contains(" never calls `deploy::init`, and so runs there as one process")
    };
    assert!(told(&["/bin/sh"]));
    assert!(!told(&["/bin/sh", "--quiet"]));
    // This one has all that the library has of it.
    assert!(!told(&[BINARY]));
}

#[test]
fn standard_input_arrives_whole_and_so_does_its_end() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        let mut input = Vec::new();
        loop {
            match next(&mut client) {
                Some(Ask::Input { bytes }) if bytes.is_empty() => break,
                Some(Ask::Input { bytes }) => {
                    input.extend(bytes);
                    let bytes = input.len() as u64;
                    client.tell(&Answer::InputTaken { bytes });
                }
                other => panic!("{other:?} is no input"),
            }
        }
        client.wrote(Stream::Stdout, blake3::hash(&input).to_hex().as_bytes());
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let mut child = person
        .run(&bridge, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input: Vec<u8> = (0..20_000_000_u32)
        .map(|number| (number >> 7) as u8)
        .collect();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        stdout(&output).trim_end(),
        blake3::hash(&input).to_hex().as_str()
    );
}

/// Starts `command`, and waits until its first line of output, which the script sends when it is ready.
fn start(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    // A suite that was started with `&` ignores SIGINT, and so would what it starts.
    signal::forget_ignored().unwrap();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, reader)
}

fn interrupt(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

#[test]
fn signals_reach_the_job_and_the_shell_sees_what_ended_it() {
    for (signal, number) in [(Signal::SIGINT, 2), (Signal::SIGTERM, 15)] {
        let bridge = Bridge::start(move |mut client| {
            let (request, _) = client.take_program();
            client.born(&request);
            client.wrote(Stream::Stdout, b"ready\n");
            assert_eq!(next_signal(&mut client), number);
            client.died(interrupted(number));
        });
        let person = Person::of(&bridge);
        let (mut child, _output) = start(&mut person.run(&bridge, &[]));
        interrupt(&child, signal);
        assert_eq!(code(child.wait().unwrap()), 128 + number);
    }
}

#[test]
fn a_hangup_is_for_us_and_the_job_hears_nothing_of_it() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"ready\n");
        while let Some(asked) = next(&mut client) {
            let is_end_of_input = matches!(&asked, Ask::Input { bytes } if bytes.is_empty());
            assert!(is_end_of_input, "{asked:?}"); // It has none.
        }
    });
    let person = Person::of(&bridge);
    let (mut child, _output) = start(&mut person.run(&bridge, &[]));
    interrupt(&child, Signal::SIGHUP);
    assert_eq!(code(child.wait().unwrap()), 129);
}

#[test]
fn the_second_ctrl_c_kills_the_job() {
    let (tell, told) = mpsc::channel();
    let tell: Mutex<Sender<()>> = Mutex::new(tell);
    let bridge = Bridge::start(move |mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"ready\n");
        assert_eq!(next_signal(&mut client), 2);
        tell.lock().unwrap().send(()).unwrap();
        assert_eq!(next_signal(&mut client), 9);
        client.died(interrupted(9));
    });
    let person = Person::of(&bridge);
    let (mut child, _output) = start(&mut person.run(&bridge, &[]));
    interrupt(&child, Signal::SIGINT);
    told.recv_timeout(PATIENCE).unwrap();
    // Sooner, it would be taken for the same request.
    std::thread::sleep(Duration::from_millis(120));
    interrupt(&child, Signal::SIGINT);
    assert_eq!(code(child.wait().unwrap()), 130);
}

#[test]
fn a_job_that_is_not_there_any_more_has_a_code_of_its_own() {
    let visits = AtomicU32::new(0);
    let bridge = Bridge::start(move |mut client| {
        if visits.fetch_add(1, Ordering::SeqCst) == 0 {
            let (request, _) = client.take_program();
            client.born(&request);
            client.wrote(Stream::Stdout, b"half a line");
            return;
        }
        client.attached();
        let why = "none of your jobs is called so".to_string();
        client.tell(&Answer::Refused { code: 78, why });
    });
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert_eq!(stdout(&output).trim_end(), "half a line");
    assert!(stderr(&output).contains("is lost"), "{}", said(&output));
}

#[test]
fn a_lost_connection_is_made_again_and_nothing_is_lost_or_doubled() {
    const VISITS: u32 = 5;
    let visits = AtomicU32::new(0);
    let bridge = Bridge::start(move |mut client| {
        let visit = visits.fetch_add(1, Ordering::SeqCst);
        if visit == 0 {
            let (request, _) = client.take_program();
            client.born(&request);
        } else {
            // It has seen the birth, and each line but the last, which is told again.
            let from = client.attached();
            assert_eq!(from.sequence, u64::from(visit) + 1);
            assert_eq!(from.output, 2 * u64::from(visit));
            client.tell_attached(u64::from(visit) * 2, false);
            client.go_on(from.sequence - 1);
            client.wrote(Stream::Stdout, format!("{}\n", visit - 1).as_bytes());
        }
        // Two bytes of the input arrive each time; what was sent behind them is lost.
        let Some(Ask::Input { bytes }) = client.hear() else {
            panic!("nothing was typed");
        };
        assert_eq!(bytes, &b"abcdefghij"[2 * visit as usize..], "visit {visit}");
        client.wrote(Stream::Stdout, format!("{visit}\n").as_bytes());
        if visit + 1 == VISITS {
            client.died(exited(7));
        }
    });
    let person = Person::of(&bridge);
    let mut child = person
        .run(&bridge, &["--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Not ended: whoever types goes on when the connection does.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"abcdefghij").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("spawn"), of("exit")), (1, 1), "{}", said(&output));
    let texts: Vec<&str> = lines
        .iter()
        .filter(|line| line["event"] == "output")
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.concat(), "0\n1\n2\n3\n4\n");
}

#[test]
fn what_is_detached_is_named_and_left() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        assert!(request.is_detached);
    });
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &["--detach"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let job = stdout(&output);
    assert_eq!((job.len(), job.lines().count()), (33, 1), "{job:?}");
    assert!(stderr(&output).contains(&format!("logs -f {}", &job[..8])));
}

#[test]
fn logs_end_with_what_there_was_or_with_the_job() {
    for (word, follow, is_over) in [("-f", true, true), ("--format=human", false, false)] {
        let bridge = Bridge::start(move |mut client| {
            assert!(matches!(client.hear(), Some(Ask::Hello { .. })));
            client.greet();
            let asked = client.hear();
            assert!(
                matches!(&asked, Some(Ask::Logs { job, follow: told, .. }) if job == "ab" && *told == follow),
                "{asked:?}"
            );
            client.tell_attached(0, true);
            client.tell(&Answer::Missed { bytes: 1000 });
            client.born_as("a::main");
            client.wrote(Stream::Stdout, b"what it said\n");
            match is_over {
                true => client.died(exited(9)),
                false => client.tell(&Answer::Done),
            }
        });
        let person = Person::of(&bridge);
        let output = person.deploy(&["logs", "ab", word]).output().unwrap();
        let code = if is_over { 9 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert_eq!(stdout(&output), "what it said\n");
        assert!(
            stderr(&output).contains("1000 bytes of the output are not kept"),
            "{}",
            said(&output)
        );
        if !is_over {
            let full = File::create("/dev/full").unwrap();
            let mut command = person.deploy(&["logs", "ab", word]);
            let output = command.stdout(full).output().unwrap();
            assert_eq!(output.status.code(), Some(74), "{}", said(&output));
            let why = "standard output could not be written: No space left";
            assert!(stderr(&output).contains(why), "{}", said(&output));
        }
    }
}

#[test]
fn what_is_packed_is_shown_as_it_was_and_what_cannot_be_is_missed() {
    let bridge = Bridge::start(move |mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        let lines = "the same line again\n".repeat(500).into_bytes();
        let packed = Packer::default().pack(&lines, Instant::now()).unwrap();
        let good = Packed::new(lines.len(), packed.clone()).unwrap();
        let short = Packed::new(lines.len() + 1, packed).unwrap();
        client.wrote_packed(Stream::Stdout, good.clone());
        client.wrote_packed(Stream::Stdout, short);
        client.wrote_packed(Stream::Stdout, Packed::new(100_000, vec![7; 50]).unwrap());
        client.wrote_packed(Stream::Stdout, good);
        client.died(exited(0));
    });
    let output = Person::of(&bridge).run(&bridge, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(stdout(&output), "the same line again\n".repeat(1000));
    assert!(
        stderr(&output).contains("110001 bytes of the output are not kept"),
        "{}",
        said(&output)
    );
}

#[test]
fn whoever_reads_slowly_is_granted_no_more() {
    let (tell, told) = mpsc::channel();
    let tell: Mutex<Sender<u64>> = Mutex::new(tell);
    let bridge = Bridge::start(move |mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"ready\n");
        assert!(matches!(next(&mut client), Some(Ask::Input { .. })));
        let piece = [[b'x'; 1023].as_slice(), b"\n"].concat().repeat(64);
        let (mut credit, mut sent) = (CREDIT_BYTES_FIRST, 0);
        // As long as something is granted soon; then nobody reads.
        while credit >= piece.len() as u64 {
            client.wrote(Stream::Stdout, &piece);
            credit -= piece.len() as u64;
            sent += piece.len() as u64;
            while credit < piece.len() as u64 || sent.is_multiple_of(1 << 20) {
                match client.hear_within(Duration::from_millis(500)) {
                    Some(Ask::Credit { bytes }) => credit += bytes,
                    Some(other) => panic!("{other:?} is no credit"),
                    None => break,
                }
            }
        }
        tell.lock().unwrap().send(sent).unwrap();
        let Some(Ask::Credit { .. }) = client.hear() else {
            panic!("nothing is granted to whoever reads again");
        };
        client.died(exited(0));
    });
    let person = Person::of(&bridge);
    let (mut child, mut output) = start(&mut person.run(&bridge, &[]));
    let sent = told.recv_timeout(PATIENCE).unwrap();
    // What the pipe holds, what the writers hold, and what was granted.
    assert!(
        sent <= 3 * CREDIT_BYTES_FIRST,
        "{sent} bytes were granted to nobody"
    );
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len() as u64, sent);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_made_known_to_the_job() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"ready\n");
        assert!(matches!(next(&mut client), Some(Ask::Input { .. })));
        loop {
            client.wrote(Stream::Stdout, b"more\n");
            match client.hear_within(Duration::from_millis(10)) {
                Some(Ask::Unread {
                    stream: Stream::Stdout,
                }) => break,
                None | Some(Ask::Credit { .. }) => {}
                other => panic!("{other:?} comes of no broken pipe"),
            }
        }
        // As the kernel ends a program whose reader is gone; another may end as it likes.
        client.died(ExitStatus::new(End::Signal(13)));
    });
    let person = Person::of(&bridge);
    let (mut child, output) = start(&mut person.run(&bridge, &[]));
    drop(output);
    assert_eq!(code(child.wait().unwrap()), 141);
}
