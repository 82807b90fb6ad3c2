//! Processes that spawn processes: a child outlives its parent, unless it is linked to it.

//= run chain
//= args chain
//= main: exits 0
//=   link: exits 0, out "4\n"
//=     link: exits 0, out "3\n"
//=       link: exits 0, out "2\n"
//=         link: exits 0, out "1\n"
//=           link: exits 0, out "0\n"

//= run outlive
//= args outlive
//= main: exits 0
//=   short: exits 0
//=     long: exits 0, out "my parent exited 0\n"

//= run linked
//= args linked
//= main: exits 0, out "the linked one: SIGKILL\n"
//=   leader: exits 0
//=     forever: killed SIGKILL (linked)

//= run linked to one that is killed by a stranger
//= args linked-sigkill
//= code 137
//= main: exits 0, out "child: SIGKILL (its parent ended), grandchild: SIGKILL (its parent ended)\n"
//=   doomed: killed SIGKILL
//=     middle: killed SIGKILL (linked)
//=       forever: killed SIGKILL (linked)

//= run linked to one that panics
//= args linked-panic
//= code 101
//= main: exits 0, out "child: SIGKILL (its parent ended), grandchild: SIGKILL (its parent ended)\n"
//=   doomed: exits 101, err "**as it was told to\n**"
//=     middle: killed SIGKILL (linked)
//=       forever: killed SIGKILL (linked)

//= run linked to the initial process
//= args linked-main
//= main: exits 0
//=   forever: killed SIGKILL (linked)

use deploy::*;
use deploy_tests::say;
use nix::{
    sys::signal::{Signal, kill},
    unistd,
};
use std::{env, thread};

fn main() {
    init(Resources::default());
    assert_eq!(parent(), None);
    match env::args().nth(1).unwrap().as_str() {
        "chain" => drop(spawn(link, 4, Resources::default()).unwrap()),
        "outlive" => drop(spawn(short, (), Resources::default()).unwrap()),
        "linked" => {
            let leader = spawn(leader, (), Resources::default()).unwrap();
            let linked: Pid = Receiver::new(leader).recv().unwrap();
            println!("the linked one: {}", say::status(&linked.wait().unwrap()));
        }
        "linked-sigkill" | "linked-panic" => {
            let doomed = spawn(doomed, (), Resources::default()).unwrap();
            let [child, grandchild] = Receiver::<[Pid; 2]>::new(doomed).recv().unwrap();
            Sender::new(doomed).send(()).unwrap();
            let [child, grandchild] = [child, grandchild].map(|pid| pid.wait().unwrap());
            println!("child: {child}, grandchild: {grandchild}");
        }
        _ => {
            let linked = Builder::new().link(true).spawn(forever, ()).unwrap();
            Receiver::<()>::new(linked).recv().unwrap();
        }
    }
}

fn link(above: Pid, left: u32) {
    assert_eq!(parent(), Some(above));
    println!("{left}");
    if left > 0 {
        spawn(link, left - 1, Resources::default()).unwrap();
    }
}

fn short(_: Pid, (): ()) {
    let child = spawn(long, (), Resources::default()).unwrap();
    Receiver::<()>::new(child).recv().unwrap();
}

fn long(parent: Pid, (): ()) {
    Sender::new(parent).send(()).unwrap();
    println!("my parent exited {}", say::status(&parent.wait().unwrap()));
}

fn leader(parent: Pid, (): ()) {
    let linked = Builder::new().link(true).spawn(forever, ()).unwrap();
    Receiver::<()>::new(linked).recv().unwrap();
    Sender::new(parent).send(linked).unwrap();
}

/// Does not end by itself, and leaves nobody the time to end before.
fn doomed(parent: Pid, (): ()) {
    let child = Builder::new().link(true).spawn(middle, ()).unwrap();
    let grandchild: Pid = Receiver::new(child).recv().unwrap();
    Sender::new(parent).send([child, grandchild]).unwrap();
    Receiver::<()>::new(parent).recv().unwrap();
    match env::args().nth(1).unwrap().as_str() {
        "linked-panic" => panic!("as it was told to"),
        _ => kill(unistd::getpid(), Signal::SIGKILL).unwrap(),
    }
}

fn middle(parent: Pid, (): ()) {
    let linked = Builder::new().link(true).spawn(forever, ()).unwrap();
    Receiver::<()>::new(linked).recv().unwrap();
    Sender::new(parent).send(linked).unwrap();
    park();
}

fn forever(parent: Pid, (): ()) {
    Sender::new(parent).send(()).unwrap();
    park();
}

fn park() {
    loop {
        thread::park();
    }
}
