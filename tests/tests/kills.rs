//! The short run of the random kills; the long one is a command of its own (`soaks/kills.rs`).

use std::process::Command;

#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(["--kills", "32", "--seed", "20"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
