//! What a crate of ours holds when it is published: what it is, and on what terms it may be used.
//!
//! Deliberately absent: publishing.

#![expect(clippy::unwrap_used, reason = "a test may")]

use deploy_tests::{commands, run::finish};

fn cargo(words: &[&str]) -> String {
    let mut cargo = commands::cargo();
    let finished = finish(cargo.args(words).arg("--offline"), b"").unwrap();
    assert_eq!(finished.code, 0, "{words:?}: {finished:?}");
    finished.out_text()
}

#[test]
fn each_package_brings_its_licence_and_its_readme() {
    let all = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let is_published = |package: &&serde_json::Value| package["publish"].is_null();
    let mut names = Vec::new();
    for package in all["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(is_published)
    {
        let name = package["name"].as_str().unwrap();
        assert!(package["description"].is_string(), "{name}");
        assert_eq!(package["license"], "Apache-2.0", "{name}");
        let files = cargo(&["package", "--list", "--allow-dirty", "-p", name]);
        for needed in ["LICENSE.txt", "README.md"] {
            assert!(files.lines().any(|file| file == needed), "{name}: {files}");
        }
        names.push(name);
    }
    for command in ["deploy", "fabric", "cargo-deploy"] {
        assert!(names.contains(&command), "{names:?}");
    }
}
