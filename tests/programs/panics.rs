//! Values whose own code panics while they are encoded or decoded, or refuses to be encoded, also in the middle of megabytes:
//! that value is told, none is torn, and the channel goes on. And ends that are dropped while their thread or task unwinds:
//! the peer learns that it was no farewell, and the next channel of these processes is as good as any.

//= run threads that block
//= args blocking
//= main: exits 0, out "0 2 4 panicked 6 panicked 8 10 12 closed\n"
//=   worker: exits 0, out "0 panicked 2 panicked 4 5 6 7 8 refused 10 refused 12\n"

//= run tasks
//= args tasks
//= main: exits 0, out "0 2 4 panicked 6 codec 8 10 12 closed\n"
//=   worker: exits 0, out "0 panicked 2 codec 4 5 6 7 8 refused 10 refused 12\n"

//= run select
//= args select
//= main: exits 0, out "0 2 4 panicked 6 codec 8 10 12 closed\n"
//=   worker: exits 0, out "0 panicked 2 panicked 4 5 6 7 8 refused 10 refused 12\n"

//= run ends dropped by a panic
//= args unwinding
//= main: exits 0, out "sender: lost; receiver: lost; half a value: lost; again: 7\n"
//=   unwinding: exits 0

//= run senders dropped by a panic of their task or scoped thread
//= args unwinding-tasks
//= main: exits 0, out "7 of 7 are lost by a panic\n"
//=   unwinding_task x7: exits 0

//= run an argument that panics while it is encoded
//= args encoding
//= main: exits 0, out "spawn panicked; another: exited 0\n"
//=   argued: exits 0

//= run an argument that panics while it is decoded
//= args decoding
//= code 101
//= main: exits 0, out "spawned; exited 101\n"
//=   argued: exits 101, err "**panicked at *panics.rs:*\nwhile it is decoded\n**"

use deploy::*;
use deploy_tests::say;
use futures::{FutureExt, executor::block_on};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::{
    env,
    panic::{self, AssertUnwindSafe, catch_unwind},
    thread,
};
use tokio::runtime;

fn main() {
    init(Resources::default());
    // What a hook prints is not what this is about.
    panic::set_hook(Box::new(|_| {}));
    match way().as_str() {
        "unwinding" => ends(),
        "unwinding-tasks" => ends_of_tasks(),
        "encoding" => {
            let refused = catch_unwind(|| spawn(argued, VALUES[1].make(1), Resources::default()));
            assert!(refused.is_err());
            let pid = spawn(argued, VALUES[0].make(0), Resources::default()).unwrap();
            let end = say::end(&Receiver::<()>::new(pid).recv().unwrap_err());
            println!("spawn panicked; another: {end}");
        }
        "decoding" => {
            let pid = spawn(argued, VALUES[7].make(7), Resources::default()).unwrap();
            let end = say::end(&Receiver::<()>::new(pid).recv().unwrap_err());
            println!("spawned; {end}");
        }
        way => values(way),
    }
}

fn way() -> String {
    env::args().nth(1).unwrap()
}

fn argued(_: Pid, _: Value) {}

/// Says what comes of each value.
fn values(way: &str) {
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<Value>::new(pid);
    let mut saw = Vec::new();
    loop {
        let received = catch_unwind(AssertUnwindSafe(|| match way {
            "blocking" => receiver.recv(),
            "tasks" => block_on(receiver.recv_async()),
            _ => select! { recv(receiver) -> value => value },
        }));
        match received {
            Ok(Ok(value)) => saw.push(value.check()),
            Ok(Err(ChannelError::Codec(_))) => saw.push("codec".into()),
            Ok(Err(error)) => {
                saw.push(say::end(&error));
                break;
            }
            Err(_) => saw.push("panicked".into()),
        }
    }
    println!("{}", saw.join(" "));
}

