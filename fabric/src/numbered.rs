//! What one side says to another over sessions that break: numbered from 1 on, kept until the other side has it for good,
//! and said again where it has not. So whatever happens to sessions, each is taken in once and in order.
//!
//! Plain machines. Deliberately absent: what is said, and any session.

use std::collections::VecDeque;

/// What is to be said, and what was said and may have to be said again.
#[derive(Debug)]
pub struct Outbox<T> {
    /// How many the other side has for good.
    taken: u64,
    kept: VecDeque<T>,
    /// How many of those that are kept were said in this session.
    said: usize,
}

/// What came.
#[derive(Default, Debug)]
pub struct Inbox {
    taken: u64,
    /// How many of them the other side was told of.
    told: u64,
}

/// What something that came is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The next.
    Next,
    /// It has come before.
    Again,
    /// Something before it is missing.
    Gap,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox {
            taken: 0,
            kept: VecDeque::new(),
            said: 0,
        }
    }
}

impl<T> Outbox<T> {
    /// One of which the other side has so many for good, and these are kept.
    pub fn from_parts(taken: u64, kept: VecDeque<T>) -> Outbox<T> {
        let said = 0;
        Outbox { taken, kept, said }
    }

    /// What is kept, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.kept.iter()
    }

    /// Something to say.
    pub fn push(&mut self, item: T) {
        self.kept.push_back(item);
    }

    /// The next to say in this session, with its number.
    pub fn poll(&mut self) -> Option<(u64, &T)> {
        let item = self.kept.get(self.said)?;
        self.said += 1;
        Some((self.taken + self.said as u64, item))
    }

    /// The other side has so many of them for good. False if there never were so many.
    pub fn handle_taken(&mut self, count: u64) -> bool {
        if count > self.made() {
            return false;
        }
        while self.taken < count {
            self.drop_first();
        }
        true
    }

    /// The other side has the first of what is kept for good.
    pub fn drop_first(&mut self) -> Option<T> {
        let item = self.kept.pop_front()?;
        self.taken += 1;
        self.said = self.said.saturating_sub(1);
        Some(item)
    }

    /// The session is over: what is kept is to be said again.
    pub fn rewind(&mut self) {
        self.said = 0;
    }

    /// How many there ever were.
    pub fn made(&self) -> u64 {
        self.taken + self.kept.len() as u64
    }

    /// How many of them the other side has for good.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}

impl Inbox {
    /// One to which so many have come.
    pub fn after(taken: u64) -> Inbox {
        Inbox { taken, told: 0 }
    }

    /// Something of this number has come.
    pub fn handle(&mut self, sequence: u64) -> Arrival {
        if sequence <= self.taken {
            return Arrival::Again;
        }
        if sequence > self.taken + 1 {
            return Arrival::Gap;
        }
        self.taken = sequence;
        Arrival::Next
    }

    /// How many have come.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The session is over: the other side is to be told again how many have come.
    pub fn rewind(&mut self) {
        self.told = 0;
    }

    /// How many have come, if the other side is to be told: when `at_least` are new.
    pub fn poll_taken(&mut self, at_least: u64) -> Option<u64> {
        if self.taken - self.told < at_least.max(1) {
            return None;
        }
        self.told = self.taken;
        Some(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A session loses whatever was on its way, and the next one begins with what came.
        #[test]
        fn each_comes_once_and_in_order_whatever_breaks(steps in proptest::collection::vec(0u8..7, 0..400)) {
            let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
            let (mut made, mut came, mut way) = (0u64, Vec::new(), VecDeque::new());
            for step in steps {
                match step {
                    0 | 1 => {
                        made += 1;
                        outbox.push(made);
                    }
                    2 => way.extend(outbox.poll().map(|(number, item)| (number, *item))),
                    3 => {
                        if let Some((number, item)) = way.pop_front() {
                            prop_assert_eq!(number, item);
                            prop_assert_ne!(inbox.handle(number), Arrival::Gap);
                            came.extend((came.len() as u64 + 1 == number).then_some(item));
                        }
                    }
                    4 => {
                        let taken = inbox.poll_taken(3).unwrap_or(0);
                        prop_assert!(outbox.handle_taken(taken));
                    }
                    _ => {
                        // The next one begins with what came for good, or with less.
                        way.clear();
                        inbox.rewind();
                        let acknowledged = if step == 5 { inbox.taken() } else { 0 };
                        prop_assert!(outbox.handle_taken(acknowledged));
                        outbox.rewind();
                    }
                }
            }
            way.extend(std::iter::from_fn(|| outbox.poll().map(|(number, item)| (number, *item))));
            for (number, item) in way {
                inbox.handle(number);
                came.extend((came.len() as u64 + 1 == number).then_some(item));
            }
            prop_assert_eq!(came, (1..=made).collect::<Vec<_>>());
            prop_assert!(!outbox.handle_taken(made + 1));
            prop_assert_eq!(inbox.handle(made + 2), Arrival::Gap);
        }
    }
}
