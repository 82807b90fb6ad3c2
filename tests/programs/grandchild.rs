//! What a worker leaves behind goes with it: programs that hold its output or a channel delay the report of its end
//! by at most about a second, and are gone afterwards, even out of a session of their own.

//= run holds the output
//= args "sleep 1000 &"
//= main: exits 0, out "reported in time: true\n"
//=   worker: exits 0, out "started\n"

//= run in another session
//= args "setsid sleep 1000 &"
//= main: exits 0, out "reported in time: true\n"
//=   worker: exits 0, out "started\n"

//= run orphan of an orphan
//= args "(setsid sh -c 'sleep 1000 & sleep 1000 &' &)"
//= main: exits 0, out "reported in time: true\n"
//=   worker: exits 0, out "started\n"

use deploy::*;
use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let script = env::args().nth(1).unwrap();
    let pid = spawn(worker, script, Resources::default()).unwrap();
    let receiver = Receiver::<()>::new(pid);
    receiver.recv().unwrap();
    let start = Instant::now();
    assert!(matches!(
        receiver.recv(),
        Err(ChannelError::Closed | ChannelError::Exited(_))
    ));
    assert!(pid.wait().unwrap().success());
    println!(
        "reported in time: {}",
        start.elapsed() < Duration::from_secs(6)
    );
}

fn worker(parent: Pid, script: String) {
    println!("started");
    assert!(
        Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    Sender::new(parent).send(()).unwrap();
}
