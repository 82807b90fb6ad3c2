//! Hostile bytes for every decoder: no panic, no allocation beyond what each [`Target`] allows, and what is decoded
//! can be encoded again.
//!
//! A target is a plain function of bytes. Three things drive it: `tests/short.rs`, a bounded and seeded run in the
//! ordinary test suite; the program of this crate, the same for as long as one likes; and `guided/`, which links
//! libFuzzer and follows the coverage.
//!
//! Deliberately absent: sockets, threads, clocks; and files, but for the targets that are about files or memory files. What a monitor does with a
//! request that it understood is tested where monitors are.

mod client;
mod cluster;
mod connection;
mod disk;
mod local;
mod master;
mod members;
pub mod memory;
mod mutate;
mod parcels;
mod place;
mod programs;
mod ring;
pub mod runner;
mod strangers;
mod terminal;
mod values;
mod wire;
pub mod words;

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Decodes the bytes and holds what comes to its promises. Returns how many bytes it may have had allocated at
    /// once.
    pub check: fn(&[u8]) -> usize,
    /// Inputs to begin with, which mutations are made of.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many executions the short run takes: about a second's worth, unoptimised.
    pub short: u64,
}

/// Every decoder there is.
pub const TARGETS: &[Target] = &[
    wire::BIRTH,
    wire::REQUEST,
    wire::NOTICE,
    wire::HEADER,
    wire::FIELDS,
    wire::AMOUNT,
    client::ASK,
    client::ANSWER,
    cluster::JOB_ORDER,
    cluster::JOB_REPORT,
    cluster::ORDER,
    cluster::REPORT,
    connection::INBOUND,
    ring::RING,
    strangers::HELLO,
    strangers::HANDSHAKE,
    strangers::SEALED,
    strangers::JOIN,
    local::LEASH,
    local::CUE,
    members::TOKEN,
    members::SUBJECT,
    members::CERTIFIED,
    members::CERTIFICATE,
    members::FRAMING,
    parcels::FRAME,
    parcels::CHANGE,
    parcels::TALK,
    parcels::FILES,
    parcels::TREE,
    programs::ELF,
    master::MASTER,
    disk::JOURNAL,
    disk::LIVES,
    disk::LABEL,
    disk::SEGMENT,
    disk::NODES,
    values::RECORD,
    values::STREAM,
    values::BULK,
    values::PARTS,
    values::POOL,
    terminal::HUMAN,
    terminal::FOLD,
    terminal::JSON,
    terminal::OPTIONS,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs the target once.
///
/// # Panics
/// If the target breaks a promise, or had more allocated than it says.
pub fn execute(target: &Target, input: &[u8]) {
    let before = memory::mark();
    let allowed = (target.check)(input);
    let peak = memory::peak_since(before);
    assert!(
        peak <= allowed,
        "{peak} bytes were allocated at once, and {allowed} are allowed"
    );
}
