//! What the machine's resources are granted to, and who waits for them, in order.
//!
//! It counts and nothing else: a grant limits nobody. Without a capacity everything fits.

use deploy_wire::resources::{Cpu, Mem, Resources};
use std::collections::VecDeque;

/// The resources of one machine. `T` is whatever waits for some.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    capacity: Option<Resources>,
    free: Resources,
    queue: VecDeque<(Resources, T)>,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The resources are granted, until they are released.
    Granted,
    /// They will be, once they are free and it is this one's turn.
    AfterOthers,
    /// They are not free now.
    OutOfResources {
        /// What is.
        free: Resources,
    },
    /// They never will be.
    NeverFits {
        /// What there is in all.
        capacity: Resources,
    },
}

impl<T> Ledger<T> {
    /// All of `capacity` free, if that is to be counted.
    pub(crate) fn new(capacity: Option<Resources>) -> Ledger<T> {
        Ledger {
            capacity,
            free: capacity.unwrap_or(NOTHING),
            queue: VecDeque::new(),
        }
    }

    /// Asks for resources, at once or, if it may `wait`, in its turn. To be followed by [`Ledger::queue`] if the
    /// answer is [`Verdict::AfterOthers`].
    pub(crate) fn ask(&mut self, asked: Resources, wait: bool) -> Verdict {
        let Some(capacity) = self.capacity else {
            return Verdict::Granted;
        };
        if !fits(asked, capacity) {
            return Verdict::NeverFits { capacity };
        }
        let is_its_turn = !wait || self.queue.is_empty();
        if is_its_turn && fits(asked, self.free) {
            self.take(asked);
            return Verdict::Granted;
        }
        match wait {
            true => Verdict::AfterOthers,
            false => Verdict::OutOfResources { free: self.free },
        }
    }

    /// Lets something wait for resources, behind all that does already.
    pub(crate) fn queue(&mut self, asked: Resources, waiter: T) {
        self.queue.push_back((asked, waiter));
    }

    /// Gives back what was granted.
    pub(crate) fn release(&mut self, granted: Resources) {
        let Some(capacity) = self.capacity else {
            return;
        };
        self.free = Resources {
            mem: self.free.mem + granted.mem,
            cpu: self.free.cpu + granted.cpu,
            gpu: self.free.gpu + granted.gpu,
        };
        assert!(fits(self.free, capacity), "what is released was granted");
    }

    /// The next waiter whose turn has come; its resources are granted with this.
    pub(crate) fn poll_granted(&mut self) -> Option<T> {
        let (asked, _) = self.queue.front()?;
        if !fits(*asked, self.free) {
            return None;
        }
        let (asked, waiter) = self.queue.pop_front()?;
        self.take(asked);
        Some(waiter)
    }

    /// Lets nobody wait any longer of whom this is true.
    pub(crate) fn forget(&mut self, is_meant: impl Fn(&T) -> bool) {
        self.queue.retain(|(_, waiter)| !is_meant(waiter));
    }

    fn take(&mut self, asked: Resources) {
        self.free = Resources {
            mem: self.free.mem - asked.mem,
            cpu: self.free.cpu - asked.cpu,
            gpu: self.free.gpu - asked.gpu,
        };
    }
}

fn fits(asked: Resources, room: Resources) -> bool {
    asked.mem <= room.mem && asked.cpu <= room.cpu && asked.gpu <= room.gpu
}

const NOTHING: Resources = Resources {
    mem: Mem::B.saturating_sub(Mem::B),
    cpu: Cpu::from_millionths(0),
    gpu: 0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gib(count: u64) -> Resources {
        Resources {
            mem: count * Mem::GIB,
            ..NOTHING
        }
    }

    #[test]
    fn what_does_not_fit_now_is_told_from_what_never_will() {
        let mut ledger = Ledger::<()>::new(Some(gib(4)));
        assert_eq!(ledger.ask(gib(3), false), Verdict::Granted);
        let free = gib(1);
        assert_eq!(ledger.ask(gib(2), false), Verdict::OutOfResources { free });
        let capacity = gib(4);
        assert_eq!(ledger.ask(gib(5), true), Verdict::NeverFits { capacity });
        ledger.release(gib(3));
        assert_eq!(ledger.ask(gib(4), false), Verdict::Granted);
    }

    #[test]
    fn waiters_are_served_in_order_even_if_a_later_one_would_fit() {
        let mut ledger = Ledger::new(Some(gib(4)));
        assert_eq!(ledger.ask(gib(4), true), Verdict::Granted);
        for (asked, name) in [(gib(3), "big"), (gib(1), "small"), (gib(2), "gone")] {
            assert_eq!(ledger.ask(asked, true), Verdict::AfterOthers);
            ledger.queue(asked, name);
        }
        assert_eq!(ledger.poll_granted(), None);
        ledger.forget(|name| *name == "gone");
        ledger.release(gib(4));
        assert_eq!(ledger.poll_granted(), Some("big"));
        assert_eq!(ledger.poll_granted(), Some("small"));
        assert_eq!(ledger.poll_granted(), None);
    }

    #[test]
    fn without_capacity_everything_fits() {
        let mut ledger = Ledger::<()>::new(None);
        for _ in 0..3 {
            assert_eq!(ledger.ask(gib(1 << 20), false), Verdict::Granted);
        }
        ledger.release(gib(1 << 20));
    }

    proptest! {
        /// Whatever is asked and released, the grants never exceed the capacity, and the queue empties in the end.
        #[test]
        fn grants_never_exceed_the_capacity(steps in proptest::collection::vec((0u64..6, any::<bool>(), any::<bool>()), 0..100)) {
            let mut ledger = Ledger::new(Some(gib(4)));
            let mut granted: Vec<u64> = Vec::new();
            let mut waiting: VecDeque<u64> = VecDeque::new();
            for (size, wait, release) in steps {
                match ledger.ask(gib(size), wait) {
                    Verdict::Granted => granted.push(size),
                    Verdict::AfterOthers => {
                        ledger.queue(gib(size), size);
                        waiting.push_back(size);
                    }
                    Verdict::NeverFits { .. } => prop_assert!(size > 4),
                    Verdict::OutOfResources { free } => {
                        let used: u64 = granted.iter().sum();
                        prop_assert!(!wait && free == gib(4 - used) && size > 4 - used);
                    }
                }
                if release && !granted.is_empty() {
                    ledger.release(gib(granted.remove(0)));
                }
                while let Some(size) = ledger.poll_granted() {
                    prop_assert_eq!(waiting.pop_front(), Some(size));
                    granted.push(size);
                }
                prop_assert!(granted.iter().sum::<u64>() <= 4);
            }
            while !granted.is_empty() || !waiting.is_empty() {
                prop_assert!(!granted.is_empty(), "something waits while all is free");
                ledger.release(gib(granted.remove(0)));
                while let Some(size) = ledger.poll_granted() {
                    prop_assert_eq!(waiting.pop_front(), Some(size));
                    granted.push(size);
                }
            }
        }
    }
}
