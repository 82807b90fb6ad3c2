//! The page of promises names tests that exist: a promise without its test is a wish.

use std::{fs, path::Path};

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
