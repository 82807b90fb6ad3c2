//! Every pairing of a sender and a receiver that are used, only kept, dropped unused or never made, where either
//! process ends first, and the second makes its end before the first does anything or after the first has ended.
//!
//! A line names the ends in the order in which their processes end, and tells what each saw: the first, then the
//! second, which waits for the end of the first before it looks (again).

//= main: exits 0, out
//=     "sender used, then receiver used early: sent; 7, exited 0\n"
//=     "sender used, then receiver kept early: sent; -\n"
//=     "sender used, then receiver dropped early: sent or closed; -\n"
//=     "sender used, then receiver never early: sent; -\n"
//=     "sender kept, then receiver used early: -; exited 0\n"
//=     "sender kept, then receiver kept early: -; -\n"
//=     "sender kept, then receiver dropped early: -; -\n"
//=     "sender kept, then receiver never early: -; -\n"
//=     "sender dropped, then receiver used early: -; closed\n"
//=     "sender dropped, then receiver kept early: -; -\n"
//=     "sender dropped, then receiver dropped early: -; -\n"
//=     "sender dropped, then receiver never early: -; -\n"
//=     "sender never, then receiver used early: -; exited 0\n"
//=     "sender never, then receiver kept early: -; -\n"
//=     "sender never, then receiver dropped early: -; -\n"
//=     "sender never, then receiver never early: -; -\n"
//=     "sender used, then receiver used late: sent; 7, exited 0\n"
//=     "sender used, then receiver kept late: sent; -\n"
//=     "sender used, then receiver dropped late: sent; -\n"
//=     "sender used, then receiver never late: sent; -\n"
//=     "sender kept, then receiver used late: -; exited 0\n"
//=     "sender kept, then receiver kept late: -; -\n"
//=     "sender kept, then receiver dropped late: -; -\n"
//=     "sender kept, then receiver never late: -; -\n"
//=     "sender dropped, then receiver used late: -; closed\n"
//=     "sender dropped, then receiver kept late: -; -\n"
//=     "sender dropped, then receiver dropped late: -; -\n"
//=     "sender dropped, then receiver never late: -; -\n"
//=     "sender never, then receiver used late: -; exited 0\n"
//=     "sender never, then receiver kept late: -; -\n"
//=     "sender never, then receiver dropped late: -; -\n"
//=     "sender never, then receiver never late: -; -\n"
//=     "receiver used, then sender used early: 7; exited 0\n"
//=     "receiver kept, then sender used early: -; exited 0\n"
//=     "receiver dropped, then sender used early: -; closed or exited 0\n"
//=     "receiver never, then sender used early: -; exited 0\n"
//=     "receiver used, then sender kept early: nothing yet; -\n"
//=     "receiver kept, then sender kept early: -; -\n"
//=     "receiver dropped, then sender kept early: -; -\n"
//=     "receiver never, then sender kept early: -; -\n"
//=     "receiver used, then sender dropped early: closed; -\n"
//=     "receiver kept, then sender dropped early: -; -\n"
//=     "receiver dropped, then sender dropped early: -; -\n"
//=     "receiver never, then sender dropped early: -; -\n"
//=     "receiver used, then sender never early: nothing yet; -\n"
//=     "receiver kept, then sender never early: -; -\n"
//=     "receiver dropped, then sender never early: -; -\n"
//=     "receiver never, then sender never early: -; -\n"
//=     "receiver used, then sender used late: nothing yet; exited 0\n"
//=     "receiver kept, then sender used late: -; exited 0\n"
//=     "receiver dropped, then sender used late: -; closed or exited 0\n"
//=     "receiver never, then sender used late: -; exited 0\n"
//=     "receiver used, then sender kept late: nothing yet; -\n"
//=     "receiver kept, then sender kept late: -; -\n"
//=     "receiver dropped, then sender kept late: -; -\n"
//=     "receiver never, then sender kept late: -; -\n"
//=     "receiver used, then sender dropped late: nothing yet; -\n"
//=     "receiver kept, then sender dropped late: -; -\n"
//=     "receiver dropped, then sender dropped late: -; -\n"
//=     "receiver never, then sender dropped late: -; -\n"
//=     "receiver used, then sender never late: nothing yet; -\n"
//=     "receiver kept, then sender never late: -; -\n"
//=     "receiver dropped, then sender never late: -; -\n"
//=     "receiver never, then sender never late: -; -\n"
//=   worker x128: exits 0

use deploy::*;
use deploy_tests::say;
use serde::{Deserialize, Serialize};
use std::process;

