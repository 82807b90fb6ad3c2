//! `cargo run -p deploy-tests --bin hasty -- --workers 1000`: workers that close what is not their own, and end right behind
//! it with values on their way. Where one is lost, its worker must not end as if all were well. `DEPLOY_CHANNELS` says how
//! they are connected.
//!
//! Deliberately absent: who lives on after it (`programs/closes.rs`).

use deploy::*;
use deploy_tests::{
    soak::number,
    threads::{self, Rest},
};
use std::{env, fs, os::fd::RawFd};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    let workers = number(&args, "--workers", 1000);
    let (mut aborted, mut silent) = (0, 0);
    for index in 0..workers {
        let values = if index % 2 == 0 { 1000 } else { 2 };
        let pid = spawn(worker, values, Resources::default()).unwrap();
        let receiver = Receiver::<u64>::new(pid);
        let lost = values - receiver.iter().map_while(Result::ok).count() as u64;
        let is_well = pid.wait().unwrap().success();
        aborted += u64::from(!is_well);
        silent += u64::from(is_well && lost > 0);
    }
    println!("of {workers} workers {aborted} aborted; {silent} lost values and said nothing");
}

fn worker(parent: Pid, values: u64) {
    let sender = Sender::<u64>::new(parent);
    // Until nothing moves on the connection.
    sender.flush().unwrap();
    threads::await_rest(Rest::BeyondTick);
    let open = open();
    // Some are still to leave; the reactor is awake for them, and finds nothing out before it sleeps again.
    (0..values).for_each(|number| sender.send(number).unwrap());
    for number in open {
        // The directory's own is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// The numbers of all that is open, but for what every program has.
fn open() -> Vec<RawFd> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbers = names.map(|name| name.parse().unwrap());
    numbers.filter(|number| *number > 2).collect()
}