fn worker(parent: Pid, (): ()) {
    panic::set_hook(Box::new(|_| {}));
    let sender = Sender::<Value>::new(parent);
    let tasks = way() == "tasks";
    let mut saw = Vec::new();
    for (number, kind) in VALUES.iter().enumerate() {
        let value = kind.make(number);
        let sent = catch_unwind(AssertUnwindSafe(|| match tasks {
            true => block_on(sender.send_async(value)),
            false => sender.send(value),
        }));
        saw.push(match sent {
            Ok(Ok(())) => number.to_string(),
            Ok(Err(ChannelError::Codec(why))) if why.contains(REFUSAL) => "refused".into(),
            Ok(Err(ChannelError::Codec(_))) => "codec".into(),
            Ok(Err(error)) => say::end(&error),
            Err(_) => "panicked".into(),
        });
    }
    println!("{}", saw.join(" "));
}

fn ends() {
    let pid = spawn(unwinding, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::<u32>::new(pid), Receiver::<u32>::new(pid));
    let mut saw = vec![format!(
        "sender: {}",
        say::end(&receiver.recv().unwrap_err())
    )];
    let refused = loop {
        if let Err(error) = sender.send(1) {
            break error;
        }
    };
    saw.push(format!("receiver: {}", say::end(&refused)));
    drop((sender, receiver));
    let receiver = Receiver::<Value>::new(pid);
    let half = receiver.recv().unwrap_err();
    saw.push(format!("half a value: {}", say::end(&half)));
    drop(receiver);
    let (sender, receiver) = (Sender::<u32>::new(pid), Receiver::<u32>::new(pid));
    sender.send(6).unwrap();
    saw.push(format!("again: {}", receiver.recv().unwrap()));
    println!("{}", saw.join("; "));
}

/// Panics in one thread after another, and then does its work.
fn unwinding(parent: Pid, (): ()) {
    panic::set_hook(Box::new(|_| {}));
    let both = thread::spawn(move || {
        let _ends = (Sender::<u32>::new(parent), Receiver::<u32>::new(parent));
        panic!("with both ends alive");
    });
    assert!(both.join().is_err());
    let half = thread::spawn(move || Sender::<Value>::new(parent).send(VALUES[3].make(3)));
    assert!(half.join().is_err());
    let (sender, receiver) = (Sender::<u32>::new(parent), Receiver::<u32>::new(parent));
    sender.send(receiver.recv().unwrap() + 1).unwrap();
}

fn ends_of_tasks() {
    // It takes a second until nobody waits for the end of a process any more, so they do it at once.
    let heard = (0..WAYS.len()).map(|way| {
        let pid = spawn(unwinding_task, way, Resources::default()).unwrap();
        let hear = move || {
            let receiver = Receiver::<u32>::new(pid);
            let heard = (receiver.recv(), receiver.recv());
            Sender::new(pid).send(()).unwrap();
            heard
        };
        thread::spawn(hear)
    });
    let heard: Vec<_> = heard.collect();
    let mut lost = 0;
    for (heard, (name, _)) in heard.into_iter().zip(WAYS) {
        match heard.join().unwrap() {
            (Ok(7), Err(ChannelError::Lost(Lost::Panicked))) => lost += 1,
            other => println!("{name}: {other:?}"),
        }
    }
    println!("{lost} of {} are lost by a panic", WAYS.len());
}

/// Panics in that way, and lives on until its parent has heard of it.
fn unwinding_task(parent: Pid, way: usize) {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let (name, panics) = WAYS[way];
    let did_panic = panics(Sender::new(parent));
    panic::set_hook(hook);
    assert!(did_panic, "{name}");
    Receiver::<()>::new(parent).recv().unwrap();
}

async fn panic_in_a_task(sender: Sender<u32>) {
    sender.send_async(7).await.unwrap();
    panic!("with the sender alive");
}

fn panic_in_a_thread(sender: Sender<u32>) {
    sender.send(7).unwrap();
    panic!("with the sender alive");
}

