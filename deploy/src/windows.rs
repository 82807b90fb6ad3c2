//! What the windows of all connections may hold together, and who has taken how much of it.
//!
//! Deliberately absent: when a window grows (`deploy_wire::inbound`), and when memory is shared (`share.rs`).

use std::sync::atomic::{AtomicI64, Ordering::*};

pub(crate) struct Windows {
    /// How many units all of them together may still grow by: less than none where the smallest ones are too many.
    units_left: AtomicI64,
    /// How many of them shared memory leaves.
    units_kept: i64,
}

impl Windows {
    /// Of a process with this much memory.
    pub(crate) fn new(mem_bytes: u64) -> Windows {
        let units = units_in_all(mem_bytes) as i64;
        Windows {
            units_left: AtomicI64::new(units),
            units_kept: units / 2,
        }
    }

    /// Takes so many units for a window that grows, if they are left.
    pub(crate) fn take(&self, units: u64) -> bool {
        self.take_keeping(units, 0)
    }

    /// The same for memory to be shared, which leaves half of them for windows.
    pub(crate) fn take_ring(&self, units: u64) -> bool {
        self.take_keeping(units, self.units_kept)
    }

    fn take_keeping(&self, units: u64, kept: i64) -> bool {
        let take = |left: i64| (left - units as i64 >= kept).then(|| left - units as i64);
        self.units_left.fetch_update(SeqCst, SeqCst, take).is_ok()
    }

    /// A new connection has a window of so many units, whether they are left or not: others grow by less.
    pub(crate) fn handle_new(&self, units: u64) {
        self.units_left.fetch_sub(units as i64, SeqCst);
    }

    /// So many units that were taken, for a window or a ring, are no more in use.
    pub(crate) fn release(&self, units: u64) {
        self.units_left.fetch_add(units as i64, SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn units_left(&self) -> i64 {
        self.units_left.load(SeqCst)
    }
}

/// How large all windows of a process with this much memory may be together: half of what they may cost, since an
/// allocator keeps about as much again, of buffers that were outgrown.
fn units_in_all(mem_bytes: u64) -> u64 {
    BYTES_MAX.min(mem_bytes / 4) / 2
}

/// What all stalled receivers may cost a process together. Five hundred with the smallest window cost as much; where there
/// are more, each costs its smallest window and none has a larger one.
const BYTES_MAX: u64 = 64 << 20;
