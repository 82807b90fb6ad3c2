//! The classic form of selecting: operations in boxes, each with what to do about its result.

//= main: exits 0, out
//=     "squares: 0 1 4 9 16 25 36 49 64 81\n"
//=     "then: the peer dropped its end of the channel\n"
//=     "left over: 1\n"
//=   square: exits 0
//=   silent: exits 0

use deploy::*;
use std::cell::RefCell;

fn main() {
    init(Resources::default());
    let pid = spawn(square, (), Resources::default()).unwrap();
    let (tx, rx) = (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
    let squares = RefCell::new(Vec::new());
    for number in 0..10 {
        run(vec![
            Box::new(tx.selectable_send(|| number, |error| panic!("{error}"))),
            Box::new(rx.selectable_recv(
                |square| squares.borrow_mut().push(square.to_string()),
                |error| panic!("{error}"),
            )),
        ]);
    }
    println!("squares: {}", squares.borrow().join(" "));
    drop(tx);

    let quiet = spawn(silent, (), Resources::default()).unwrap();
    let never = Receiver::<String>::new(quiet);
    let left = first_of(&rx, &never);
    println!("left over: {left}");
    Sender::new(quiet).send(()).unwrap();
}

/// The boxes borrow the channels, and what the closures use.
fn first_of(ends: &Receiver<u64>, never: &Receiver<String>) -> usize {
    let mut ended = None;
    let operations: Vec<Box<dyn Selectable + '_>> = vec![
        Box::new(ends.selectable_recv(|_| panic!("all was heard"), |error| ended = Some(error))),
        Box::new(never.selectable_recv(|_| panic!("it is silent"), |_| panic!("it lives"))),
    ];
    let left = select(operations).len();
    println!("then: {}", ended.unwrap());
    left
}

fn square(parent: Pid, (): ()) {
    let (tx, rx) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    for number in rx.iter() {
        let number = number.unwrap();
        tx.send(number * number).unwrap();
    }
}

fn silent(parent: Pid, (): ()) {
    Receiver::<()>::new(parent).recv().unwrap();
}
