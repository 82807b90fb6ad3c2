//! A worker closes descriptors that it did not open: it ends with a sentence, and no byte of ours gets into its files.

//= run and sends
//= args sends
//= code 134
//= main: exits 0, out "exited SIGABRT\n"
//=   worker: killed SIGABRT, err "deploy: this process closed descriptors that it did not open*\n"

//= run and spawns
//= args spawns
//= code 134
//= main: exits 0, out "exited SIGABRT\n"
//=   worker: killed SIGABRT, err "deploy: this process closed descriptors that it did not open*\n"

//= run of the one to the first process alone, and does nothing more
//= args parks
//= code 137
//= main: exits 0, out "exited SIGKILL\n"
//=   worker: killed SIGKILL, note "killed, because it closed the descriptor*\n"

//= run while another thread receives
//= args receives
//= code 134
//= main: exits 0, out "exited SIGABRT\n"
//=   worker: killed SIGABRT, err "deploy: this process closed descriptors that it did not open*\n"

//= run of its connections alone and exits while another thread receives
//= args exits
//= env DEPLOY_CHANNELS=tcp
//= only alone
//= code 134
//= main: exits 0, out "exited SIGABRT\n"
//=   worker: killed SIGABRT, err "deploy: this process closed descriptors that it did not open*\n"

//= run and opens files under the same numbers
//= args files
//= code 134
//= main: exits 0, out "exited SIGABRT\nbytes in the file: 0\n"
//=   worker: killed SIGABRT, err "deploy: this process closed descriptors that it did not open*\n"

//= run before init
//= args before
//= code 78
//= main: exits 78, err "deploy: descriptor * was closed before init: let init be the first statement of main\n"

use deploy::*;
use deploy_tests::{
    say,
    threads::{self, Rest},
};
use std::{
    env,
    fs::{self, File},
    os::fd::{OwnedFd, RawFd},
    process, thread,
    time::Duration,
};

fn main() {
    let how = env::args().nth(1).unwrap();
    if how == "before" {
        close(|_| true);
    }
    init(Resources::default());
    let path = env::temp_dir().join("users");
    fs::write(&path, "").unwrap();
    let pid = spawn(worker, how.clone(), Resources::default()).unwrap();
    // Through shared memory values still come.
    let end = Receiver::<u64>::new(pid).iter().find_map(Result::err);
    println!("{}", say::end(&end.unwrap()));
    if how == "files" {
        println!("bytes in the file: {}", fs::metadata(&path).unwrap().len());
    }
    fs::remove_file(path).unwrap();
}

fn worker(parent: Pid, how: String) {
    let sender = Sender::<u64>::new(parent);
    if ["receives", "exits"].contains(&&*how) {
        let receiver = Receiver::<u64>::new(parent);
        thread::spawn(move || receiver.recv());
    }
    // The last that the parent says of it: from then on nothing comes by which who is awake finds out what was closed.
    sender.flush().unwrap();
    threads::await_rest(match how.as_str() {
        "receives" | "exits" => Rest::BeyondTick,
        // Whoever is about to look at what this process waits for would find out, too.
        _ => Rest::WithoutEnd,
    });
    if how == "receives" {
        // Who receives looks after a second, and is to find out well before the parent asks, a second behind the end.
        thread::sleep(Duration::from_millis(500));
    }
    match &*how {
        "exits" => close(|number| is_socket(number, false)),
        // What it still hears of other processes is no reason to look.
        "parks" => close(|number| is_socket(number, true)),
        _ => close(|_| true),
    }
    match how.as_str() {
        "files" => {
            let file = File::options()
                .append(true)
                .open(env::temp_dir().join("users"));
            let file: OwnedFd = file.unwrap().into();
            let files: Vec<_> = (0..600).map(|_| file.try_clone().unwrap()).collect();
            loop {
                // Until it ends.
                let _ = sender.send(files.len() as u64);
            }
        }
        "sends" => loop {
            let _ = sender.send(7);
        },
        // Who receives still has the connection, and finds nothing out. (Through shared memory all may have arrived.)
        "exits" => process::exit(0),
        "spawns" => {
            let _ = spawn(worker, how, Resources::default());
        }
        _ => loop {
            thread::park();
        },
    }
}

/// As programs do that make themselves daemons.
fn close(is_wanted: impl Fn(RawFd) -> bool) {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let numbers: Vec<RawFd> = open
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    for number in numbers
        .into_iter()
        .filter(|number| *number > 2 && is_wanted(*number))
    {
        // The directory's own is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// Whether it is a socket, to the first process or else to another of the job: that to the first one carries packets, and no
/// other does.
fn is_socket(number: RawFd, to_first: bool) -> bool {
    let file = fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    let inode = file.to_str().and_then(|file| file.strip_prefix("socket:["));
    let Some(inode) = inode.and_then(|inode| inode.strip_suffix(']')) else {
        return false;
    };
    // NUMBER REFERENCES PROTOCOL FLAGS TYPE STATE INODE ..
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let mut sockets = sockets.lines().map(|line| line.split_whitespace());
    const PACKETS: &str = "0005";
    to_first
        == sockets.any(|mut fields| fields.nth(4) == Some(PACKETS) && fields.nth(1) == Some(inode))
}
