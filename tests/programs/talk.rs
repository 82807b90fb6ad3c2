//! A program with many small talents, for the tests of the shell and of the terminal.

//= run say
//= args say hello
//= main: exits 0, out "hello\n"

//= run cat
//= args cat
//= stdin "one\ntwo"
//= main: exits 0, out "one\ntwo"

//= run wrap
//= args wrap
//= main: exits 0, out "main no\n"
//=   wrapped: exits 0, out "worker no\n"

use deploy::*;
use std::{
    env, fs,
    io::{self, Write},
    process::{self, Command},
    thread,
};
use tokio::signal::unix::{SignalKind, signal};

static POOL: Pool = Pool::new();

#[on(POOL)]
fn called() {}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["no-init"] => println!("{}", pid()),
        ["no-init", "call"] => called().wait().unwrap(),
        _ => {}
    }
    init(Resources::default());
    match args[..] {
        ["say", ref words @ ..] => println!("{}", words.join(" ")),
        ["prompt", text] => prompt(text),
        ["escape", code] => println!("{}", code.replace("ESC", "\x1b")),
        ["cat"] => drop(io::copy(&mut io::stdin(), &mut io::stdout()).unwrap()),
        ["for-ever"] => for_ever(),
        ["wait"] => wait(),
        ["litter"] => litter(),
        ["storm"] => drop(spawn(storm, 0, Resources::default()).unwrap()),
        ["deaf"] => deaf(),
        ["count", until] => count(until.parse().unwrap()),
        ["fail", code] => process::exit(code.parse().unwrap()),
        ["ignores-hup"] => both(ignores_hup),
        ["read-3"] => both(read_3),
        ["wrap"] => both(wrapped),
        ["run", program, ref words @ ..] => {
            assert!(
                Command::new(program)
                    .args(words)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        _ => panic!("unknown talent: {args:?}"),
    }
}

/// An unfinished line, then what is answered.
fn prompt(text: &str) {
    print!("{text}");
    io::stdout().flush().unwrap();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).unwrap();
    println!("answered {}", answer.trim_end());
}

/// A worker that speaks until nobody listens.
fn for_ever() {
    spawn(
        |_: Pid, (): ()| {
            while writeln!(io::stdout(), "again").is_ok() {}
        },
        (),
        Resources::default(),
    )
    .unwrap();
}

/// Three processes that wait to be interrupted.
fn wait() {
    let idle = |parent: Pid, (): ()| {
        Sender::new(parent).send(()).unwrap();
        park();
    };
    for _ in 0..2 {
        let pid = spawn(idle, (), Resources::default()).unwrap();
        Receiver::<()>::new(pid).recv().unwrap();
    }
    println!("waiting");
    park();
}

/// A worker that starts a program in a session of its own, and waits.
fn litter() {
    let litter = |_: Pid, (): ()| {
        let mut stranger = Command::new("setsid")
            .args(["sleep", "1000"])
            .spawn()
            .unwrap();
        println!("waiting");
        let _ = stranger.wait();
    };
    let pid = spawn(litter, (), Resources::default()).unwrap();
    let _ = pid.wait();
}

/// A process that spawns one like itself and waits: there is always one that has just begun.
fn storm(_: Pid, generation: u32) {
    if generation == 5 {
        println!("storming");
    }
    spawn(storm, generation + 1, Resources::default()).unwrap();
    park();
}

/// Two processes that ignore SIGINT; the initial one answers to lines until its input ends.
fn deaf() {
    let deaf = |parent: Pid, (): ()| {
        ignore_sigint();
        Sender::new(parent).send(()).unwrap();
        Receiver::<()>::new(parent).recv().unwrap();
        println!("worker went on");
    };
    ignore_sigint();
    let pid = spawn(deaf, (), Resources::default()).unwrap();
    Receiver::<()>::new(pid).recv().unwrap();
    println!("deaf");
    for line in io::stdin().lines() {
        println!("heard {}", line.unwrap());
    }
    Sender::new(pid).send(()).unwrap();
}

/// A handler of tokio's stays for the life of the process.
fn ignore_sigint() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { drop(signal(SignalKind::interrupt()).unwrap()) });
}

/// A worker that is asked for one number after the other; the initial process prints them, a line of input each.
fn count(until: u32) {
    let worker = |parent: Pid, (): ()| {
        let (sender, receiver) = (Sender::new(parent), Receiver::<u32>::new(parent));
        while let Ok(number) = receiver.recv() {
            sender.send(number).unwrap();
        }
    };
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::new(pid), Receiver::<u32>::new(pid));
    for number in 0..until {
        sender.send(number).unwrap();
        println!("number {}", receiver.recv().unwrap());
        io::stdin().read_line(&mut String::new()).unwrap();
    }
}

/// Runs it here and in a worker.
fn both<F: Fn(Pid, String) + Copy + Send + 'static>(run: F) {
    run(pid(), "main".into());
    let worker = spawn(run, "worker".into(), Resources::default()).unwrap();
    assert!(worker.wait().unwrap().success());
}

fn park() {
    loop {
        thread::park();
    }
}

fn ignores_hup(_: Pid, who: String) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    println!("{who} {}", ignored & 1 != 0);
}

fn read_3(_: Pid, who: String) {
    match fs::read_to_string("/proc/self/fd/3") {
        Ok(text) => print!("{text}"),
        Err(_) => println!("{who} has no 3"),
    }
}

fn wrapped(_: Pid, who: String) {
    let wrapped = env::var("WRAPPED").unwrap_or("no".into());
    println!("{who} {wrapped}");
}
