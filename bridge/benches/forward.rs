//! How fast output goes through a `Terminal` onto a pipe, beside the same bytes written to a pipe at once: 64 KiB
//! chunks of lines of 64 bytes, 1 GiB of them, to a reader that throws them away.

use deploy_bridge::{Destination, Format, Human, Layout, Options, Terminal};
use deploy_wire::{
    event::{Event, Stream},
    pid::{Job, Pid},
};
use std::{
    io::{PipeReader, Read, Write, pipe, sink},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

fn main() {
    for round in 1..=3 {
        println!("round {round}");
        report("plain pipe", plain());
        report("terminal, apart, piped", through(Format::Human, false));
        report("terminal, together, file", through(Format::Human, true));
        report("terminal, JSON", through(Format::Json, false));
        report("formatter alone, apart", formatter());
    }
}

fn report(name: &str, took: Duration) {
    let megabytes = (CHUNK * CHUNKS) as f64 / 1e6;
    println!("  {name:26} {:7.0} MB/s", megabytes / took.as_secs_f64());
}

fn plain() -> Duration {
    let (reader, mut writer) = pipe().expect("pipes can be made");
    let reader = thread::spawn(|| discard(reader));
    let chunk = chunk();
    let start = Instant::now();
    for _ in 0..CHUNKS {
        writer.write_all(&chunk).expect("the reader reads");
    }
    drop(writer);
    reader.join().expect("the reader does not panic");
    start.elapsed()
}

fn through(format: Format, together: bool) -> Duration {
    let (reader, writer) = pipe().expect("pipes can be made");
    let reader = thread::spawn(|| discard(reader));
    let (wake, woken) = channel();
    let wake = move || wake.send(()).unwrap_or(());
    let options = Options {
        format,
        layout: layout(together),
    };
    let mut terminal = Terminal::new(options, writer, sink(), wake).expect("threads start");
    let chunk = chunk();
    let start = Instant::now();
    for _ in 0..CHUNKS {
        while terminal.is_full() {
            woken.recv().expect("the terminal wakes");
        }
        let mut bytes = terminal.buffer();
        bytes.extend_from_slice(&chunk);
        terminal.handle_event(output(bytes), start);
    }
    terminal.finish();
    reader.join().expect("the reader does not panic");
    start.elapsed()
}

fn formatter() -> Duration {
    let mut human = Human::new(layout(false));
    let mut bytes = chunk();
    let start = Instant::now();
    for _ in 0..CHUNKS {
        human.handle_event(output(bytes), start);
        bytes = human.poll_write().expect("a chunk of whole lines").bytes;
    }
    start.elapsed()
}

fn discard(mut reader: PipeReader) {
    let mut buffer = vec![0; CHUNK];
    while reader.read(&mut buffer).expect("pipes can be read") > 0 {}
}

fn output(bytes: Vec<u8>) -> Event {
    let (pid, stream) = (Pid::new(Job::from_bits(5), 0), Stream::Stdout);
    Event::Output { pid, stream, bytes }
}

fn layout(together: bool) -> Layout {
    let destination = Destination {
        terminal: false,
        colour: false,
    };
    Layout {
        together,
        stdout: destination,
        stderr: destination,
    }
}

fn chunk() -> Vec<u8> {
    format!("{:063}\n", 7).repeat(CHUNK / 64).into_bytes()
}

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16 << 10;
