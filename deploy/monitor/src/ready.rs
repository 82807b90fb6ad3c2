//! What has something to read, in the order in which it came to have it.
//!
//! The kernel reports descriptors in that order, and it is what people expect to see: a line that one process wrote
//! before it sent a message stands before the line that another wrote because of that message.

use crate::watched::Source;
use std::collections::{HashSet, VecDeque};

/// A queue in which each source of each process stands once.
#[derive(Default, Debug)]
pub(crate) struct Ready {
    order: VecDeque<(u32, Source)>,
    queued: HashSet<(u32, Source)>,
}

impl Ready {
    /// Puts it at the end, unless it stands there already.
    pub(crate) fn insert(&mut self, entry: (u32, Source)) {
        if self.queued.insert(entry) {
            self.order.push_back(entry);
        }
    }

    /// Everything, in order; nothing is left.
    pub(crate) fn take(&mut self) -> VecDeque<(u32, Source)> {
        self.queued.clear();
        std::mem::take(&mut self.order)
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u32, Source)> {
        self.order.iter()
    }

    /// Whether some process has said something that was not heard.
    pub(crate) fn is_anybody_asking(&self) -> bool {
        let mut sources = self.order.iter().map(|(_, source)| source);
        sources.any(|source| *source == Source::Control)
    }

    /// Forgets the sources of a process.
    pub(crate) fn forget(&mut self, number: u32) {
        self.queued.retain(|(other, _)| *other != number);
        self.order.retain(|(other, _)| *other != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_once() {
        let mut ready = Ready::default();
        for number in [9, 2, 9, 5, 2] {
            ready.insert((number, Source::Control));
        }
        ready.forget(5);
        assert_eq!(ready.take(), [(9, Source::Control), (2, Source::Control)]);
        assert!(ready.iter().next().is_none());
    }
}
