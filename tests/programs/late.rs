//! A receiver that is made after the sender's process has ended gets everything.

//= main: exits 0, out "heard 500, then closed\n"
//=   worker: exits 0

use deploy::*;
use deploy_tests::say;

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    pid.wait().unwrap();
    let receiver = Receiver::<u64>::new(pid);
    for expect in 0..500 {
        assert_eq!(receiver.recv().unwrap(), expect);
    }
    println!(
        "heard 500, then {}",
        say::end(&receiver.recv().unwrap_err())
    );
}

fn worker(parent: Pid, (): ()) {
    let sender = Sender::new(parent);
    for number in 0..500u64 {
        sender.send(number).unwrap();
    }
}
