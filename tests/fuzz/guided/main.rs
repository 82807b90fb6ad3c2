//! One target under libFuzzer, which follows the coverage: `TARGET` in the environment names it, and the arguments are
//! libFuzzer's. `run` builds it in the way that it needs and starts it.

#![no_main]

use deploy_fuzz::{Target, execute, target};
use libfuzzer_sys::fuzz_target;
use std::{env, sync::LazyLock};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = env::var("TARGET").expect("set TARGET to the name of a target");
    target(&name).unwrap_or_else(|| panic!("no target is called {name:?}"))
});

fuzz_target!(|input: &[u8]| execute(&TARGET, input));
