//! What is started ahead of time, between the wishes of the job: how spares are made of its means, and what becomes of theirs.
//!
//! Deliberately absent: when there is one, and how many there are (`spare.rs`).

use super::{Household, birth::limits};
use crate::head::Head;
use std::time::Instant;

impl Household {
    /// Starts a spare once it is due and nobody asks for a process just then. A machine that cannot start one goes on
    /// without.
    pub(super) fn start_spare(&mut self, head: &dyn Head, now: Instant) {
        if !self.spare.is_due(now) || self.ready.is_anybody_asking() {
            return;
        }
        self.spare.forget_due();
        if self.is_ending || self.is_deserted(head) {
            return;
        }
        let Ok(mut child) = self.execute(false, false) else {
            return;
        };
        if self.about.is_limited {
            child.limit(limits(self.spare.resources()));
        }
        if self.spare.insert(child, &self.registry, now).is_ok() {
            self.prepare();
        }
    }

    /// The spare may have ended.
    pub(crate) fn handle_spares_end(&mut self) {
        let ended = self.spare.handle_end();
        if let Some(mut leaf) = ended.and_then(|child| child.leaf) {
            let _ = leaf.kill(); // Fails where the group has been removed under us.
            self.emptying.push(leaf);
        }
    }

    /// Gives back at once all that spares hold, because it is wanted for something else. False if there are none.
    pub(super) fn release_spares(&mut self) -> bool {
        let released = self.spare.release();
        let had_some = !released.is_empty();
        let leaves = released.into_iter().filter_map(|child| child.leaf);
        self.emptying.extend(leaves);
        had_some
    }
}
