//! How those ended of whom nothing is left: four bytes for each process that a job ever had, since whoever waits for one of
//! them, however late, is told.
//!
//! Deliberately absent: anything of those that live.

use deploy_wire::exit::ExitStatus;

/// All numbers that were given, and what has become of each.
#[derive(Default, Debug)]
pub(super) struct Past {
    fates: Vec<u32>,
    /// The ways to end: few, but that each want of memory has its own figures.
    ways: Vec<ExitStatus>,
}

/// What has become of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nothing, so far.
    Open,
    /// It could not be begun.
    NeverBorn,
    /// It has ended, and everybody was told.
    Ended(ExitStatus),
}

impl Past {
    /// How many numbers were given.
    pub(super) fn given(&self) -> u32 {
        self.fates.len() as u32
    }

    /// Gives the next number.
    pub(super) fn give(&mut self) -> u32 {
        self.fates.push(OPEN);
        self.given() - 1
    }

    /// What has become of a number; nothing, if it was never given.
    pub(super) fn of(&self, number: u32) -> Option<Fate> {
        Some(match *self.fates.get(number as usize)? {
            OPEN => Fate::Open,
            NEVER_BORN => Fate::NeverBorn,
            way => Fate::Ended(self.ways[(way - WAYS) as usize]),
        })
    }

    /// Says what has become of a number that was given.
    pub(super) fn set(&mut self, number: u32, fate: Fate) {
        self.fates[number as usize] = match fate {
            Fate::Open => OPEN,
            Fate::NeverBorn => NEVER_BORN,
            Fate::Ended(status) => WAYS + self.place(status),
        };
    }

    fn place(&mut self, status: ExitStatus) -> u32 {
        let mut latest = self.ways.iter().enumerate().rev().take(LOOKED_AT_MAX);
        let found = latest.find(|(_, way)| **way == status);
        let place = found.map_or(self.ways.len(), |(place, _)| place);
        if place == self.ways.len() {
            self.ways.push(status);
        }
        place as u32
    }

    /// As numbers, and what they stand for.
    pub(super) fn parts(&self) -> (&[u32], &[ExitStatus]) {
        (&self.fates, &self.ways)
    }

    /// What these parts say; nothing, if they do not fit together.
    pub(super) fn from_parts(fates: Vec<u32>, ways: Vec<ExitStatus>) -> Option<Past> {
        let past_all = WAYS as usize + ways.len();
        let are_known = fates.iter().all(|fate| (*fate as usize) < past_all);
        are_known.then_some(Past { fates, ways })
    }
}

const OPEN: u32 = 0;
const NEVER_BORN: u32 = 1;
/// From here on the number says which way it ended.
const WAYS: u32 = 2;
/// All codes and all signals. A way that lies further back is noted again.
const LOOKED_AT_MAX: usize = 512;
