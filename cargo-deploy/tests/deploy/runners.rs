//! `cargo deploy runner`, as cargo calls it: an ordinary program shows itself as it would here.

use crate::{
    bridge::Bridge,
    person::{BINARY, Person, said, stderr, stdout},
};
use deploy_wire::{
    event::Stream,
    exit::{End, ExitStatus, Reason},
    resources::Mem,
};

#[test]
fn an_ordinary_program_is_as_at_home() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        let words: Vec<_> = request.args.iter().map(|word| word.as_slice()).collect();
        assert_eq!(words, [&b"sh"[..], b"-c", b"exit 3"]);
        let value = |name: &str| {
            let mut all = request.env.iter();
            let found = all.find(|(other, _)| other == name.as_bytes());
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(value("CARGO_PKG_NAME").as_deref(), Some("one"));
        assert_eq!(value("CARGO_MANIFEST_DIR").as_deref(), Some("."));
        assert_eq!(value("RUST_LOG").as_deref(), Some("debug"));
        assert_eq!(value("A").as_deref(), Some("b"));
        assert_eq!(value("SECRET"), None);
        assert_eq!(value("CLICOLOR_FORCE"), None, "it goes to a pipe");
        assert_eq!(request.resources.unwrap().mem, 2 * Mem::GIB);
        client.born(&request);
        client.wrote(Stream::Stdout, b"half a li");
        client.wrote(Stream::Stderr, b"\x1b[31moh\n");
        client.died(ExitStatus::new(End::Code(3)));
    });
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let words = [
        "runner", &target, "--mem", "2GiB", "--env", "A=b", "--", "/bin/sh", "-c", "exit 3",
    ];
    let output = person
        .deploy(&words)
        .env("CARGO_PKG_NAME", "one")
        .env("CARGO_MANIFEST_DIR", "/home/somebody/one")
        .env("RUST_LOG", "debug")
        .env("SECRET", "of the laptop")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(stdout(&output), "half a li");
    assert_eq!(stderr(&output), "\x1b[31moh\n");
}

#[test]
fn what_no_program_does_to_itself_is_told() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.died(ExitStatus::new(End::Signal(9)).because(Reason::NodeLost));
    });
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let output = person
        .deploy(&["runner", &target, "--", "/bin/sh"])
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
    assert_eq!(stderr(&output), "exited: SIGKILL (lost with its node)\n");
}

#[test]
fn a_program_with_deploy_in_it_is_shown_as_one() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.died(ExitStatus::new(End::Code(0)));
    });
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    // This one names the variable by which such programs know themselves.
    let output = person.deploy(&["runner", &target, "--", BINARY]).output();
    let output = output.unwrap();
    assert!(stderr(&output).contains("exited: 0"), "{}", said(&output));
}

#[test]
fn here_it_is_only_started() {
    let person = Person::new();
    let words = [
        "runner",
        "local",
        "--",
        "/bin/sh",
        "-c",
        "echo here; exit 4",
    ];
    let output = person.deploy(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "here\n");
}
