//! Programs that know nothing of us, on a node and here.

use crate::{
    cluster::Cluster,
    person::{code, said},
};
use deploy_sys::cgroup::Tree;
use std::{fs, os::unix::fs::PermissionsExt};

/// Its warden has a keeper by the time that it ends, which is something else.
#[test]
fn a_program_that_knows_nothing_of_us_runs_once() {
    if Tree::create("deploy-tests-ordinary-", &std::process::id().to_string()).is_none() {
        return eprintln!("skipped: without control groups there are no keepers");
    }
    let cluster = Cluster::start();
    for flags in [&[][..], &["--here"]] {
        let file = cluster.person.home().join(format!("ran{}", flags.len()));
        fs::write(&file, "").unwrap();
        // The job may have a user of its own.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let script = format!("echo once >>{}; {UNTIL_KEPT}", file.display());
        let mut command = cluster.run(&cluster.bridge, flags, &["/bin/sh", "-c", &script]);
        let output = command.output().unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "once\n", "{flags:?}");
        assert_eq!(code(output.status), 0, "{flags:?}: {}", said(&output));
    }
}

/// Ends well once its warden has a keeper, and ill if it gets none.
const UNTIL_KEPT: &str = "for try in $(seq 1000); do \
    for child in $(cat /proc/$PPID/task/$PPID/children); do \
    if [ $(cat /proc/$child/comm) = deploy-keeper ]; then exit 0; fi; \
    done; sleep 0.01; done; exit 1";
