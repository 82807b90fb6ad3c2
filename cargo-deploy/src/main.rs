//! The command `cargo deploy`.

#![forbid(unsafe_code)]

use std::process;

fn main() {
    process::exit(cargo_deploy::run())
}
