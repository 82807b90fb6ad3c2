//! Pages name what exists. A promise without its test is a wish, and a map without a file hides what is in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("RELIABILITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|line| !line.starts_with("| when |"));
    let mut count = 0;
    for row in rows {
        let cell = row.split('|').nth(3).unwrap();
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing tests this: {row}");
        for name in named {
            check(&root, name);
            count += 1;
        }
    }
    assert!(count > 30, "the rows of the page were not found");
}

/// A file, or a function of a file.
fn check(root: &Path, name: &str) {
    let (file, function) = name.split_once(": ").unwrap_or((name, ""));
    let source = fs::read_to_string(root.join(file));
    let source = source.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(
        source.contains(&format!("fn {function}")),
        "{name} is named in RELIABILITY.md, and does not exist"
    );
}

#[test]
fn the_code_map_names_every_file_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let map = page
        .split("\n## ")
        .find(|part| part.starts_with("Code map"));
    let mut count = 0;
    for part in map.unwrap().split("\n### `").skip(1) {
        let (place, rest) = part.split_once('`').unwrap();
        let sources = root.join(place).join("src");
        let rows = rest.lines().filter(|line| line.starts_with("| `"));
        let cells: String = rows.map(|row| row.split('|').nth(1).unwrap()).collect();
        let named = cells.split('`').skip(1).step_by(2);
        let (files, folders): (Vec<&str>, Vec<&str>) = named.partition(|it| !it.ends_with('/'));
        for name in files.iter().chain(&folders) {
            assert!(
                sources.join(name).exists() || name.ends_with(".md"),
                "{place}: there is no {name}"
            );
        }
        for file in sources_below(&sources) {
            let name = file.strip_prefix(&sources).unwrap().to_str().unwrap();
            let is_named = files.contains(&name) || folders.iter().any(|it| name.starts_with(it));
            assert!(is_named, "{place}: the map has no {name}");
            count += 1;
        }
    }
    assert!(count > 200, "the rooms of the map were not found");
}

/// What is written in Rust in a directory, and below: neither its tests nor what only holds the rest together.
fn sources_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "tests" || name.ends_with("_tests") || ["lib", "main"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources_below(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.insert(path);
        }
    }
    found
}
