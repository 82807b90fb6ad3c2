//! The command `cargo deploy`.

#![forbid(unsafe_code)]

use deploy_sys::{glibc, tell};
use deploy_wire::code::OwnCode;
use std::process;

fn main() {
    // The warden here is this program, and so is its keeper.
    if let Err(why) = deploy_monitor::keep_if_asked() {
        tell!("cargo deploy: {why}");
        process::exit(OwnCode::Setting.number())
    }
    glibc::keep_freed_memory();
    process::exit(cargo_deploy::run())
}
