//! A warden: the monitor of one job's processes on one node.

/// The word on the command line that makes this program one.
pub const WORD: &str = "warden";

/// Serves as a warden whose node is at the other end of standard input.
///
/// # Errors
/// If it cannot begin.
pub fn run_at_stdin() -> std::io::Result<()> {
    Ok(())
}
