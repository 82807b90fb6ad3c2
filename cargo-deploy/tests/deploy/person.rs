//! A person with a home directory of their own, who calls `cargo deploy`.

use crate::bridge::Bridge;
use deploy_sys::random;
use deploy_trust::subject::Role;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

/// The directory goes when they do.
pub struct Person {
    home: PathBuf,
}

impl Person {
    /// Somebody who knows no cluster.
    pub fn new() -> Person {
        let home = env::temp_dir().join(format!("deploy-home-{:032x}", random::bits().unwrap()));
        fs::create_dir(&home).unwrap();
        Person { home }
    }

    /// Somebody who has logged in.
    pub fn of(bridge: &Bridge) -> Person {
        let person = Person::new();
        let token = bridge.token(Role::User);
        let output = person.deploy(&["login", &token]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        person
    }

    /// `cargo deploy WORDS`, as cargo calls it, with nothing on standard input.
    pub fn deploy(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("deploy").args(words).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", &self.home);
        command.env("XDG_CACHE_HOME", self.home.join("cache"));
        for name in [
            "DEPLOY_FORMAT",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "CARGO_BUILD_TARGET",
            "RUST_BACKTRACE",
            "RUST_LIB_BACKTRACE",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// `cargo deploy ADDRESS --exe PROGRAM WORDS`, with a program that no scripted bridge runs.
    pub fn run(&self, bridge: &Bridge, words: &[&str]) -> Command {
        let address = bridge.address.to_string();
        let mut command = self.deploy(&[&address, "--exe", BINARY]);
        command.args(words);
        command
    }

    /// The same command in a shell that says this first.
    pub fn limited(&self, command: &Command, first: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{first}; exec \"$@\""), "sh"]);
        shell
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }

    pub fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Both streams, for the message of a failed test.
pub fn said(output: &Output) -> String {
    format!("{}{}", stderr(output), stdout(output))
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The code as a shell shows it.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// The program under test, which also serves as the program that is sent.
pub const BINARY: &str = env!("CARGO_BIN_EXE_cargo-deploy");
