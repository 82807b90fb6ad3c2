//! What of a job waits for the scheduler's word, and how many bytes that takes: arguments are held here until then.
//!
//! Deliberately absent: who is asked, and what becomes of it (`room.rs`).

use super::room::{Spawn, Want};
use deploy_wire::control::Argument;
use std::{collections::BTreeMap, ops::Deref};

/// By the ask's number.
#[derive(Default, Debug)]
pub(super) struct Asks {
    all: BTreeMap<u64, Want>,
    bytes: u64,
}

impl Asks {
    /// Whether there is room for this among what waits. One argument always has.
    pub fn has_room_for(&self, spawn: &Spawn) -> bool {
        self.bytes == 0 || self.bytes + bytes_of(spawn) <= BYTES_MAX
    }

    pub fn insert(&mut self, ask: u64, want: Want) {
        self.bytes += weight(&want);
        self.all.insert(ask, want);
    }

    pub fn remove(&mut self, ask: u64) -> Option<Want> {
        let want = self.all.remove(&ask)?;
        self.bytes -= weight(&want);
        Some(want)
    }
}

impl Deref for Asks {
    type Target = BTreeMap<u64, Want>;

    fn deref(&self) -> &BTreeMap<u64, Want> {
        &self.all
    }
}

impl FromIterator<(u64, Want)> for Asks {
    fn from_iter<I: IntoIterator<Item = (u64, Want)>>(asks: I) -> Asks {
        let mut all = Asks::default();
        for (ask, want) in asks {
            all.insert(ask, want);
        }
        all
    }
}

fn weight(want: &Want) -> u64 {
    match want {
        Want::Spawn(spawn) => bytes_of(spawn),
        Want::Initial(_) | Want::Need { .. } => 0,
    }
}

fn bytes_of(spawn: &Spawn) -> u64 {
    let inline = match &spawn.request.argument {
        Argument::Inline(bytes) => bytes.len(),
        Argument::File { .. } => 0,
    };
    let file = spawn.file.as_ref().map_or(0, Vec::len);
    (EACH_BYTES + inline + file) as u64
}

/// Who waits with more than this for room, in one job, is refused: the master's memory is everybody's.
pub(super) const BYTES_MAX: u64 = 256 << 20;
/// What a request takes beside its argument.
const EACH_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{
        control::{Function, SpawnRequest},
        resources::Resources,
    };

    fn spawn(mib: usize) -> Spawn {
        let request = SpawnRequest {
            id: 1,
            function: Function {
                offset: 1,
                name: "hello::worker".to_string(),
            },
            argument: Argument::File {
                len: (mib << 20) as u64,
            },
            name: None,
            resources: Resources::default(),
            node: None,
            wait: true,
            link: false,
        };
        Spawn {
            from: 0,
            request: Box::new(request),
            file: Some(vec![0; mib << 20]),
        }
    }

    #[test]
    fn what_waits_is_bounded_and_makes_room_when_it_goes() {
        let mut asks = Asks::default();
        assert!(asks.has_room_for(&spawn(300)));
        for ask in 0..7 {
            assert!(asks.has_room_for(&spawn(32)));
            asks.insert(ask, Want::Spawn(spawn(32)));
        }
        assert!(asks.has_room_for(&spawn(31)) && !asks.has_room_for(&spawn(32)));
        asks.remove(3);
        assert!(asks.has_room_for(&spawn(32)));
        let kept: Vec<(u64, Want)> = (0..4).map(|ask| (ask, Want::Spawn(spawn(64)))).collect();
        let asks: Asks = kept.into_iter().collect();
        assert!(!asks.has_room_for(&spawn(0)));
    }
}
