//! The project's own commands, which people install: built as cargo builds them, before their first use.
//!
//! Deliberately absent: the test programs, whose paths cargo tells the tests of their package itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where `fabric` is.
pub fn fabric() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("fabric"))
}

/// Where `cargo-deploy` is, which cargo calls as `cargo deploy`.
pub fn cargo_deploy() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("cargo-deploy"))
}

/// Cargo, as this test was built with it.
pub fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    forget_package(&mut command);
    command
}

/// Lets a command call cargo though its home is somebody else's.
pub fn give_toolchain(command: &mut Command) -> &mut Command {
    let own = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let set = env::var_os(name).map(PathBuf::from);
        command.env(name, set.unwrap_or_else(|| own.join(below)));
    }
    forget_package(command);
    command
}

/// Takes away what cargo says of a test's package to the test. The build script of a dependency asks for the same names, and
/// whenever they have changed since it ran, it and all that depends on it would be built anew.
fn forget_package(command: &mut Command) {
    let is_of_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
}

/// Builds a command in the way that this test or program was built, and says where it is.
fn build(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a program has a file");
    // A test lies in PROFILE/deps, a program in PROFILE.
    let mut above = own.ancestors().skip(1);
    let profile = above.find(|directory| !directory.ends_with("deps"));
    let profile = profile.expect("cargo builds into a directory");
    let target = profile.parent().expect("and that in the target directory");
    let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("{} is no profile", profile.display()),
    };
    // Whoever waits for minutes, or for another cargo, is to know for what.
    eprintln!("cargo build --bin {name}");
    let output = cargo()
        .args(["build", "--offline", "--quiet", "--bin", name])
        .args(["--profile", profile_name])
        // With the features that `cargo test --workspace` chooses, which has built it so: the packages are chosen from all of
        // them, and the tests are among them. This one is the smallest.
        .args(["--workspace", "--test", "connection"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .expect("cargo is there, since it runs the test");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} does not build:\n{why}");
    profile.join(name)
}
