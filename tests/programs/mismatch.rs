//! A receiver of another type than the sender says so, with both names; the next pair is not harmed.

//= main: exits 0, out "both types named: true\nthen 7\n"
//=   worker: exits 0

use deploy::*;

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<u16>::new(pid);
    let error = receiver.recv().unwrap_err();
    assert!(
        matches!(error, ChannelError::TypeMismatch { .. }),
        "{error}"
    );
    let text = error.to_string();
    println!(
        "both types named: {}",
        text.contains("u16") && text.contains("String")
    );
    drop(receiver);
    Sender::new(pid).send(()).unwrap();
    println!("then {}", Receiver::<u32>::new(pid).recv().unwrap());
}

fn worker(parent: Pid, (): ()) {
    let sender = Sender::<String>::new(parent);
    // It may have learned of the mismatch by now or not.
    let _ = sender.send("text".into());
    Receiver::<()>::new(parent).recv().unwrap();
    drop(sender);
    Sender::<u32>::new(parent).send(7).unwrap();
}
