//! Three workers say hello: what a program looks like on the terminal when more than one process speaks.
//!
//! ```text
//! cargo run -p deploy-examples --example hello
//! cargo run -p deploy-examples --example hello > file      # exactly what the processes printed
//! DEPLOY_FORMAT=json cargo run -p deploy-examples --example hello
//! ```

use deploy::*;

fn main() {
    init(Resources::default());
    for index in 0..3 {
        spawn(worker, index, Resources::default()).expect("Out of resources!");
    }
}

fn worker(_parent: Pid, index: usize) {
    println!("hello worker {index}!");
}
