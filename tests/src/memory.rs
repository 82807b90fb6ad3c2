//! What a process holds of memory, as the kernel counts it.

use crate::{cluster::Cluster, leftovers};
use std::{collections::BTreeMap, fs, process};

/// What is in memory of this process, in KiB.
pub fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

/// The same of another process; nothing, where it is gone.
pub fn resident_kib_of(process: u32) -> u64 {
    status_kib_of(process, "VmRSS:").unwrap_or(0)
}

/// The same of everybody who has to do with a job of this client: daemons and wardens of all hosts, and itself.
pub fn resident_kib_of_all(cluster: &mut Cluster, client: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::from([("client".to_string(), resident_kib_of(client))]);
    for host in cluster.served() {
        for (index, process) in cluster.serving(&host).into_iter().enumerate() {
            let who = format!("daemon {index} on {host}");
            all.insert(who, resident_kib_of(process));
        }
        for process in cluster.hosts.host(&host).processes() {
            if leftovers::describe(process).contains(" warden") {
                all.insert(format!("warden on {host}"), resident_kib_of(process));
            }
        }
    }
    all
}

/// A line of this process's status, as `VmHWM:`, in KiB.
///
/// # Panics
/// If there is no such line.
pub fn status_kib(name: &str) -> u64 {
    status_kib_of(process::id(), name).expect("the kernel tells it")
}

fn status_kib_of(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
