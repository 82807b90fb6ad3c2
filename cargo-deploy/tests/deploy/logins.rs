//! From a token to a saved cluster, and what is said where there is none.

use crate::{
    bridge::{Bridge, Client},
    person::{Person, said, stderr, stdout},
};
use deploy_trust::subject::Role;
use deploy_wire::client::{Answer, Ask};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

fn empty_cluster() -> Bridge {
    Bridge::start(has_no_nodes)
}

fn has_no_nodes(mut client: Client) {
    while let Some(ask) = client.hear() {
        match ask {
            Ask::Hello { .. } => client.greet(),
            _ => client.tell(&Answer::Nodes(Vec::new())),
        }
    }
}

#[test]
fn whoever_logged_in_is_known_by_address_name_and_alone() {
    let bridge = empty_cluster();
    let person = Person::new();
    let mut login = person.deploy(&["login", "-", "--name", "lab"]);
    let mut child = login
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let token = bridge.token(Role::User);
    writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        stdout(&output).contains("cargo deploy lab --release"),
        "{}",
        said(&output)
    );
    let again = person.deploy(&["login", &token]).output().unwrap();
    let who = |text: String| text.lines().next().map(str::to_string);
    assert_eq!(who(stdout(&again)), who(stdout(&output)));
    let address = bridge.address.to_string();
    let host = format!("localhost:{}", bridge.address.port());
    for target in [&[][..], &["lab"], &[&*address], &[&*host]] {
        let words = [&["nodes"], target].concat();
        let output = person.deploy(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
    let saved = person.home().join("deploy/clusters/lab");
    assert_eq!(
        fs::metadata(saved).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

/// It could never be meant, or hide what it means.
#[test]
fn a_name_that_means_something_else_is_refused_before_anything_is_joined() {
    let bridge = Bridge::start(|_| panic!("nobody asks to be let in"));
    let person = Person::new();
    for name in ["ps", "local"] {
        let login = ["login", &bridge.token(Role::User), "--name", name];
        let output = person.deploy(&login).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains("take another name"), "{told}");
        assert!(!person.home().join("deploy").exists());
    }
}

/// As behind a tunnel: the address in the token leads nowhere from here.
#[test]
fn a_cluster_may_be_reached_by_another_address_than_its_own() {
    let bridge = empty_cluster();
    let person = Person::new();
    let token = bridge.token_with(Role::User, "nobody.invalid:8888");
    let output = person.deploy(&["login", &token]).output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    let address = bridge.address.to_string();
    let login = ["login", &token, "--at", &address];
    let output = person.deploy(&login).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        stdout(&output).contains(&format!("cargo deploy {address}")),
        "{}",
        said(&output)
    );
    let output = person.deploy(&["nodes"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// Who goes through a tunnel today is who started jobs without one yesterday.
#[test]
fn whoever_logs_in_at_another_address_is_the_same_user() {
    let bridge = empty_cluster();
    let person = Person::new();
    let token = bridge.token(Role::User);
    let who = |words: &[&str]| {
        let output = person.deploy(words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let line = stdout(&output).lines().next().unwrap().to_string();
        line.split_once(" as ").unwrap().1.to_string()
    };
    let first = who(&["login", &token]);
    let host = format!("localhost:{}", bridge.address.port());
    assert_eq!(who(&["login", &token, "--at", &host]), first);
    assert_eq!(who(&["login", &token, "--at", &host]), first);
    let output = person.deploy(&["nodes", &host]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let user = fs::read_dir(person.home().join("deploy/clusters")).unwrap();
    assert_eq!(user.count(), 2);
}

#[test]
fn a_login_at_the_port_for_nodes_is_refused_and_leaves_nothing() {
    let nodes = Bridge::start_for_nodes(|_| panic!("no user is let in"));
    let (address, token) = (nodes.address.to_string(), nodes.token(Role::User));
    let person = Person::new();
    let check = |expected: &str| {
        let words = ["login", &token, "--at", &address, "--name", "lab"];
        let output = person.deploy(&words).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(75), "{told}");
        assert!(told.contains(expected), "{told}");
        let left = fs::read_dir(person.home().join("deploy/clusters")).unwrap();
        assert_eq!(left.count(), 0);
    };
    check("is this the port for nodes?");
    drop(nodes);
    check(&address);
}

#[test]
fn whoever_logged_out_is_a_stranger() {
    let (one, other) = (empty_cluster(), empty_cluster());
    let person = Person::of(&one);
    let login = ["login", &other.token(Role::User), "--name", "lab"];
    assert!(person.deploy(&login).output().unwrap().status.success());
    let check = |words: &[&str], code: i32, expected: &str| {
        let output = person.deploy(words).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(expected), "{words:?}: {told}");
    };
    check(&["nodes"], 78, "say which cluster");
    check(&["logout", "elsewhere"], 78, "not logged in to `elsewhere`");
    let address = other.address.to_string();
    check(&["logout", "lab"], 0, &format!("{address}, lab"));
    check(&["nodes"], 0, "NODE");
    check(&["nodes", "lab"], 78, "no cluster saved as `lab`");
    check(&["nodes", &address], 78, "you have not logged in");
    check(&["logout", &one.address.to_string()], 0, "Forgotten");
    check(&["nodes"], 78, "type `cargo deploy login <USER TOKEN>`");
}

#[test]
fn what_is_missing_is_said() {
    let bridge = empty_cluster();
    let check = |person: &Person, words: &[&str], code: i32, expected: &str| {
        let output = person.deploy(words).output().unwrap();
        assert!(
            stderr(&output).contains(expected),
            "{words:?}: {}",
            said(&output)
        );
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            said(&output)
        );
    };
    let stranger = Person::new();
    let how = "type `cargo deploy login <USER TOKEN>`";
    check(&stranger, &["nodes"], 78, how);
    check(&stranger, &["10.0.0.1:8888"], 78, how);
    check(
        &stranger,
        &["lab", "--release"],
        78,
        "no cluster saved as `lab`",
    );
    check(&stranger, &["psx"], 78, "or is `cargo deploy ps` meant?");
    let argument = "stands behind `--`, as in `-- two`";
    check(&stranger, &["--bin", "one", "two"], 78, argument);
    let two_jobs = "a command takes one, and behind it the cluster";
    check(&stranger, &["kill", "3fecd01a", "9ab0c12d"], 78, two_jobs);
    check(
        &stranger,
        &["login", "nonsense"],
        78,
        "this is no join token",
    );
    check(
        &stranger,
        &["login", &bridge.token(Role::Node)],
        78,
        "use it with `fabric join`",
    );
    check(&stranger, &["--no-such-flag"], 78, "--no-such-flag");
    check(&stranger, &["--help"], 0, "");
    let person = Person::of(&bridge);
    drop(bridge);
    check(&person, &["nodes"], 75, "is `fabric master` running there?");
}

#[test]
fn a_cluster_without_authentication_takes_whoever_asks() {
    let bridge = Bridge::start_insecure(has_no_nodes);
    let person = Person::new();
    let host = format!("localhost:{}", bridge.address.port());
    let first = person.deploy(&["nodes", &host]).output().unwrap();
    assert!(first.status.success(), "{}", said(&first));
    assert!(
        stderr(&first).contains("everybody on its machine can use it"),
        "{}",
        said(&first)
    );
    // From then on it is known.
    for target in [&[][..], &[&*bridge.address.to_string()], &[&*host]] {
        let words = [&["nodes"], target].concat();
        let again = person.deploy(&words).output().unwrap();
        assert!(again.status.success(), "{words:?}: {}", said(&again));
        assert_eq!(stderr(&again), "");
    }
}

#[test]
fn a_cluster_with_authentication_asks_for_a_login_on_the_loopback_too() {
    let bridge = empty_cluster();
    let insecure = Bridge::start_insecure(has_no_nodes);
    let person = Person::new();
    let check = |address: &str, code: i32, expected: &str| {
        let output = person.deploy(&["nodes", address]).output().unwrap();
        assert!(
            stderr(&output).contains(expected),
            "{address}: {}",
            said(&output)
        );
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    };
    let address = bridge.address.to_string();
    let has_not = format!("you have not logged in to {address}: ask");
    check(&address, 78, &has_not);
    check(&insecure.address.to_string(), 0, "");
    // What is saved helps whoever has mistaken the port.
    check(&address, 78, &format!("(saved: {})", insecure.address));
    drop(bridge);
    check(&address, 75, &format!("nothing listens at {address}"));
}

#[test]
fn a_login_that_cannot_be_kept_is_not_asked_for() {
    let bridge = empty_cluster();
    let token = bridge.token(Role::User);
    drop(bridge); // Whoever asked all the same would hear that nobody is there.
    let person = Person::new();
    let check = |configured: Option<&str>, words: &[&str], expected: &str| {
        let mut command = person.deploy(words);
        match configured {
            Some(path) => command.env("XDG_CONFIG_HOME", path),
            None => command.env_remove("XDG_CONFIG_HOME").env_remove("HOME"),
        };
        let output = command.output().unwrap();
        assert!(stderr(&output).contains(expected), "{}", said(&output));
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    };
    check(
        Some("/dev/null"),
        &["login", &token],
        "cannot use `/dev/null/",
    );
    check(None, &["login", &token], "set HOME");
    check(None, &["nodes"], "set HOME");
}

#[test]
fn only_what_was_saved_is_said_to_be() {
    let bridge = empty_cluster();
    let person = Person::of(&bridge);
    // As a login leaves it that could not be written to the end.
    let unfinished = person.home().join("deploy/clusters/lab");
    fs::create_dir(&unfinished).unwrap();
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700)).unwrap();
    let output = person.deploy(&["nodes", "10.0.0.9"]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("an address has a port"), "{told}");
    assert!(
        told.contains(&format!("(saved: {})", bridge.address)),
        "{told}"
    );
}
