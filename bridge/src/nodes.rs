//! The machines of a cluster, as everybody sees them who may ask.

use crate::table;
use deploy_wire::{client::NodeView, resources::Resources};

/// One machine a line.
pub fn node_table(nodes: &[NodeView]) -> String {
    table(NODE_HEAD, nodes.iter().map(node_row).collect())
}

fn node_row(node: &NodeView) -> [String; 9] {
    [
        node.name.clone(),
        node.address.clone(),
        state(node),
        format!("{} of {}", gib(node.free), gib(node.capacity)),
        format!("{} of {}", node.free.cpu, node.capacity.cpu),
        format!("{} of {}", node.free.gpu, node.capacity.gpu),
        node.processes.to_string(),
        node.labels.join(" "),
        node.isolation.clone(),
    ]
}

fn state(node: &NodeView) -> String {
    match node.lost_seconds {
        Some(seconds) => format!("{} for {}", node.state, duration(seconds)),
        None => node.state.clone(),
    }
}

/// As people read how long something has taken.
///
/// ```
/// let times = [7, 245, 93_840].map(deploy_bridge::duration);
/// assert_eq!(times, ["7 s", "4:05 min", "26:04 h"]);
/// ```
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

/// To a tenth: the exact amount is for programs.
fn gib(resources: Resources) -> String {
    format!("{:.1}", resources.mem.bytes() as f64 / f64::from(1 << 30))
}

const NODE_HEAD: [&str; 9] = [
    "NODE",
    "ADDRESS",
    "STATE",
    "GiB FREE",
    "CORES FREE",
    "GPUs FREE",
    "PROCESSES",
    "LABELS",
    "ISOLATION",
];
