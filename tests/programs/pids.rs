//! Pids: seven hexadecimal digits, all different, never reused, ordered, hashable, and the same wherever they go. Channels
//! know whose they are, and may be shared by threads.

//= main: exits 0, out "20 pids, all different, each who it says\n"
//=   worker x20: exits 0

use deploy::*;
use std::collections::{BTreeSet, HashSet};

/// What threads may share and keep.
const fn is_shared<T: Send + Sync + 'static>() {}
const _: () = is_shared::<Pid>();
const _: () = is_shared::<Sender<u8>>();
const _: () = is_shared::<Receiver<u8>>();

fn main() {
    init(Resources::default());
    let mut seen = HashSet::from([pid()]);
    for _ in 0..20 {
        let child = spawn(worker, pid(), Resources::default()).unwrap();
        let receiver = Receiver::new(child);
        let sender = Sender::<u8>::new(child);
        assert_eq!((receiver.pid(), sender.pid()), (child, child));
        assert_eq!(format!("{child:?}"), format!("Pid({child})"));
        let itself: Pid = receiver.recv().unwrap();
        assert_eq!(child, itself);
        assert!(child.wait().unwrap().success());
        assert!(seen.insert(child), "{child} was there before");
    }
    let texts: BTreeSet<String> = seen.iter().map(Pid::to_string).collect();
    assert_eq!(texts.len(), 21);
    for text in &texts {
        let digits = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(digits && text.len() == 7, "{text}");
    }
    assert_eq!(seen.iter().copied().collect::<BTreeSet<Pid>>().len(), 21);
    println!("20 pids, all different, each who it says");
}

fn worker(above: Pid, main: Pid) {
    assert_eq!((above, parent()), (main, Some(main)));
    Sender::new(above).send(pid()).unwrap();
}
