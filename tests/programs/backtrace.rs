//! A backtrace tells the worker's frames, and not those of what runs it.

//= env RUST_BACKTRACE=1
//= code 101
//= main: exits 0
//=   worker: exits 101, err "**panicked at *\nboom\nstack backtrace:\n**: backtrace::worker\n"
//=     "** deploy::spawn::enter::{{closure}}\n *\nnote: Some details are omitted*\n"

use deploy::*;

fn main() {
    init(Resources::default());
    spawn(worker, (), Resources::default()).unwrap();
}

#[inline(never)]
fn worker(_: Pid, (): ()) {
    panic!("boom");
}
