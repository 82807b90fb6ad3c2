//! Three hundred workers alive at once.

//= main: exits 0, out "300 workers: 44850\n"
//=   worker x300: exits 0

use deploy::*;

fn main() {
    init(Resources::default());
    let pids: Vec<Pid> = (0..COUNT)
        .map(|index| spawn(worker, index, Resources::default()).unwrap())
        .collect();
    let receivers: Vec<Receiver<u32>> = pids.iter().copied().map(Receiver::new).collect();
    let total: u32 = receivers
        .iter()
        .map(|receiver| receiver.recv().unwrap())
        .sum();
    for pid in pids {
        Sender::new(pid).send(()).unwrap();
    }
    println!("{COUNT} workers: {total}");
}

fn worker(parent: Pid, index: u32) {
    Sender::new(parent).send(index).unwrap();
    Receiver::<()>::new(parent).recv().unwrap();
}

const COUNT: u32 = 300;
