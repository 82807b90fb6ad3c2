//! `cargo run --release -p deploy-tests --bin traced -- --seconds 60`: a process is stopped in a debugger for that long,
//! every thread of it, while another sends to it and a third waits for what it sends. Nobody takes it for dead; when it
//! goes on, all that was sent comes. And one that is killed while it is stopped so is said to be killed.
//!
//! Deliberately absent: Ctrl-Z (`programs/stopped.rs`).

use deploy::*;
use deploy_tests::say;
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        wait::{WaitPidFlag, waitpid},
    },
    unistd,
};
use std::{
    collections::BTreeSet,
    env, fs, process, thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    let at = args.iter().position(|arg| arg == "--seconds");
    let seconds = at.map_or(3, |at| args[at + 1].parse().expect("a number follows"));
    let stop = Duration::from_secs(seconds);
    let pid = spawn(sums, (), Resources::default()).unwrap();
    let answers = Receiver::<u64>::new(pid);
    let peer = answers.recv().unwrap() as i32;
    let traced = match Traced::stop(peer) {
        Err(Errno::EPERM) => {
            eprintln!("skipped: a process may trace no other here");
            return pid.kill().unwrap();
        }
        traced => traced.unwrap(),
    };
    let sender = Sender::<Vec<u8>>::new(pid);
    let start = Instant::now();
    let sent = thread::scope(|scope| {
        let sent = scope.spawn(|| {
            (0..TIMES).for_each(|_| sender.send(vec![1; LENGTH]).unwrap());
            start.elapsed()
        });
        assert_eq!(answers.recv_timeout(stop), Err(RecvTimeoutError::Timeout));
        assert!(
            !sent.is_finished(),
            "nobody reads, and it is more than fits"
        );
        traced.let_go();
        sent.join().unwrap()
    });
    drop(sender);
    assert_eq!(answers.recv(), Ok(TIMES * LENGTH as u64));
    assert!(pid.wait().unwrap().success());
    println!(
        "stopped by a debugger for {stop:?}: not taken for dead; all that was sent came, after {sent:.1?}"
    );
    killed();
}

/// The kernel tells its parent of its end only when the debugger has taken note of it.
fn killed() {
    let pid = spawn(sums, (), Resources::default()).unwrap();
    let answers = Receiver::<u64>::new(pid);
    let traced = Traced::stop(answers.recv().unwrap() as i32).unwrap();
    pid.kill().unwrap();
    traced.take_end();
    let end = say::end(&answers.recv().unwrap_err());
    let status = say::status(&pid.wait().unwrap());
    println!("killed in a debugger: {end}, {status}");
    assert_eq!(
        (end.as_str(), status.as_str()),
        ("exited SIGKILL", "SIGKILL")
    );
}

fn sums(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<Vec<u8>>::new(parent));
    sender.send(process::id().into()).unwrap();
    let sum = receiver.iter().map(|value| value.unwrap().len() as u64);
    sender.send(sum.sum()).unwrap();
}

/// A process of which this thread is the debugger.
struct Traced {
    process: i32,
    threads: BTreeSet<i32>,
}

impl Traced {
    /// Every thread of it stands when this returns.
    fn stop(process: i32) -> nix::Result<Traced> {
        let mut threads = BTreeSet::new();
        // One that still runs may start another.
        while let Some(thread) = threads_of(process).difference(&threads).next().copied() {
            ptrace::attach(unistd::Pid::from_raw(thread))?;
            waitpid(unistd::Pid::from_raw(thread), Some(WaitPidFlag::__WALL))?;
            threads.insert(thread);
        }
        Ok(Traced { process, threads })
    }

    fn let_go(self) {
        for thread in self.threads {
            ptrace::detach(unistd::Pid::from_raw(thread), None).unwrap();
        }
    }

    /// Waits for its end, which its parent hears of then.
    fn take_end(self) {
        let others = self
            .threads
            .iter()
            .filter(|thread| **thread != self.process);
        for thread in others.chain([&self.process]) {
            let thread = unistd::Pid::from_raw(*thread);
            while waitpid(thread, Some(WaitPidFlag::__WALL)).is_ok_and(|end| !is_over(end)) {}
        }
    }
}

fn is_over(status: nix::sys::wait::WaitStatus) -> bool {
    use nix::sys::wait::WaitStatus;
    matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
}

fn threads_of(process: i32) -> BTreeSet<i32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks
        .map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect()
}

/// Together they are many times what the window and the socket hold.
const TIMES: u64 = 4000;
const LENGTH: usize = 10_000;
