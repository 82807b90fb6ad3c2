//! How output is paid for: by whom it is owed to whom.
//!
//! The person's client grants so many bytes of output, and each warden a share of that: so a slow screen fills no queue
//! of the master's, and stops only its own job's writers. What the client has written goes back to the wardens in the
//! order in which it came from them.
//!
//! Deliberately absent: the output itself.

use crate::scheduler::NodeId;
use deploy_wire::bytes::{Malformed, Reader, Writer};
use std::collections::{BTreeMap, VecDeque};

/// Output on its way to the client, in order: from where, and how much.
#[derive(Default, Debug)]
pub(super) struct Way(VecDeque<(NodeId, u64)>);

impl Way {
    /// So much came from there.
    pub fn handle_output(&mut self, node: NodeId, bytes: u64) {
        self.0.push_back((node, bytes));
    }

    /// The client has written so many bytes more. Returns what of that each node may send anew.
    pub fn handle_written(&mut self, mut bytes: u64) -> BTreeMap<NodeId, u64> {
        let mut back = BTreeMap::<NodeId, u64>::new();
        while bytes > 0
            && let Some((node, left)) = self.0.front_mut()
        {
            let written = bytes.min(*left);
            *back.entry(*node).or_default() += written;
            *left -= written;
            bytes -= written;
            if *left == 0 {
                self.0.pop_front();
            }
        }
        back
    }

    /// It in bytes.
    pub fn write(&self, w: &mut Writer) {
        w.list(self.0.iter(), |w, (node, bytes)| {
            w.u32(node.number()).u64(*bytes);
        });
    }

    /// Becomes what these bytes say.
    pub fn read(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        self.0 = r.list(|r| Ok((NodeId::from_number(r.u32()?), r.u64()?)))?;
        Ok(())
    }

    /// Nothing more is granted there.
    pub fn handle_closed(&mut self, node: NodeId) {
        self.0.retain(|(from, _)| *from != node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{NodeSpec, Scheduler};
    use deploy_wire::resources::Resources;

    #[test]
    fn what_was_written_goes_back_in_the_order_in_which_it_came() {
        let mut scheduler = Scheduler::new();
        let [a, b] = ["a", "b"].map(|name| {
            scheduler.handle_node(NodeSpec {
                name: name.to_string(),
                capacity: Resources::default(),
                labels: Vec::new(),
            })
        });
        let mut way = Way::default();
        for (node, bytes) in [(a, 10), (b, 5), (a, 1)] {
            way.handle_output(node, bytes);
        }
        assert_eq!(way.handle_written(0), BTreeMap::new());
        assert_eq!(way.handle_written(12), BTreeMap::from([(a, 10), (b, 2)]));
        way.handle_closed(b);
        assert_eq!(way.handle_written(100), BTreeMap::from([(a, 1)]));
        assert_eq!(way.handle_written(100), BTreeMap::new());
    }
}
