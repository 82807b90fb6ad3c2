//! Where a program is executed from, under which name, and what becomes of its file meanwhile.

use crate::new;
use deploy_tests::run::finish;
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub fn a_program_runs_from_anywhere_whatever_becomes_of_its_file() {
    let built = new("places")
        .file("src/main.rs", include_str!("crates/places.rs"))
        .cargo(&["build"], "debug");
    let places = Places::new(&built.program());
    for deed in ["stay", "delete", "replace", "touch"] {
        for name in [&b"plain"[..], b"with spaces", b"not \xff UTF-8"] {
            check(Command::new(places.copy(name)).arg(deed));
        }
    }
    let link = places.directory.join("link");
    symlink(places.copy(b"plain"), &link).unwrap();
    check(Command::new(link).arg("stay"));
    check(
        Command::new(places.copy(b"plain"))
            .arg0("other")
            .arg("stay"),
    );
    for (debugger, wrap) in [
        ("env", "env WRAPPED=1"),
        ("strace", "strace -f -qq -o /dev/null"),
        (
            "gdb",
            "gdb -q -batch -ex 'set logging file /dev/null' -ex 'set logging redirect on' -ex 'set logging enabled on' -ex run --args",
        ),
        ("valgrind", "valgrind -q --error-exitcode=9"),
    ] {
        if !is_installed(debugger) {
            println!("skipped: no {debugger} here");
            continue;
        }
        for worker in ["", "worker"] {
            let mut command = Command::new(places.copy(b"with spaces"));
            command
                .env("DEPLOY_WRAP", wrap)
                .env("DEPLOY_WRAP_WORKER", worker);
            check(command.arg("stay"));
        }
    }
    // What is wrapped is executed by name, so it has to be named in another way when the name is gone.
    let mut command = Command::new(places.copy(b"plain"));
    command.envs([("DEPLOY_WRAP", "env"), ("DEPLOY_WRAP_WORKER", "worker")]);
    check(command.arg("delete"));
    fs::remove_dir_all(&places.directory).unwrap();
}

fn check(command: &mut Command) {
    let finished = finish(command, b"").unwrap();
    assert_eq!(
        (finished.code, finished.out_text().as_str()),
        (0, "1\n2\n3\n"),
        "{command:?}:\n{}",
        finished.err_text()
    );
}

/// A directory with a program under several names.
struct Places {
    program: PathBuf,
    directory: PathBuf,
}

impl Places {
    fn new(program: &Path) -> Places {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("places of a program");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        Places {
            program: program.to_path_buf(),
            directory,
        }
    }

    fn copy(&self, name: &[u8]) -> PathBuf {
        let copy = self.directory.join(OsStr::from_bytes(name));
        let _ = fs::remove_file(&copy);
        // By a process of its own: what another thread of this one starts now would hold the file open for writing for
        // a moment, and nothing that is can be executed.
        let mut command = Command::new("cp");
        assert!(
            command
                .args([&self.program, &copy])
                .status()
                .unwrap()
                .success()
        );
        copy
    }
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}
