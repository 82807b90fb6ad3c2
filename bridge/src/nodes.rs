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
        node.state.clone(),
        format!("{} of {}", gib(node.free), gib(node.capacity)),
        format!("{} of {}", node.free.cpu, node.capacity.cpu),
        format!("{} of {}", node.free.gpu, node.capacity.gpu),
        node.processes.to_string(),
        node.labels.join(" "),
        node.isolation.clone(),
    ]
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
