//! Which program `cargo run` would run, as far as that is plain. Where it is not, cargo is asked (`compile.rs`).
//!
//! Deliberately absent: cargo's errors. They are cargo's to tell.

use crate::flags::CargoFlags;
use serde_json::Value;
use std::process::{Command, Stdio};

/// What is to be built, and then run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The flags name one binary or example.
    Named(Program),
    /// The packages have one binary that it must be.
    Only(Program),
    /// None, or several, or something that only cargo understands.
    Unclear,
}

/// A target of cargo's that can be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// `bin` or `example`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// Looks at the flags and, if they name no program, at the packages.
pub fn choose(cargo: &mut Command, flags: &CargoFlags) -> Choice {
    match (&flags.bin[..], &flags.example[..]) {
        ([], []) => {}
        ([name], []) => return named("bin", name),
        ([], [name]) => return named("example", name),
        _ => return Choice::Unclear,
    }
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1", "--quiet"])
        .args(flags.to_metadata_args())
        .stdin(Stdio::null())
        .stderr(Stdio::null()); // What is wrong the build will say.
    let output = cargo.output().ok().filter(|output| output.status.success());
    let metadata = output.and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let only = metadata.and_then(|metadata: Value| only_binary(&metadata, &flags.package));
    match only {
        Some(name) => Choice::Only(Program { kind: "bin", name }),
        None => Choice::Unclear,
    }
}

fn named(kind: &'static str, name: &str) -> Choice {
    // A pattern, which cargo refuses to run, or no name, whereupon it lists what there is.
    if name.is_empty() || name.contains(['*', '?', '[']) {
        return Choice::Unclear;
    }
    let name = name.to_string();
    Choice::Named(Program { kind, name })
}

/// As cargo does it: the only `default-run` of the packages, else their only binary.
fn only_binary(metadata: &Value, specs: &[String]) -> Option<String> {
    let packages = selected(metadata, specs)?;
    let defaults: Vec<&str> = packages
        .iter()
        .filter_map(|package| package["default_run"].as_str())
        .collect();
    if let [name] = defaults[..] {
        return Some(name.to_string());
    }
    let targets = packages
        .iter()
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    let is_bin = |target: &&Value| {
        let kinds = target["kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    let names: Vec<&str> = targets
        .filter(is_bin)
        .filter_map(|target| target["name"].as_str())
        .collect();
    match names[..] {
        [name] => Some(name.to_string()),
        _ => None,
    }
}

/// The packages that these words name, or those that cargo takes where none is named.
fn selected<'m>(metadata: &'m Value, specs: &[String]) -> Option<Vec<&'m Value>> {
    let packages = metadata["packages"].as_array()?;
    let [] = specs else {
        let named = |spec: &String| packages.iter().find(|package| is_named(package, spec));
        return specs.iter().map(named).collect();
    };
    let usual = metadata["workspace_default_members"].as_array()?;
    let is_usual = |package: &&Value| usual.contains(&package["id"]);
    Some(packages.iter().filter(is_usual).collect())
}

/// `name`, `name@version` or the whole identifier. There are more ways, which only cargo understands.
fn is_named(package: &Value, spec: &str) -> bool {
    let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str())
    else {
        return false;
    };
    spec == name || package["id"] == spec || spec == format!("{name}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, default_run: Option<&str>, bins: &[&str]) -> Value {
        let mut targets: Vec<Value> = bins
            .iter()
            .map(|bin| json!({"kind": ["bin"], "name": bin}))
            .collect();
        targets.push(json!({"kind": ["lib"], "name": name}));
        json!({"id": format!("path+file:///{name}#1.0.0"), "name": name, "version": "1.0.0",
            "default_run": default_run, "targets": targets})
    }

    #[test]
    fn the_program_is_chosen_as_cargo_does() {
        let metadata = json!({
            "packages": [package("a", None, &["a"]), package("b", Some("y"), &["x", "y"]), package("c", None, &["p", "q"])],
            "workspace_default_members": ["path+file:///a#1.0.0"],
        });
        let check = |specs: &[&str], expected: Option<&str>| {
            let specs: Vec<String> = specs.iter().map(ToString::to_string).collect();
            assert_eq!(
                only_binary(&metadata, &specs).as_deref(),
                expected,
                "{specs:?}"
            );
        };
        check(&[], Some("a"));
        check(&["b"], Some("y"));
        check(&["b@1.0.0"], Some("y"));
        check(&["path+file:///a#1.0.0"], Some("a"));
        check(&["a", "b"], Some("y"));
        check(&["c"], None);
        check(&["no-such"], None);
    }

    #[test]
    fn patterns_and_lists_are_left_to_cargo() {
        let flags = |bin: &[&str], example: &[&str]| CargoFlags {
            bin: bin.iter().map(ToString::to_string).collect(),
            example: example.iter().map(ToString::to_string).collect(),
            ..CargoFlags::default()
        };
        let check = |flags, expected| {
            assert_eq!(choose(&mut Command::new("false"), &flags), expected);
        };
        let name = || "x".to_string();
        check(
            flags(&["x"], &[]),
            Choice::Named(Program {
                kind: "bin",
                name: name(),
            }),
        );
        check(
            flags(&[], &["x"]),
            Choice::Named(Program {
                kind: "example",
                name: name(),
            }),
        );
        for (bin, example) in [
            (&["x*"][..], &[][..]),
            (&[""], &[]),
            (&["x", "y"], &[]),
            (&["x"], &["y"]),
            (&[], &[]),
        ] {
            check(flags(bin, example), Choice::Unclear);
        }
    }
}
