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

/// Where the toolchain is, for somebody whose home is not this one's.
pub fn toolchain() -> [(&'static str, PathBuf); 2] {
    [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")].map(|(name, below)| {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(below);
        (name, env::var_os(name).map_or_else(home, PathBuf::from))
    })
}

/// Builds the package of a command in the way that this test or program was built, and says where the command is.
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
    eprintln!("cargo build --package {name}");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--package", name])
        .args(["--profile", profile_name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .expect("cargo is there, since it runs the test");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} does not build:\n{why}");
    profile.join(name)
}
