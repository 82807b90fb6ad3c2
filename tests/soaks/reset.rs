//! Streams whose connection is reset on its way, and whose sender ends then as if all were well: `reset TASK PAIRS [THERE HERE]`
//! (`tests/hosts/reset.rs`). The initial process starts so many readers on node `HERE`, and each of these a source on node `THERE`,
//! of which it reads one value. When a source has ended its reader reads on, and says how it ends.
//!
//! `notices`: the source waits until it is told that its connection is lost. `sends`: for each line of standard input the sources
//! do something: they send values, which are not to come through, and then they end at once.
//!
//! Deliberately absent: whoever resets, and has the readers stopped until the sources have noticed.

use deploy::*;
use std::{env, io, process};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().skip(1).collect();
    let place = |index: usize| args.get(index).cloned();
    let pairs: usize = args[1].parse().unwrap();
    let task = (args[0].clone(), place(2));
    let readers = (0..pairs).map(|_| {
        let reader = on(place(3)).spawn(reader, task.clone());
        Receiver::<(u32, Pid)>::new(reader.unwrap())
    });
    let readers: Vec<_> = readers.collect();
    let (ids, sources): (Vec<u32>, Vec<Pid>) =
        readers.iter().map(|reader| reader.recv().unwrap()).unzip();
    println!("it flows to {ids:?}");
    if args[0] == "sends" {
        let words: Vec<_> = sources
            .iter()
            .map(|source| Sender::<()>::new(*source))
            .collect();
        let answers = sources.iter().map(|source| Receiver::<()>::new(*source));
        let answers: Vec<_> = answers.collect();
        say(&words);
        answers.iter().for_each(|answer| answer.recv().unwrap());
        println!("all have sent");
        say(&words);
    }
    for source in sources {
        assert_eq!(source.wait().unwrap().code(), Some(0));
    }
    println!("all have ended");
}

/// Gives this word to each, once somebody has told it.
fn say(words: &[Sender<()>]) {
    io::stdin().read_line(&mut String::new()).unwrap();
    words.iter().for_each(|word| word.send(()).unwrap());
}

fn on(node: Option<String>) -> Builder {
    node.map_or(Builder::new(), |node| Builder::new().node(node))
}

fn reader(initial: Pid, (task, there): (String, Option<String>)) {
    let source = on(there).spawn(source, (task, initial)).unwrap();
    let receiver = Receiver::<u64>::new(source);
    assert_eq!(receiver.recv(), Ok(0));
    let who = Sender::<(u32, Pid)>::new(initial);
    who.send((process::id(), source)).unwrap();
    source.wait().unwrap();
    match receiver.recv() {
        Ok(value) => println!("reader: {value}"),
        Err(ChannelError::Lost(why)) => println!("reader: lost: {why}"),
        Err(error) => println!("reader: not lost: {error}"),
    }
}

fn source(parent: Pid, (task, initial): (String, Pid)) {
    let sender = Sender::<u64>::new(parent);
    sender.send(0).unwrap();
    if task == "notices" {
        let end = Receiver::<u64>::new(parent).recv();
        assert!(matches!(end, Err(ChannelError::Lost(_))), "{end:?}");
        return;
    }
    let (word, answer) = (Receiver::<()>::new(initial), Sender::<()>::new(initial));
    word.recv().unwrap();
    for value in 1..4 {
        sender.send(value).unwrap();
    }
    answer.send(()).unwrap();
    word.recv().unwrap();
}
