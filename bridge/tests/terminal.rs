//! The writers with real pipes: slow readers, readers that leave, and a destination that somebody made non-blocking.

use deploy_bridge::{Destination, Format, Layout, Options, Terminal};
use deploy_wire::{
    event::{Event, Stream},
    exit::{End, ExitStatus},
    pid::{Job, Pid},
    resources::Resources,
};
use std::{
    io::{self, PipeReader, Read, pipe},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Longer than any of this takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    terminal: Terminal,
    stdout: PipeReader,
    stderr: PipeReader,
    woken: Receiver<()>,
}

fn stage(format: Format, together: bool) -> Stage {
    let (stdout, out) = pipe().expect("pipes can be made");
    let (stderr, err) = pipe().expect("pipes can be made");
    let (wake, woken) = channel();
    let wake = move || wake.send(()).unwrap_or(());
    let options = options(format, together);
    Stage {
        terminal: Terminal::new(options, out, err, wake).expect("threads can be started"),
        stdout,
        stderr,
        woken,
    }
}

fn options(format: Format, together: bool) -> Options {
    let destination = Destination {
        terminal: false,
        colour: false,
    };
    let layout = Layout {
        together,
        stdout: destination,
        stderr: destination,
    };
    Options { format, layout }
}

fn pid(number: u32) -> Pid {
    Pid::new(Job::from_bits(5), number)
}

fn output(number: u32, stream: Stream, bytes: impl Into<Vec<u8>>) -> Event {
    let (pid, bytes) = (pid(number), bytes.into());
    Event::Output { pid, stream, bytes }
}

fn exited(number: u32, end: End) -> Event {
    let (pid, status) = (pid(number), ExitStatus::new(end));
    Event::Exited { pid, status }
}

fn read_all(mut reader: PipeReader) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("pipes can be read");
        bytes
    })
}

#[test]
fn nothing_is_lost_at_the_end() {
    let mut stage = stage(Format::Human, false);
    let readers = (read_all(stage.stdout), read_all(stage.stderr));
    let (mut out, mut err) = (String::new(), format!("{}:\n", pid(0)));
    for line in 0..20_000 {
        let (now, line) = (Instant::now(), format!("line {line}\n"));
        stage
            .terminal
            .handle_event(output(0, Stream::Stdout, &line[..]), now);
        stage
            .terminal
            .handle_event(output(0, Stream::Stderr, &line[..]), now);
        out += &line;
        err += &line;
    }
    let now = Instant::now();
    stage
        .terminal
        .handle_event(output(0, Stream::Stdout, "end"), now);
    stage.terminal.handle_event(exited(0, End::Code(7)), now);
    let verdict = stage.terminal.finish();
    assert!(verdict.broken.is_empty());
    assert_eq!(readers.0.join().unwrap(), (out + "end").into_bytes());
    assert_eq!(
        readers.1.join().unwrap(),
        (err + "    exited: 7\n").into_bytes()
    );
}

#[test]
fn together_all_goes_to_one_destination_in_order() {
    let mut stage = stage(Format::Human, true);
    let now = Instant::now();
    let spawned = Event::Spawned {
        pid: pid(0),
        parent: None,
        node: "local".into(),
        worker: "test".into(),
        resources: Resources::default(),
    };
    stage.terminal.handle_event(spawned, now);
    stage
        .terminal
        .handle_event(output(0, Stream::Stdout, "out\n"), now);
    stage
        .terminal
        .handle_event(output(0, Stream::Stderr, "err\n"), now);
    stage
        .terminal
        .handle_event(output(0, Stream::Stdout, "out again\n"), now);
    assert_eq!(stage.terminal.family().living().count(), 1);
    stage.terminal.handle_event(exited(0, End::Signal(9)), now);
    let verdict = stage.terminal.finish();
    assert_eq!(verdict.exit_code, 137);
    let expect = format!(
        "{}:\n    out\n    err\n    out again\n    exited: SIGKILL\n",
        pid(0)
    );
    assert_eq!(read_all(stage.stdout).join().unwrap(), expect.into_bytes());
    assert_eq!(read_all(stage.stderr).join().unwrap(), b"");
}

