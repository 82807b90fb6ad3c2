//! `PROTOCOL.md` says what the code does: a number that moves in one and not in the other fails here.

use deploy_trust::{door, limits, subject::Role};

const PAGE: &str = include_str!("../PROTOCOL.md");

fn assert_row(name: &str, value: impl std::fmt::Display) {
    let row = format!("| {name} | {value} |");
    assert!(PAGE.contains(&row), "no row `{row}`");
}

#[test]
fn the_page_has_the_limits_of_the_code() {
    assert_row(
        "from the first byte until the session is open",
        format!("{} s", limits::HANDSHAKE.as_secs()),
    );
    assert_row("bytes in that time", limits::UNKNOWN_BYTES_MAX);
    assert_row(
        "a message of somebody who is not known by a certificate",
        limits::UNKNOWN_MESSAGE_BYTES_MAX,
    );
    assert_row("a message of a member", limits::MESSAGE_BYTES_MAX);
    assert_row(
        "connections that are not known yet, at one door",
        door::UNKNOWN_MAX,
    );
}

#[test]
fn the_page_has_the_versions_and_roles_of_the_code() {
    assert_row("version", format!("4: `{}`", limits::VERSION));
    assert!(PAGE.contains(&format!("`fabric/{}`", limits::VERSION)));
    let (node, user) = (Role::Node.code(), Role::User.code());
    assert_row("role", format!("1: node `{node}`, user `{user}`"));
}
