//! Which way long bytes go into a ring: through the writer's caches, or past them (`past.rs`).
//!
//! It depends on where the two processors are, which nobody tells us, and which changes while we run: the kernel moves
//! threads, and the host of a virtual machine its processors. Two on one core share its caches, and take least time by them.
//! Two cores under one third cache need three times as long that way, two that share none ten times; past the caches all of
//! them need about the same, twice as long as the first. Whether the writer waits for lines of the reader's shows in the
//! writer's own time: of the two ways the one that takes it less is the one that takes both less.
//!
//! So now and then the other way is tried, for two rounds of a ring: the first one leaves the lines where that way leaves
//! them, and the second is measured. Each try that changes nothing doubles the time to the next.
//!
//! Deliberately absent: the clock, and what a step is (`ring.rs`).

use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Through,
    Past,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Through => Way::Past,
            Way::Past => Way::Through,
        }
    }
}

#[derive(Debug)]
pub(super) struct Ways {
    way: Way,
    /// How many steps go this way yet.
    left: usize,
    /// While the other way is tried: what a step took by the one that was gone until then.
    usual: Option<Duration>,
    /// How many steps are to go between two tries.
    patience: usize,
    /// What the last steps took.
    times: [Duration; MEASURED_STEPS],
}

impl Ways {
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// Whether it is wanted how long the next step takes.
    pub(super) fn is_measuring(&self) -> bool {
        self.left <= MEASURED_STEPS
    }

    /// A step was made, and took so long.
    pub(super) fn handle_step(&mut self, time: Option<Duration>) {
        self.left -= 1;
        if let (Some(place), Some(time)) = (self.times.get_mut(self.left), time) {
            *place = time;
        }
        if self.left > 0 {
            return;
        }
        // The median: now and then a processor is taken away.
        self.times.sort_unstable();
        let time = self.times[MEASURED_STEPS / 2];
        let Some(usual) = self.usual.take() else {
            self.usual = Some(time);
            self.way = self.way.other();
            self.left = TRY_STEPS;
            return;
        };
        if time < usual {
            self.patience = PATIENCE_MIN;
        } else {
            self.way = self.way.other();
            self.patience = (2 * self.patience).min(PATIENCE_MAX);
        }
        self.left = self.patience;
    }
}

impl Default for Ways {
    fn default() -> Ways {
        Ways {
            way: Way::Through,
            left: TRY_STEPS,
            usual: None,
            patience: PATIENCE_MIN,
            times: [Duration::ZERO; MEASURED_STEPS],
        }
    }
}

/// A round of a connection's ring, and one before it.
const MEASURED_STEPS: usize = 16;
const TRY_STEPS: usize = 2 * MEASURED_STEPS;

/// 32 MiB in steps, and 256 MiB. The steps of a try by the slower way take up to eight times as long as the others, where the
/// processors are far from each other: that is an eighth of the time at first, and a sixtieth in the end. And when the
/// processors move, it is noticed within a quarter of a second.
const PATIENCE_MIN: usize = 2 << 10;
const PATIENCE_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a step takes so long through the caches and past them.
    #[derive(Clone, Copy)]
    struct Place {
        through: Duration,
        past: Duration,
    }

    const fn place(through: u64, past: u64) -> Place {
        Place {
            through: Duration::from_nanos(through),
            past: Duration::from_nanos(past),
        }
    }

    /// As measured: on one core, under one cache, far from each other.
    const SIBLINGS: Place = place(360, 970);
    const NEIGHBOURS: Place = place(1550, 470);
    const STRANGERS: Place = place(4500, 510);

    /// Makes so many steps; returns how many of them went past the caches. One in five takes a millisecond more.
    fn go(ways: &mut Ways, steps: usize, place: Place) -> usize {
        let mut past = 0;
        for step in 0..steps {
            let time = match ways.way() {
                Way::Through => place.through,
                Way::Past => place.past,
            };
            past += usize::from(ways.way() == Way::Past);
            let disturbed = Duration::from_millis(u64::from(step % 5 == 0));
            ways.handle_step(ways.is_measuring().then_some(time + disturbed));
        }
        past
    }

    #[test]
    fn the_way_that_takes_less_is_found_and_kept() {
        for (place, is_past) in [(SIBLINGS, false), (NEIGHBOURS, true), (STRANGERS, true)] {
            let mut ways = Ways::default();
            assert_eq!(go(&mut ways, 2 * TRY_STEPS, place), TRY_STEPS);
            assert_eq!(ways.way() == Way::Past, is_past);
            let steps = 100 * PATIENCE_MAX;
            let past = go(&mut ways, steps, place);
            let wrong = if is_past { steps - past } else { past };
            assert!(wrong > 0 && wrong < steps / 500, "{wrong} of {steps}");
        }
    }

    #[test]
    fn processors_that_move_are_noticed() {
        let mut ways = Ways::default();
        go(&mut ways, 10 * PATIENCE_MAX, SIBLINGS);
        for (place, way) in [(STRANGERS, Way::Past), (SIBLINGS, Way::Through)] {
            go(&mut ways, PATIENCE_MAX + TRY_STEPS, place);
            assert_eq!(ways.way(), way);
            go(&mut ways, 10 * PATIENCE_MAX, place);
        }
    }
}
