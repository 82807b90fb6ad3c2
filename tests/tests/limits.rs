//! Programs that run into a limit of the machine: a sentence names it, who lives is not hurt, and nothing hangs.

use deploy_tests::run::{Finished, finish};
use nix::unistd::geteuid;
use std::{fs, path::PathBuf, process::Command};

const LIMITS: &str = env!("CARGO_BIN_EXE_limits");
const TALK: &str = env!("CARGO_BIN_EXE_talk");

/// Runs a script in which `$LIMITS` and `$TALK` are programs and `$GROUP` is the control group, if any, and checks that
/// nothing is left.
fn sh(group: Option<&PidsGroup>, script: &str) -> Finished {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("LIMITS", LIMITS)
        .env("TALK", TALK)
        .env("RUST_BACKTRACE", "0")
        .env_remove("DEPLOY_FORMAT");
    if let Some(group) = group {
        command.env("GROUP", &group.0);
    }
    finish(&mut command, b"").unwrap()
}

/// A control group that counts processes and threads, for as long as it is held.
struct PidsGroup(PathBuf);

impl PidsGroup {
    /// None, and a word why, where this user may not make one.
    fn new(name: &str) -> Option<PidsGroup> {
        let name = format!("deploy-test-{name}-{}", std::process::id());
        // Of the first version, or of the second where its controllers are handed down from the root.
        for root in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"] {
            let group = PathBuf::from(root).join(&name);
            if !geteuid().is_root() || fs::create_dir(&group).is_err() {
                continue;
            }
            let group = PidsGroup(group);
            if group.0.join("pids.max").exists() {
                return Some(group);
            }
        }
        eprintln!("skipped: no control group for a limit on processes (as root, with pids)");
        None
    }

    fn set_max(&self, max: u32) {
        fs::write(self.0.join("pids.max"), max.to_string()).unwrap();
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        // What a failed test left in it keeps it; that failure is told already.
        let _ = fs::remove_dir(&self.0);
    }
}

const PROCESSES: &str =
    "raise the limit on processes and threads (ulimit -u, or pids.max of the control group)";

/// Whether a run of `$LIMITS workers 100` met the limit, and went on.
fn assert_met(finished: &Finished, told: &str) {
    let (out, err) = (finished.out_text(), finished.err_text());
    let lines: Vec<&str> = out.lines().collect();
    let [limit, after] = lines[..] else {
        panic!("{out}{err}");
    };
    assert!(limit.contains(told), "{out}{err}");
    let answered: u32 = after.split(' ').next().unwrap().parse().unwrap();
    assert!(answered > 4 && answered < 100, "{out}{err}");
    assert!(after.ends_with("answered, and one more"), "{out}{err}");
    // A newborn for which not all was there any more has said so and ended with 70.
    assert!([0, 70].contains(&finished.code), "{finished:?}");
    assert_eq!(finished.code == 70, err.contains(told), "{err}");
}

#[test]
fn no_more_processes() {
    let Some(group) = PidsGroup::new("processes") else {
        return;
    };
    group.set_max(40);
    let finished = sh(
        Some(&group),
        "echo $$ > $GROUP/cgroup.procs; $LIMITS workers 100",
    );
    assert_met(&finished, PROCESSES);
}

/// Wherever it is met first: by the shell's own child, its monitor's threads, the initial process, its reactor, ..
#[test]
fn too_few_processes_to_begin() {
    let Some(group) = PidsGroup::new("begin") else {
        return;
    };
    let mut failed = 0;
    for max in 1..8 {
        group.set_max(max);
        let finished = sh(
            Some(&group),
            "echo $$ > $GROUP/cgroup.procs; exec $TALK say one",
        );
        if finished.code == 0 {
            assert_eq!(finished.out_text(), "one\n");
            continue;
        }
        failed += 1;
        let err = finished.err_text();
        assert!(err.contains(PROCESSES), "{max}: {err}");
        assert!([70, 71].contains(&finished.code), "{finished:?}");
    }
    assert!(failed > 0, "one alone is not enough");
}

#[test]
fn no_more_descriptors_in_the_first_process() {
    let finished = sh(None, "ulimit -n 64; $LIMITS workers 100");
    assert_met(
        &finished,
        "raise the hard limit on open files (ulimit -Hn), which is 64",
    );
}

#[test]
fn no_more_descriptors_in_the_initial_process() {
    let finished = sh(None, "ulimit -n 64; $LIMITS files 100");
    let out = finished.out_text();
    assert!(
        out.contains("no descriptor left for the connection: raise the limit on open files"),
        "{out}"
    );
    assert!(out.ends_with("all is well again\n"), "{out}");
}

#[test]
fn too_few_descriptors_to_begin() {
    for limit in [5, 8, 10, 14, 18] {
        let finished = sh(None, &format!("ulimit -n {limit}; exec $TALK say one"));
        let err = finished.err_text();
        assert!([70, 71].contains(&finished.code), "{limit}: {finished:?}");
        assert!(
            err.contains("limit on open files (ulimit"),
            "{limit}: {err}"
        );
    }
}

/// A worker's stack is no reason to fail, and what is one says so.
#[test]
fn too_little_memory() {
    let finished = sh(
        None,
        "ulimit -s unlimited; ulimit -v 800000; $LIMITS workers 5",
    );
    let (out, err) = (finished.out_text(), finished.err_text());
    assert_eq!(out, "5 workers\n5 answered, and one more\n", "{err}");
    // Three of four values fit.
    let finished = sh(None, "ulimit -v 400000; $LIMITS keeps 110000000");
    let (out, err) = (finished.out_text(), finished.err_text());
    let lines: Vec<&str> = out.lines().collect();
    let [error, "and the last"] = lines[..] else {
        panic!("{out}{err}");
    };
    let why = "raise the limit on it (ulimit -v, which is 400000)";
    assert!(error.contains("for a value of 110000000 bytes"), "{out}");
    assert!(error.ends_with(why), "{out}");
}

/// Those in memory count, too, and whoever makes one that is too long gets a signal of which programs die.
#[test]
fn too_short_files() {
    let finished = sh(None, "ulimit -f 100; $LIMITS turns 20000");
    assert_eq!(finished.out_text(), "20000 turns\n", "{finished:?}");
    let finished = sh(None, "ulimit -f 100; $LIMITS argument 1000000");
    let out = finished.out_text();
    let why = "raise the limit on the size of files, also of those in memory (ulimit -f)\n";
    assert!(out.ends_with(why), "{finished:?}");
    let finished = sh(None, "ulimit -f 4000; $LIMITS argument 1000000");
    assert_eq!(finished.out_text(), "1000000 bytes\n", "{finished:?}");
}
