//! What a node and the master say to each other.
//!
//! The node dials, and speaks first, with `Hello`; it is answered by `Welcome`, or refused with words. From then on each
//! hears the other's beats, and orders and reports of jobs travel between the master and the wardens.
//!
//! # What is cut is taken up again
//! Orders and reports of a job are numbered, from 1 on for each job and node, and kept by who said them until the other
//! side has them for good. A node that has lost its session keeps its jobs for a while, and says in the next `Hello` what it
//! holds; `Welcome` says what is to go on, and both say again what the other has not got. So nothing is done twice.
//!
//! A program that a node does not have is fetched over a session of its own, so that nothing waits behind it: there
//! `Fetch` is the first word, and the answer is the program's bytes, or which other node gives them.

mod order;
mod report;

pub use order::Order;
pub use report::{Held, NodeHello, Report};

/// The version of this protocol: a newer minor only adds fields at the end, and messages that nobody is told who does not ask
/// for them.
pub const VERSION: (u16, u16) = (2, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::node::{orders, reports};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_never_cut() {
        for report in reports() {
            let bytes = report.encode();
            assert!((0..bytes.len()).all(|cut| Report::decode(&bytes[..cut]).is_err()));
            assert_eq!(Report::decode(&bytes), Ok(report));
        }
        for order in orders() {
            let bytes = order.encode();
            assert!((0..bytes.len()).all(|cut| Order::decode(&bytes[..cut]).is_err()));
            assert_eq!(Order::decode(&bytes), Ok(order));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Report::decode(&bytes);
            let _ = Order::decode(&bytes);
        }
    }
}