/// What gets a sender, panics, and is outlived by its process: whether it did panic.
type Way = (&'static str, fn(Sender<u32>) -> bool);

const WAYS: [Way; 7] = [
    ("a task of several threads", |sender| {
        let runtime = runtime::Builder::new_multi_thread().build().unwrap();
        let task = runtime.spawn(panic_in_a_task(sender));
        runtime.block_on(task).is_err_and(|error| error.is_panic())
    }),
    ("a task of one thread", |sender| {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(panic_in_a_task(sender));
        runtime.block_on(task).is_err_and(|error| error.is_panic())
    }),
    ("a task that blocks", |sender| {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn_blocking(|| panic_in_a_thread(sender));
        runtime.block_on(task).is_err_and(|error| error.is_panic())
    }),
    ("a task that blocks a thread of several", |sender| {
        let runtime = runtime::Builder::new_multi_thread().build().unwrap();
        let task = runtime.spawn_blocking(|| panic_in_a_thread(sender));
        runtime.block_on(task).is_err_and(|error| error.is_panic())
    }),
    ("a task of smol", |sender| {
        let task = smol::spawn(panic_in_a_task(sender));
        catch_unwind(AssertUnwindSafe(|| block_on(task))).is_err()
    }),
    ("a future that is caught", |sender| {
        let caught = AssertUnwindSafe(panic_in_a_task(sender)).catch_unwind();
        block_on(caught).is_err()
    }),
    ("a scoped thread", |sender| {
        thread::scope(|scope| scope.spawn(|| panic_in_a_thread(sender)).join()).is_err()
    }),
];

/// Text on both sides of what may panic.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    number: usize,
    before: String,
    fuse: Fuse,
    after: String,
}

impl Value {
    /// Its number, and a loud word where it is torn.
    fn check(&self) -> String {
        let (before, after) = texts(self.number, self.before.len());
        assert!(self.before == before && self.after == after, "it is torn");
        self.number.to_string()
    }
}

/// Different for each value.
fn texts(number: usize, len: usize) -> (String, String) {
    let letter = |first: u8| String::from(char::from(first + number as u8));
    (letter(b'a').repeat(len), letter(b'A').repeat(len))
}

struct Kind {
    len: usize,
    fuse: Fuse,
}

impl Kind {
    fn make(&self, number: usize) -> Value {
        let (before, after) = texts(number, self.len);
        Value {
            number,
            before,
            fuse: self.fuse,
            after,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fuse {
    Never,
    Encoding,
    Decoding,
    /// Says that it cannot be encoded.
    Refusing,
}

impl Serialize for Fuse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(*self != Fuse::Encoding, "while it is encoded");
        if *self == Fuse::Refusing {
            return Err(ser::Error::custom(REFUSAL));
        }
        serializer.serialize_bool(*self == Fuse::Decoding)
    }
}

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fuse, D::Error> {
        assert!(!bool::deserialize(deserializer)?, "while it is decoded");
        Ok(Fuse::Never)
    }
}

const REFUSAL: &str = "its fuse is wet";

const SHORT: usize = 10;
const LONG: usize = 5 << 20;

/// By their numbers.
const VALUES: [Kind; 13] = [
    kind(SHORT, Fuse::Never),
    kind(SHORT, Fuse::Encoding),
    kind(SHORT, Fuse::Never),
    kind(LONG, Fuse::Encoding),
    kind(LONG, Fuse::Never),
    kind(SHORT, Fuse::Decoding),
    kind(SHORT, Fuse::Never),
    kind(LONG, Fuse::Decoding),
    kind(LONG, Fuse::Never),
    kind(SHORT, Fuse::Refusing),
    kind(SHORT, Fuse::Never),
    kind(LONG, Fuse::Refusing),
    kind(LONG, Fuse::Never),
];

const fn kind(len: usize, fuse: Fuse) -> Kind {
    Kind { len, fuse }
}
