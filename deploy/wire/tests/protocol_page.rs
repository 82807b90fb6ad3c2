//! The pages say what the code does: whoever changes the one is reminded of the other. It cannot tell whether a page is
//! right.

/// `PROTOCOL.md` carries a hash of the code that it describes.
#[test]
fn the_page_of_a_job_was_read_when_the_code_moved() {
    check(
        include_str!("../PROTOCOL.md"),
        &[
            include_str!("../src/frame.rs"),
            include_str!("../src/control/request.rs"),
            include_str!("../src/control/notice.rs"),
            include_str!("../src/fields.rs"),
            include_str!("../src/wait.rs"),
            include_str!("../src/birth.rs"),
            include_str!("../src/secret.rs"),
            include_str!("../src/hello.rs"),
            include_str!("../src/handshake.rs"),
            include_str!("../src/record.rs"),
        ],
    );
}

/// So does `CLUSTER.md`.
#[test]
fn the_page_of_a_cluster_was_read_when_the_code_moved() {
    check(
        include_str!("../CLUSTER.md"),
        &[
            include_str!("../src/client.rs"),
            include_str!("../src/client/ask.rs"),
            include_str!("../src/client/answer.rs"),
            include_str!("../src/client/view.rs"),
            include_str!("../src/event.rs"),
            include_str!("../src/fields.rs"),
            include_str!("../src/packed.rs"),
            include_str!("../src/node.rs"),
            include_str!("../src/node/order.rs"),
            include_str!("../src/node/report.rs"),
            include_str!("../src/job/order.rs"),
            include_str!("../src/job/report.rs"),
            include_str!("../src/relay.rs"),
            include_str!("../src/pass.rs"),
        ],
    );
}

fn check(page: &str, sources: &[&str]) {
    let hash = sources.iter().fold(FNV_OFFSET, |hash, source| {
        code(source)
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .fold(hash, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
            })
    });
    let line = format!("code: {hash:016x}");
    assert!(
        page.lines().any(|found| found.trim() == line),
        "the code of the wire changed: bring its page up to date, then write \"{line}\" where it says \"code: ..\""
    );
}

/// Without comments and tests, which move nothing.
fn code(source: &str) -> String {
    source
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

/// FNV-1a, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
