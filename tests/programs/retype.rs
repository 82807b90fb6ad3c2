//! A channel is dropped and made again, of another type, many times; each pairs with its own at the other side.

//= main: exits 0, out "heard 50 numbers and 50 texts\n"
//=   worker: exits 0

use deploy::*;

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let (mut numbers, mut texts) = (0, 0);
    for round in 0..50u64 {
        let receiver = Receiver::<u64>::new(pid);
        assert_eq!(receiver.recv().unwrap(), round);
        assert!(matches!(receiver.recv(), Err(ChannelError::Closed)));
        drop(receiver);
        numbers += 1;
        let receiver = Receiver::<String>::new(pid);
        assert_eq!(receiver.recv().unwrap(), format!("round {round}"));
        texts += 1;
    }
    println!("heard {numbers} numbers and {texts} texts");
}

fn worker(parent: Pid, (): ()) {
    for round in 0..50u64 {
        Sender::<u64>::new(parent).send(round).unwrap();
        Sender::<String>::new(parent)
            .send(format!("round {round}"))
            .unwrap();
    }
}