#[test]
fn a_slow_reader_holds_up_and_wakes() {
    let mut stage = stage(Format::Human, false);
    let chunk = |number: usize| format!("{number:063}\n").repeat(1024).into_bytes();
    let mut expect = Vec::new();
    let mut number = 0;
    while !stage.terminal.is_full() {
        expect.extend(chunk(number));
        let event = output(0, Stream::Stdout, chunk(number));
        stage.terminal.handle_event(event, Instant::now());
        number += 1;
        assert!(number < 80, "the queue takes more than 5 MiB");
    }
    // What comes while it is full is taken all the same.
    expect.extend(chunk(number));
    let event = output(0, Stream::Stdout, chunk(number));
    stage.terminal.handle_event(event, Instant::now());
    assert!(stage.woken.try_recv().is_err(), "nobody has read yet");
    let reader = read_all(stage.stdout);
    stage
        .woken
        .recv_timeout(PATIENCE)
        .expect("the reader has made room");
    assert!(!stage.terminal.is_full());
    assert!(stage.terminal.finish().broken.is_empty());
    assert!(reader.join().unwrap() == expect);
}

#[test]
fn a_reader_that_leaves_is_noticed() {
    let mut stage = stage(Format::Human, false);
    drop(stage.stdout);
    let event = || output(0, Stream::Stdout, vec![b'\n'; 300 << 10]);
    for _ in 0..5 {
        stage.terminal.handle_event(event(), Instant::now());
    }
    stage.woken.recv_timeout(PATIENCE).expect("the end is told");
    assert!(!stage.terminal.wants(Stream::Stdout));
    assert!(stage.terminal.wants(Stream::Stderr));
    for _ in 0..10 {
        stage.terminal.handle_event(event(), Instant::now());
        assert!(
            !stage.terminal.is_full(),
            "nothing is kept that goes nowhere"
        );
    }
    stage
        .terminal
        .handle_event(exited(0, End::Code(0)), Instant::now());
    let verdict = stage.terminal.finish();
    let broken = verdict.broken.iter().map(|b| (b.stream, b.error.kind()));
    let broken: Vec<_> = broken.collect();
    assert_eq!(broken, [(Stream::Stdout, io::ErrorKind::BrokenPipe)]);
    let stderr = String::from_utf8(read_all(stage.stderr).join().unwrap()).unwrap();
    assert_eq!(stderr, format!("{}:\n    exited: 0\n", pid(0)));
}

#[test]
fn json_is_all_on_standard_output() {
    let mut stage = stage(Format::Json, false);
    let now = Instant::now();
    stage
        .terminal
        .handle_event(output(0, Stream::Stderr, "é"), now);
    assert_eq!(stage.terminal.poll_timeout(), None);
    stage.terminal.handle_event(exited(0, End::Code(0)), now);
    let due = stage.terminal.poll_timeout().expect("a note is due");
    stage.terminal.handle_timeout(due);
    assert_eq!(stage.terminal.poll_timeout(), None);
    let expect = format!(
        "{{\"event\":\"output\",\"pid\":\"{0}\",\"fd\":2,\"text\":\"é\"}}\n{{\"event\":\"exit\",\"pid\":\"{0}\",\"status\":{{\"code\":0}}}}\n",
        pid(0)
    );
    let mut written = vec![0; expect.len()];
    stage.stdout.read_exact(&mut written).unwrap();
    assert_eq!(written, expect.into_bytes());
    stage.terminal.finish();
    assert_eq!(read_all(stage.stdout).join().unwrap(), b"");
    assert_eq!(read_all(stage.stderr).join().unwrap(), b"");
}

/// Takes a few bytes at a time, and every other time none, as a terminal that somebody has made non-blocking.
#[derive(Clone, Default)]
struct Reluctant(Arc<Mutex<(Vec<u8>, usize)>>);

impl io::Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (taken, calls) = &mut *self.0.lock().expect("no writer panics");
        *calls += 1;
        match *calls % 3 {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            1 => Err(io::ErrorKind::Interrupted.into()),
            _ => {
                let len = bytes.len().min(5);
                taken.extend(&bytes[..len]);
                Ok(len)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_destination_that_is_not_ready_loses_nothing() {
    let reluctant = Reluctant::default();
    let options = options(Format::Human, false);
    let mut terminal = Terminal::new(options, reluctant.clone(), io::sink(), || ()).unwrap();
    for line in ["one\n", "two and three\n"] {
        terminal.handle_event(output(0, Stream::Stdout, line), Instant::now());
    }
    assert!(terminal.finish().broken.is_empty());
    assert_eq!(reluctant.0.lock().unwrap().0, b"one\ntwo and three\n");
}
