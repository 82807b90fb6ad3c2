//! What the master of a cluster and a job's warden say to each other, by way of the warden's node.
//!
//! A *warden* is the monitor of one job's processes on one node. It decides nothing: it begins, connects and ends
//! processes as it is ordered, and reports what they ask and what becomes of them. A process is named by its number in
//! the job. Between warden and node each of these is a packet, and descriptors travel beside it; between node and
//! master it is wrapped (`node.rs`).

mod order;
mod report;

pub use order::{Begin, JobOrder, OpenJob};
pub use report::JobReport;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::job::{orders, reports};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_never_cut() {
        for order in orders() {
            let bytes = order.encode();
            assert!((0..bytes.len()).all(|cut| JobOrder::decode(&bytes[..cut]).is_err()));
            assert_eq!(JobOrder::decode(&bytes), Ok(order));
        }
        for report in reports() {
            let bytes = report.encode();
            assert!((0..bytes.len()).all(|cut| JobReport::decode(&bytes[..cut]).is_err()));
            assert_eq!(JobReport::decode(&bytes), Ok(report));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = JobOrder::decode(&bytes);
            let _ = JobReport::decode(&bytes);
        }
    }
}
