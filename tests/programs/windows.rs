//! A receiver that does not read: `try_send` gives the value back when the window is full, `send` waits, and all that
//! was taken arrives in order once the receiver reads.

//= main: exits 0, out "all in order, at most a window and 1 MiB ahead: true\n"
//=   offer: exits 0, out "given back whole; waited until somebody read: true\n"
//=   relay: exits 0

use deploy::*;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

fn main() {
    init(Resources::default());
    let relay = spawn(relay, (), Resources::default()).unwrap();
    let offer = spawn(offer, relay, Resources::default()).unwrap();
    Sender::new(relay).send(offer).unwrap();
    let receiver = Receiver::<(u64, Vec<u8>)>::new(offer);
    let taken: u64 = Receiver::new(relay).recv().unwrap();
    for index in 0..=taken {
        assert_eq!(receiver.recv().unwrap(), nth(index));
    }
    assert!(matches!(receiver.recv(), Err(ChannelError::Closed)));
    let bounded = taken * LEN as u64 <= 5 << 20;
    println!("all in order, at most a window and 1 MiB ahead: {bounded}");
}

/// Sends to the initial process until no more is taken, then once more, and says so through the relay.
fn offer(parent: Pid, relay: Pid) {
    let sender = Sender::<(u64, Vec<u8>)>::new(parent);
    let mut taken = 0;
    let back = loop {
        match sender.try_send(nth(taken)) {
            Ok(()) => taken += 1,
            Err(TrySendError::Full(back)) => break back,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(back, nth(taken));
    let sent = AtomicBool::new(false);
    let waited = thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(back).unwrap();
            sent.store(true, Ordering::SeqCst);
        });
        // That something does not happen can only be waited for.
        thread::sleep(Duration::from_millis(200));
        let waited = !sent.load(Ordering::SeqCst);
        Sender::new(relay).send(taken).unwrap();
        waited
    });
    println!("given back whole; waited until somebody read: {waited}");
}

fn relay(parent: Pid, (): ()) {
    let offer = Receiver::<Pid>::new(parent).recv().unwrap();
    let taken: u64 = Receiver::new(offer).recv().unwrap();
    Sender::new(parent).send(taken).unwrap();
}

fn nth(index: u64) -> (u64, Vec<u8>) {
    (index, vec![index as u8; LEN])
}

const LEN: usize = 1000;
