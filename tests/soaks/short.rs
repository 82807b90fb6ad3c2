//! Two processes that meet while the warden of one of them has no descriptor left (`tests/relay.rs`): `short THERE HERE`. For each
//! line of standard input the process on node `HERE` and one on node `THERE` say a word to each other and listen for one, and what
//! came of that is printed: first with the one that was there from the beginning, and then with one that is started for it. Between
//! the two another is asked for there.
//!
//! Deliberately absent: whoever takes the descriptors, and gives them back.

use deploy::*;
use std::{env, io};

fn main() {
    init(Resources::default());
    let nodes: Vec<String> = env::args().skip(1).collect();
    let begin = |node: &String| {
        let talker = Builder::new().node(node.clone()).spawn(talk, ());
        Talker::new(talker.unwrap())
    };
    let (there, here) = (begin(&nodes[0]), begin(&nodes[1]));
    println!("both are there");
    io::stdin().read_line(&mut String::new()).unwrap();
    meet(&here, &there);
    // Its argument travels as a file, for which there is no descriptor either.
    let begun = Builder::new()
        .node(nodes[0].clone())
        .spawn(take, vec![0u8; 1 << 20]);
    println!("none begins: {}", begun.unwrap_err());
    io::stdin().read_line(&mut String::new()).unwrap();
    meet(&here, &begin(&nodes[0]));
}

fn meet(here: &Talker, there: &Talker) {
    here.whom.send(there.whom.pid()).unwrap();
    there.whom.send(here.whom.pid()).unwrap();
    println!("here: {}", here.what.recv().unwrap());
    println!("there: {}", there.what.recv().unwrap());
}

/// Somebody who is told with whom to talk, and says what came of it.
struct Talker {
    whom: Sender<Pid>,
    what: Receiver<String>,
}

impl Talker {
    fn new(pid: Pid) -> Talker {
        Talker {
            whom: Sender::new(pid),
            what: Receiver::new(pid),
        }
    }
}

fn take(_: Pid, _: Vec<u8>) {}

fn talk(initial: Pid, (): ()) {
    let (whom, what) = (Receiver::<Pid>::new(initial), Sender::new(initial));
    for peer in whom.iter().map_while(Result::ok) {
        let sender = Sender::<u64>::new(peer);
        let _ = sender.send(42); // Whether it can be heard, the receiver says.
        what.send(format!("{:?}", Receiver::<u64>::new(peer).recv()))
            .unwrap();
    }
}
