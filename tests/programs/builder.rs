//! What a `Builder` sets.

//= run alone
//= only alone
//= args local
//= main: exits 0, out "elsewhere: *\n"
//=   worker: exits 0, out "named one of a kind, 512MiB\n"
//=   worker: exits 0, out "named builder::worker, 256MiB\n"
//=   worker: exits 0, out "named xxx*\n"
//=   worker: exits 0, out "named two*words, 256MiB\n"
//= run on a node by its label
//= only cluster
//= args tests=yes
//= main: exits 0, out "elsewhere: *\n"
//=   worker: exits 0, out "named one of a kind, 512MiB\n"
//=   worker: exits 0, out "named builder::worker, 256MiB\n"
//=   worker: exits 0, out "named xxx*\n"
//=   worker: exits 0, out "named two*words, 256MiB\n"
//= run on a node by its name
//= only cluster
//= args head
//= main: exits 0, out "elsewhere: *\n"
//=   worker: exits 0, out "named one of a kind, 512MiB\n"
//=   worker: exits 0, out "named builder::worker, 256MiB\n"
//=   worker: exits 0, out "named xxx*\n"
//=   worker: exits 0, out "named two*words, 256MiB\n"

use deploy::*;
use std::{env, thread};

fn main() {
    init(Resources::default());
    let resources = Resources {
        mem: 512 * Mem::MIB,
        ..Resources::default()
    };
    let builder = || Builder::new().name("one of a kind").resources(resources);
    let node = env::args().nth(1).expect("it is told where it runs");
    builder().node(&node).spawn(worker, ()).unwrap();
    Builder::new().spawn(worker, ()).unwrap();
    // No thread's name may be like these, and no message as long as that.
    for name in [&"x".repeat(1 << 20), "two\0words"] {
        Builder::new().name(name).spawn(worker, ()).unwrap();
    }
    let refused = Builder::new()
        .node("elsewhere")
        .spawn(worker, ())
        .unwrap_err();
    assert!(refused.to_string().contains("elsewhere"), "{refused}");
    println!("elsewhere: {refused}");
}

fn worker(_: Pid, (): ()) {
    let current = thread::current();
    println!("named {}, {}", current.name().unwrap(), resources().mem);
}