fn main() {
    init(Resources::default());
    for first in [Role::Sender, Role::Receiver] {
        for early in [true, false] {
            for sender in USES {
                for receiver in USES {
                    check(Case {
                        first,
                        early,
                        sender,
                        receiver,
                    });
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Role {
    Sender,
    Receiver,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
enum Use {
    Used,
    Kept,
    Dropped,
    Never,
}

const USES: [Use; 4] = [Use::Used, Use::Kept, Use::Dropped, Use::Never];

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Case {
    first: Role,
    early: bool,
    sender: Use,
    receiver: Use,
}

/// Lets two workers meet and prints what they saw.
fn check(case: Case) {
    let second_role = match case.first {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    };
    let first = spawn(worker, (case, case.first), Resources::default()).unwrap();
    let second = spawn(worker, (case, second_role), Resources::default()).unwrap();
    let (from_first, from_second) = (Receiver::<String>::new(first), Receiver::new(second));
    Sender::new(second).send(first).unwrap();
    if case.early {
        assert_eq!(from_second.recv().unwrap(), "made");
    }
    Sender::new(first).send(second).unwrap();
    let saw: (String, String) = (from_first.recv().unwrap(), from_second.recv().unwrap());
    let describe = |role| match role {
        Role::Sender => format!("sender {:?}", case.sender),
        Role::Receiver => format!("receiver {:?}", case.receiver),
    };
    let (one, two) = (describe(case.first), describe(second_role));
    let when = if case.early { "early" } else { "late" };
    let names = format!("{one}, then {two} {when}").to_lowercase();
    println!("{names}: {}; {}", saw.0, saw.1);
}

fn worker(parent: Pid, (case, role): (Case, Role)) {
    let to_main = Sender::<String>::new(parent);
    let peer = Receiver::<Pid>::new(parent).recv().unwrap();
    let first = role == case.first;
    if !first && !case.early {
        peer.wait().unwrap();
    }
    let is = |wanted| (role == wanted).then_some(peer);
    let sender = is(Role::Sender).and_then(|peer| make(case.sender, || Sender::<u32>::new(peer)));
    let receiver =
        is(Role::Receiver).and_then(|peer| make(case.receiver, || Receiver::<u32>::new(peer)));
    let sender_used = sender.as_ref().filter(|_| case.sender == Use::Used);
    let receiver_used = receiver.as_ref().filter(|_| case.receiver == Use::Used);
    if !first && case.early {
        if let Some(sender) = sender_used {
            sender.send(7).unwrap();
        }
        to_main.send("made".into()).unwrap();
        peer.wait().unwrap();
    }
    let saw = match (sender_used, receiver_used) {
        (Some(sender), _) if first => send_once(sender, case),
        (Some(sender), _) => send_until_refused(sender, case),
        (_, Some(receiver)) if first => receive_once(receiver, case),
        (_, Some(receiver)) => receive_all(receiver),
        (None, None) => "-".into(),
    };
    to_main.send(saw).unwrap();
    // The ends that are kept live as long as the process does.
    process::exit(0);
}

/// An end that is used or kept.
fn make<E>(usage: Use, end: impl Fn() -> E) -> Option<E> {
    match usage {
        Use::Used | Use::Kept => Some(end()),
        Use::Dropped => {
            drop(end());
            None
        }
        Use::Never => None,
    }
}

fn send_once(sender: &Sender<u32>, case: Case) -> String {
    let dropped_already = case.early && case.receiver == Use::Dropped;
    match sender.send(7) {
        Ok(()) | Err(ChannelError::Closed) if dropped_already => "sent or closed".into(),
        Ok(()) => "sent".into(),
        Err(error) => say::end(&error),
    }
}

/// What is sent to a process that has ended may still be taken, but not for ever. That it had dropped its receiver
/// before may or may not have become known.
fn send_until_refused(sender: &Sender<u32>, case: Case) -> String {
    let refused = (0..10_000_000).find_map(|_| sender.send(8).err());
    match refused.as_ref().map(say::end) {
        Some(end) if case.receiver == Use::Dropped && ["closed", "exited 0"].contains(&&*end) => {
            "closed or exited 0".into()
        }
        Some(end) => end,
        None => "still sending".into(),
    }
}

fn receive_once(receiver: &Receiver<u32>, case: Case) -> String {
    if case.early && matches!(case.sender, Use::Used | Use::Dropped) {
        return match receiver.recv() {
            Ok(value) => value.to_string(),
            Err(error) => say::end(&error),
        };
    }
    match receiver.try_recv() {
        Ok(value) => value.to_string(),
        Err(TryRecvError::Empty) => "nothing yet".into(),
        Err(error) => format!("{error}"),
    }
}

fn receive_all(receiver: &Receiver<u32>) -> String {
    let mut saw = String::new();
    loop {
        match receiver.recv() {
            Ok(value) => saw += &format!("{value}, "),
            Err(error) => return saw + &say::end(&error),
        }
    }
}
