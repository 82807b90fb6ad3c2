//! What the master, the nodes and the wardens of a cluster say to each other.

use crate::{Target, words};
use deploy_wire::{
    job::{JobOrder, JobReport},
    node::{Order, Report},
    samples,
};

pub(crate) const JOB_ORDER: Target = Target {
    name: "joborder",
    check: |input| {
        if let Ok(order) = JobOrder::decode(input) {
            words::accepted();
            assert_eq!(JobOrder::decode(&order.encode()), Ok(order));
        }
        message_bytes(input)
    },
    seeds: || {
        samples::job::orders()
            .iter()
            .map(JobOrder::encode)
            .collect()
    },
    short: 100_000,
};

pub(crate) const JOB_REPORT: Target = Target {
    name: "jobreport",
    check: |input| {
        if let Ok(report) = JobReport::decode(input) {
            words::accepted();
            assert_eq!(JobReport::decode(&report.encode()), Ok(report));
        }
        message_bytes(input)
    },
    seeds: || {
        samples::job::reports()
            .iter()
            .map(JobReport::encode)
            .collect()
    },
    short: 100_000,
};

pub(crate) const ORDER: Target = Target {
    name: "order",
    check: |input| {
        if let Ok(order) = Order::decode(input) {
            words::accepted();
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
        message_bytes(input)
    },
    seeds: || samples::node::orders().iter().map(Order::encode).collect(),
    short: 100_000,
};

pub(crate) const REPORT: Target = Target {
    name: "report",
    check: |input| {
        if let Ok(report) = Report::decode(input) {
            words::accepted();
            assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
        message_bytes(input)
    },
    seeds: || {
        samples::node::reports()
            .iter()
            .map(Report::encode)
            .collect()
    },
    short: 100_000,
};

/// Lists of pairs of words: two that are empty take eight bytes of a message, and four dozen in a vector that doubles;
/// and all that twice.
fn message_bytes(input: &[u8]) -> usize {
    48 * input.len() + 4096
}
