//! A real master with a node on the loopback, and a person of its own.

use crate::person::{Person, said, stdout};
use deploy_sys::random;
use deploy_tests::{commands, daemon::Daemon};
use nix::sys::signal::Signal;
use std::{
    env, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

/// A master with its own node, and somebody who has logged in.
pub struct Cluster {
    pub master: Option<Daemon>,
    pub bridge: String,
    pub person: Person,
    pub state: PathBuf,
}

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::start_by(|fabric, _| fabric)
    }

    /// The same, but that the command is what `wrap` makes of it and of the state directory.
    pub fn start_by(wrap: impl FnOnce(Command, &Path) -> Command) -> Cluster {
        let person = Person::new();
        let state = env::temp_dir().join(format!("deploy-state-{:032x}", random::bits().unwrap()));
        fs::DirBuilder::new().mode(0o711).create(&state).unwrap();
        let [a, b, c, _] = (random::bits().unwrap() as u32).to_le_bytes();
        let host = format!("127.{a}.{b}.{}", 1 + c % 254);
        let bridge = format!("{host}:8888");
        let mut command = Command::new(commands::fabric());
        let words = format!("master {host}:9999 1GiB 1 bridge {bridge} --state");
        command.args(words.split(' ')).arg(&state);
        let mut master = Daemon::start(&mut wrap(command, &state));
        let login = master.expect("cargo deploy login ");
        master.expect(" is up");
        let token = login.split(' ').next_back().unwrap();
        let output = person.deploy(&["login", token]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        Cluster {
            master: Some(master),
            bridge,
            person,
            state,
        }
    }

    /// `cargo deploy` with these words, of a program of the system, where an address leads to.
    pub fn run(&self, address: &str, flags: &[&str], program: &[&str]) -> Command {
        let (path, args) = program.split_first().unwrap();
        let mut command = self.person.deploy(&[address, "-q", "--exe", path]);
        command.args(flags).arg("--").args(args);
        command
    }

    /// A job that was started and left; its name.
    pub fn detach(&self, program: &[&str]) -> String {
        let mut command = self.run(&self.bridge, &["--detach"], program);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        stdout(&output).trim().to_string()
    }

    pub fn deploy(&self, words: &[&str]) -> Output {
        self.person.deploy(words).output().unwrap()
    }

    /// What the audit log says this person has done, and with which job.
    pub fn audited(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.state.join("audit.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .map(|line: serde_json::Value| {
                let word = |name: &str| line[name].as_str().unwrap_or_default().to_string();
                assert!(
                    word("who").starts_with("user ") && word("from").starts_with("127."),
                    "{line}"
                );
                (word("event"), word("job"))
            })
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(master) = self.master.take() {
            master.signal(Signal::SIGTERM);
            let (status, said) = master.end();
            if !thread::panicking() {
                assert!(status.success(), "{said}");
            }
        }
        let _ = fs::remove_dir_all(&self.state);
    }
}
