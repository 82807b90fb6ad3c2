//! The command `cargo deploy`.

#![forbid(unsafe_code)]

use deploy_sys::glibc;
use std::process;

fn main() {
    glibc::keep_freed_memory();
    process::exit(cargo_deploy::run())
}
