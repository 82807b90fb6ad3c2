//! Cables that lose packets now and then, as networks do that are too full or hang on a bad plug.
//!
//! Deliberately absent: packets that are late or come twice, which takes `netem`, and few kernels have that.

use super::{Hosts, run};
use std::process::Command;

impl Hosts {
    /// A host's cable loses so many of a thousand packets in either direction, each at random. False, and a line that says so,
    /// where the kernel cannot.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn lose(&self, name: &str, permille: u32) -> bool {
        let host = self.host(name);
        let filter = |device: &str| {
            let words = format!("filter add dev {device} egress bpf da bytecode");
            run("tc", &format!("qdisc add dev {device} clsact"));
            let mut tc = Command::new("tc");
            tc.args(words.split(' ')).arg(program(permille));
            let output = tc.output().expect("it was there before");
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped: no packets can be lost here (CONFIG_NET_CLS_BPF): {why}");
            }
            output.status.success()
        };
        let there = host.within(|| filter("eth0"));
        there && self.switch.within(|| filter(&host.port))
    }

    /// All of them arrive again.
    pub fn heal_loss(&self, name: &str) {
        let host = self.host(name);
        host.tool("tc", "qdisc del dev eth0 clsact");
        self.tool("tc", &format!("qdisc del dev {} clsact", host.port));
    }
}

/// What the kernel runs for each packet: `ld rand; jgt #limit, pass; ret #drop; pass: ret #ok`.
fn program(permille: u32) -> String {
    let limit = u64::from(u32::MAX) * u64::from(permille) / 1000;
    format!("4,32 0 0 {RANDOM},37 1 0 {limit},6 0 0 {DROP},6 0 0 {PASS}")
}

/// Where such a program reads a random number (`SKF_AD_OFF + SKF_AD_RANDOM`), and what it says of the packet.
const RANDOM: u32 = -0x1000_i32 as u32 + 56;
const DROP: u32 = 2;
const PASS: u32 = 0;
