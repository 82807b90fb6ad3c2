//! `deploy.toml`, and where programs run if nobody says.

use crate::{
    bridge::Bridge,
    person::{BINARY, Person, said, stderr},
};
use deploy_wire::{
    exit::{End, ExitStatus},
    resources::Mem,
};
use std::{fs, process::Output};

/// A bridge that runs what it is sent in no time, and looks at what was asked.
fn bridge(is_set: bool) -> Bridge {
    Bridge::start(move |mut client| {
        let (request, _) = client.take_program();
        let value = |name: &[u8]| {
            let found = request.env.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let mem = request.resources.map(|resources| resources.mem);
        match is_set {
            true => {
                assert_eq!(value(b"A").as_deref(), Some("file"));
                assert_eq!(value(b"B").as_deref(), Some("flag"));
                assert_eq!(mem, Some(2 * Mem::GIB));
            }
            false => assert_eq!((mem, value(b"A")), (None, None)),
        }
        client.born(&request);
        client.died(ExitStatus::new(End::Code(0)));
    })
}

/// Runs this in a directory below the person's home, where there is this `deploy.toml`.
fn deploy(person: &Person, toml: &str, words: &[&str]) -> Output {
    let directory = person.home().join("hello/src");
    fs::create_dir_all(&directory).unwrap();
    match toml {
        "" => drop(fs::remove_file(person.home().join("hello/deploy.toml"))),
        toml => fs::write(person.home().join("hello/deploy.toml"), toml).unwrap(),
    }
    person
        .deploy(words)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn what_is_not_said_is_as_the_file_says_and_the_place_is_named() {
    let bridge = bridge(true);
    let person = Person::of(&bridge);
    let address = bridge.address.to_string();
    let toml = format!(
        "target = {address:?}\nenv = [\"A=file\", \"B=file\", \"DEPLOY_TEST_UNSET\"]\nmem = \"2GiB\"\nformat = \"fold\"\n"
    );
    let words = ["--exe", BINARY, "--env", "B=flag"];
    let output = deploy(&person, &toml, &words);
    assert!(output.status.success(), "{}", said(&output));
    let notes = stderr(&output);
    let first = notes.lines().next().unwrap();
    let place = format!("cargo deploy: on {address}, as ");
    assert!(
        first.starts_with(&place) && first.ends_with("hello/deploy.toml says"),
        "{notes}"
    );
    assert!(notes.contains("[0] exited: 0"), "{notes}");
    // Cargo calls the runner in the directory of the package.
    let words = ["runner", "--env", "B=flag", "--", BINARY];
    let output = deploy(&person, &toml, &words);
    assert!(output.status.success(), "{}", said(&output));
    // What is not set here, and was to be passed on, is named; what only the file names need not be.
    assert!(!stderr(&output).contains("is not set here"));
    let words = [
        "--exe",
        BINARY,
        "--env",
        "B=flag",
        "--env",
        "DEPLOY_TEST_UNSET",
    ];
    let output = deploy(&person, &toml, &words);
    assert!(output.status.success(), "{}", said(&output));
    let unset = "cargo deploy: DEPLOY_TEST_UNSET is not set here";
    assert!(stderr(&output).contains(unset), "{}", said(&output));
    // What is said wins.
    let words = ["nowhere", "--exe", BINARY];
    let output = deploy(&person, &toml, &words);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("`nowhere`"), "{}", said(&output));
}

#[test]
fn without_a_file_the_only_cluster_is_meant() {
    let bridge = bridge(false);
    let person = Person::of(&bridge);
    let output = deploy(&person, "", &["--exe", BINARY]);
    assert!(output.status.success(), "{}", said(&output));
    let place = format!("cargo deploy: on {}, the only cluster", bridge.address);
    assert!(stderr(&output).starts_with(&place), "{}", said(&output));
    let output = deploy(&Person::new(), "", &["--exe", BINARY]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("you have not logged in"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_key_that_is_unknown_is_told_with_its_line() {
    let person = Person::new();
    let output = deploy(
        &person,
        "mem = \"1GiB\"\ntargets = \"lab\"\n",
        &["--exe", BINARY],
    );
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let why = stderr(&output);
    assert!(
        why.contains("deploy.toml") && why.contains("line 2"),
        "{why}"
    );
    assert!(why.contains("unknown field `targets`"), "{why}");
}

#[test]
fn what_the_file_says_and_cannot_be_is_told_with_the_file() {
    let person = Person::new();
    for words in [&["--exe", BINARY][..], &["ps"]] {
        let output = deploy(&person, "target = \"nowhere\"\n", words);
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        let why = stderr(&output);
        assert!(why.contains("no cluster saved as `nowhere`"), "{why}");
        assert!(why.ends_with("hello/deploy.toml says)\n"), "{why}");
    }
    let bridge = Bridge::start(|_| panic!("nothing is to be run"));
    let person = Person::of(&bridge);
    let check = |path: &str, expected: &str| {
        let output = deploy(
            &person,
            &format!("files = [{path:?}]\n"),
            &["--exe", BINARY],
        );
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        let why = stderr(&output);
        let begins = "cargo deploy: `files` of ";
        let ends = format!("hello/deploy.toml cannot be taken along: {path}: {expected}");
        assert!(why.contains(begins) && why.contains(&ends), "{why}");
    };
    check("none", "No such file");
    check("../other", "it lies outside of ");
}
