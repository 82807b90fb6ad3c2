//! Workers that are killed: by the job, which is no failure of theirs, and by a stranger.

//= run by the job
//= args job
//= main: exits 0, out "channel: exited SIGKILL, wait: SIGKILL, reason: Some(Killed)\n"
//=   worker: killed SIGKILL (killed)

//= run by a stranger
//= args stranger
//= code 137
//= main: exits 0, out "channel: exited SIGKILL, wait: SIGKILL, reason: None\n"
//=   worker: killed SIGKILL

//= run by a sibling
//= args sibling
//= main: exits 0, out "channel: exited SIGKILL, wait: SIGKILL, reason: Some(Killed)\n"
//=   worker: killed SIGKILL (killed)
//=   sibling: exits 0, out "wait: SIGKILL, reason: Some(Killed)\n"

//= run by itself
//= args itself
//= main: exits 0, out "channel: exited SIGKILL, wait: SIGKILL, reason: Some(Killed)\n"
//=   worker: killed SIGKILL (killed)

//= run when it has ended
//= args ended
//= main: exits 0, out "wait: 0, again: 0\n"
//=   short: exits 0

use deploy::*;
use deploy_tests::say;
use std::{env, process, process::Command, thread};

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "ended" => ended(),
        "job" => killed(|pid, _| pid.kill().unwrap()),
        "sibling" => killed(|pid, _| {
            spawn(sibling, pid, Resources::default()).unwrap();
        }),
        "itself" => killed(|_, _| {}),
        _ => killed(|_, number| {
            let status = Command::new("kill")
                .args(["-9", &number.to_string()])
                .status();
            assert!(status.unwrap().success());
        }),
    }
}

fn killed(kill: impl Fn(Pid, u32)) {
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<u32>::new(pid);
    kill(pid, receiver.recv().unwrap());
    let end = say::end(&receiver.recv().unwrap_err());
    println!("channel: {end}, {}", waited(pid));
}

fn waited(pid: Pid) -> String {
    let status = pid.wait().unwrap();
    let (wait, reason) = (say::status(&status), status.reason());
    format!("wait: {wait}, reason: {reason:?}")
}

fn sibling(_: Pid, other: Pid) {
    other.kill().unwrap();
    println!("{}", waited(other));
}

fn ended() {
    let pid = spawn(short, (), Resources::default()).unwrap();
    let first = say::status(&pid.wait().unwrap());
    pid.kill().unwrap();
    println!(
        "wait: {first}, again: {}",
        say::status(&pid.wait().unwrap())
    );
}

fn worker(parent: Pid, (): ()) {
    let sender = Sender::new(parent);
    sender.send(process::id()).unwrap();
    if env::args().nth(1).unwrap() == "itself" {
        // What is on its way might go with it.
        sender.flush().unwrap();
        pid().kill().unwrap();
    }
    loop {
        thread::park();
    }
}

fn short(_: Pid, (): ()) {}
