//! A program with an allocator of its own, which says how much it was used.

use deploy::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    init(Resources::default());
    let pid = spawn(worker, "text".to_string(), Resources::default()).unwrap();
    let used = Receiver::<bool>::new(pid).recv().unwrap();
    println!("used there: {used}, here: {}", COUNT.load(Ordering::Relaxed) > 0);
}

fn worker(parent: Pid, _: String) {
    let used = COUNT.load(Ordering::Relaxed) > 0;
    Sender::<bool>::new(parent).send(used).unwrap();
}
