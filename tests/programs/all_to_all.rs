//! A hundred workers each send to and hear from every other one: 4,950 connections.

//= main: exits 0, out "100 workers heard 4950 from all others\n"
//=   worker x100: exits 0

use deploy::*;

fn main() {
    init(Resources::default());
    let pids: Vec<Pid> = (0..COUNT)
        .map(|index| spawn(worker, index, Resources::default()).unwrap())
        .collect();
    for pid in &pids {
        Sender::new(*pid).send(pids.clone()).unwrap();
    }
    let total: u32 = (0..COUNT).sum();
    for (index, pid) in (0..COUNT).zip(&pids) {
        let heard = Receiver::<u32>::new(*pid).recv().unwrap();
        assert_eq!(heard, total - index);
    }
    println!("{COUNT} workers heard {total} from all others");
}

fn worker(parent: Pid, index: u32) {
    let pids = Receiver::<Vec<Pid>>::new(parent).recv().unwrap();
    let others = || pids.iter().copied().filter(|other| *other != pid());
    let senders: Vec<Sender<u32>> = others().map(Sender::new).collect();
    let receivers: Vec<Receiver<u32>> = others().map(Receiver::new).collect();
    for sender in &senders {
        sender.send(index).unwrap();
    }
    let heard: u32 = receivers
        .iter()
        .map(|receiver| receiver.recv().unwrap())
        .sum();
    Sender::new(parent).send(heard).unwrap();
}

const COUNT: u32 = 100;
