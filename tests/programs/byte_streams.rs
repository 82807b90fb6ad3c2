//! Channels of bytes, read and written like files: a copy of many bytes, lines of text, and every end as an error of
//! its kind.

//= run copy
//= args copy 67108864
//= main: exits 0, out "67108864 bytes, as they were sent\n"
//=   generate: exits 0

//= run lines
//= args lines
//= main: exits 0, out "1000 lines, then 42 as a value, then the end\n"
//=   write_lines: exits 0

//= run ends
//= args ends
//= main: exits 0, out
//=     "dropped: read 0, again 0\n"
//=     "killed: ConnectionReset, exited SIGKILL\n"
//=     "ended: ConnectionReset, exited 0\n"
//=     "panicked: ConnectionReset, exited 101\n"
//=     "another type: InvalidData, type mismatch\n"
//=     "no reader: BrokenPipe, closed\n"
//=   worker x2: exits 0
//=   worker: exits 101, err "**on purpose**"
//=   worker: killed SIGKILL (killed)
//=   worker x2: exits 0
//= code 101

use deploy::*;
use deploy_tests::say;
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    match args[1].as_str() {
        "copy" => copy(args[2].parse().unwrap()),
        "lines" => lines(),
        _ => ends(),
    }
}

/// Bytes that repeat, but not with any length that buffers have.
struct Pattern {
    at: usize,
    table: Vec<u8>,
}

impl Pattern {
    fn new() -> Pattern {
        let table =
            (0..PERIOD + (1 << 20)).map(|at| (at % PERIOD) as u8 ^ ((at % PERIOD) >> 8) as u8);
        Pattern {
            at: 0,
            table: table.collect(),
        }
    }
}

const PERIOD: usize = 65_521;

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1 << 20);
        buffer[..count].copy_from_slice(&self.table[self.at..self.at + count]);
        self.at = (self.at + count) % PERIOD;
        Ok(count)
    }
}

/// Compares what is written with the pattern.
struct Compare(Pattern);

impl Write for Compare {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(1 << 20);
        assert!(bytes[..count] == self.0.table[self.0.at..self.0.at + count]);
        self.0.at = (self.0.at + count) % PERIOD;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy(count: u64) {
    let pid = spawn(generate, count, Resources::default()).unwrap();
    let mut receiver = Receiver::<u8>::new(pid);
    let copied = io::copy(&mut receiver, &mut Compare(Pattern::new())).unwrap();
    println!("{copied} bytes, as they were sent");
}

fn generate(parent: Pid, count: u64) {
    io::copy(
        &mut Pattern::new().take(count),
        &mut Sender::<u8>::new(parent),
    )
    .unwrap();
}

fn lines() {
    let pid = spawn(write_lines, (), Resources::default()).unwrap();
    let receiver = Receiver::<u8>::new(pid);
    let mut reader = BufReader::with_capacity(1, &receiver);
    let mut line = String::new();
    for number in 0..1000 {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, format!("line {number}\n"));
    }
    let value = receiver.recv().unwrap();
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
    println!("1000 lines, then {value} as a value, then the end");
}

fn write_lines(parent: Pid, (): ()) {
    let mut sender = Sender::<u8>::new(parent);
    for number in 0..1000 {
        writeln!(sender, "line {number}").unwrap();
    }
    sender.send(42).unwrap();
    Write::flush(&mut sender).unwrap();
}

fn ends() {
    let mut buffer = [0; 100];
    let start = |how: &str| {
        let pid = spawn(worker, how.to_string(), Resources::default()).unwrap();
        (pid, Receiver::<u8>::new(pid))
    };
    let mut read = |receiver: &mut Receiver<u8>| {
        receiver.read_exact(&mut buffer[..5]).unwrap();
        assert_eq!(&buffer[..5], b"hello");
        receiver.read(&mut buffer)
    };
    let (_, mut receiver) = start("dropped");
    let first = read(&mut receiver).unwrap();
    println!(
        "dropped: read {first}, again {}",
        receiver.read(&mut [0]).unwrap()
    );
    let (pid, mut receiver) = start("waits");
    receiver.read_exact(&mut [0; 4]).unwrap();
    pid.kill().unwrap();
    assert_eq!(receiver.read(&mut [0; 9]).unwrap(), 1);
    println!("killed: {}", tell(receiver.read(&mut [0; 9])));
    let (_, mut receiver) = start("exits");
    println!("ended: {}", tell(read(&mut receiver)));
    let (_, mut receiver) = start("panics");
    println!("panicked: {}", tell(read(&mut receiver)));
    let (_, mut receiver) = start("another");
    println!("another type: {}", tell(receiver.read(&mut [0; 9])));
    let (pid, _receiver) = start("deaf");
    let mut sender = Sender::<u8>::new(pid);
    let wrote = io::copy(&mut io::repeat(0), &mut sender);
    println!("no reader: {}", tell(wrote));
}

fn tell<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    let error = result.unwrap_err();
    let inner = error
        .get_ref()
        .unwrap()
        .downcast_ref::<ChannelError>()
        .unwrap();
    format!("{:?}, {}", error.kind(), say::end(inner))
}

fn worker(parent: Pid, how: String) {
    if how == "another" {
        return Sender::<u16>::new(parent).send(7).unwrap();
    }
    let mut sender = Sender::<u8>::new(parent);
    sender.write_all(b"hello").unwrap();
    match how.as_str() {
        "waits" => loop {
            std::thread::park()
        },
        "exits" => std::process::exit(0),
        "panics" => panic!("on purpose"),
        "deaf" => drop(Receiver::<u8>::new(parent)),
        _ => {}
    }
}
