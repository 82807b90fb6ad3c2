//! The pools of this process: what belongs to a place in the source.
//!
//! A `const` pool is another value each time it is named, and so a pool is no more than its place and its settings; what
//! it has at work is found here.

use super::{
    Pool, Terms,
    crew::{self, Crew},
};
use crate::waits::Waiting;
use deploy_wire::{pid::Pid, resources::Resources};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// Workers are alike in what they have: each need of a pool's calls has a crew of its own.
type Crews = HashMap<(Pool, Resources), Arc<Crew>>;

static CREWS: OnceLock<Mutex<Crews>> = OnceLock::new();

/// Who does what is called on these terms.
pub(crate) fn crew(pool: &Pool, terms: &Terms) -> Arc<Crew> {
    let resources = terms.resources(pool);
    let crew = || Crew::new(pool.rules, resources);
    crews(CREWS.get_or_init(Mutex::default))
        .entry((*pool, resources))
        .or_insert_with(crew)
        .clone()
}

/// How many workers this pool has.
pub(crate) fn workers(pool: &Pool) -> usize {
    let Some(known) = CREWS.get() else { return 0 };
    let of_pool = |((other, _), crew): (&(Pool, Resources), &Arc<Crew>)| {
        (other == pool).then(|| crew.clone())
    };
    let own: Vec<Arc<Crew>> = crews(known).iter().filter_map(of_pool).collect();
    own.iter().map(|crew| crew.size()).sum()
}

/// Which answers are waited for, as numbered waits, and of which workers; nothing, where something else goes on too.
pub(crate) fn awaited() -> Option<Vec<(u64, (Pid, Waiting))>> {
    let Some(known) = CREWS.get() else {
        return Some(Vec::new());
    };
    let all: Vec<Arc<Crew>> = crews(known).values().cloned().collect();
    let awaited = all.iter().map(|crew| crew.awaited());
    Some(awaited.collect::<Option<Vec<_>>>()?.concat())
}

/// The process ends, and so do its workers. Blocks until those have that had nothing to do.
pub(crate) fn retire() {
    let Some(known) = CREWS.get() else { return };
    let all: Vec<Arc<Crew>> = crews(known).values().cloned().collect();
    let leavers: Vec<_> = all.iter().flat_map(|crew| crew.retire()).collect();
    crew::await_ends(&leavers);
}

fn crews(known: &Mutex<Crews>) -> MutexGuard<'_, Crews> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
