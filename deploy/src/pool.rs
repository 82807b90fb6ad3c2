//! Pools: worker processes that run the functions annotated with `on` and `with`.
//!
//! A pool is plain data, so that it can be a `static` or a `const`: where it stands in the source, and what was said about
//! it. What it has at work in a process is kept in `registry.rs`. Deliberately absent here: all that moves.

mod arguments;
mod error;
mod map;
mod panics;
mod progress;

// Where calls go to other processes.
#[cfg(feature = "distributed")]
mod broadcast;
#[cfg(feature = "distributed")]
mod call;
#[cfg(feature = "distributed")]
mod crew;
#[cfg(feature = "distributed")]
mod hand;
#[cfg(feature = "distributed")]
mod message;
#[cfg(feature = "distributed")]
mod news;
#[cfg(feature = "distributed")]
mod plan;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod plan_tests;
#[cfg(feature = "distributed")]
mod registry;
#[cfg(feature = "distributed")]
mod ticket;
#[cfg(feature = "distributed")]
mod worker;

// Where they do not.
#[cfg(not(feature = "distributed"))]
mod in_place;

#[cfg(feature = "distributed")]
use self::call::Serving;
#[cfg(not(feature = "distributed"))]
use self::in_place::Serving;
#[cfg(not(feature = "distributed"))]
pub use self::in_place::{Broadcast, Call, call, call_async, returns};
#[cfg(feature = "distributed")]
pub(crate) use self::registry::{awaited, retire};
pub use self::{
    arguments::{Asked, Can, Cannot, Travels, Way},
    error::{DistributedResult, DistributionError},
    map::Map,
};
#[cfg(feature = "distributed")]
pub use self::{
    broadcast::Broadcast,
    call::{Call, call, call_async, returns},
};

use deploy_wire::resources::{Cpu, Mem, Resources};
use std::{ops::RangeInclusive, panic::Location, time::Duration};

/// Worker processes for functions: those that are annotated with [`on`](crate::on) or [`with`](crate::with) and its name.
///
/// ```no_run
/// use deploy::*;
///
/// static POOL: Pool = Pool::new().replicas(1..=8).in_flight(64).retries(2);
///
/// #[on(POOL)]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// fn main() {
///     init(Resources::default());
///     assert_eq!(square(7).wait(), Ok(49));
/// }
/// ```
///
/// It starts with the first call, and its workers end with the process that calls: when that returns, panics or is
/// killed. Each process that calls has workers of its own, also a worker that calls. A `const` pool is the same one each
/// time it is named; two that stand in different places, or are set differently, are two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use = "a pool is named by the functions that run in it"]
pub struct Pool {
    place: &'static Location<'static>,
    rules: Rules,
    retries: u32,
    timeout: Option<Duration>,
    resources: Resources,
}

/// How large a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Rules {
    pub(crate) replicas_min: usize,
    pub(crate) replicas_max: usize,
    pub(crate) in_flight: usize,
    pub(crate) idle: Duration,
}

/// What a call may cost.
#[cfg(feature = "distributed")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// How often it may be repeated.
    pub(crate) retries: u32,
    /// How long it may run.
    pub(crate) timeout: Option<Duration>,
}

impl Pool {
    /// A pool of 1 to 8 workers with the default resources, 64 calls in flight, 2 retries, no time limit, whose workers
    /// end after 10 s without work.
    #[track_caller]
    pub const fn new() -> Pool {
        Pool {
            place: Location::caller(),
            rules: Rules {
                replicas_min: 1,
                replicas_max: 8,
                in_flight: 64,
                idle: Duration::from_secs(10),
            },
            retries: 2,
            timeout: None,
            resources: Resources::DEFAULT,
        }
    }

    /// How many workers there are at least, from the first call on, and at most, where calls would wait for long. That
    /// there is no room for more is no error, as long as there is room for one. At least none: the last one goes too.
    ///
    /// Workers are alike in what they have. So functions that need other resources than the pool's have workers of their
    /// own, which are counted by themselves: `1..=4` allows four of the pool's, and four more for each other need.
    ///
    /// # Panics
    /// If it is nothing, as `0..=0` and `2..=1` are; in a `static` or `const` the program does not compile.
    pub const fn replicas(mut self, replicas: RangeInclusive<usize>) -> Pool {
        assert!(
            *replicas.end() > 0 && *replicas.start() <= *replicas.end(),
            "a pool has at least one worker when it has work: write replicas(1..=8)"
        );
        self.rules.replicas_min = *replicas.start();
        self.rules.replicas_max = *replicas.end();
        self
    }

    /// How many calls are with workers at a time: those beyond wait in line, in the order of calling. Functions that need
    /// other resources than the pool's have a line of their own.
    ///
    /// # Panics
    /// If it is 0.
    pub const fn in_flight(mut self, calls: usize) -> Pool {
        assert!(calls > 0, "a pool takes at least one call at a time");
        self.rules.in_flight = calls;
        self
    }

    /// How often a call is repeated whose worker died. So a call runs at most once more than this, in part or wholly:
    /// with 0 at most once. When a worker dies, any call that it had may have run: usually one, and up to 64 where calls
    /// take less than some milliseconds; with 0 retries always one.
    pub const fn retries(mut self, times: u32) -> Pool {
        self.retries = times;
        self
    }

    /// How long a call may run, waiting not counted. Then its worker is killed, and it is not repeated.
    pub const fn timeout(mut self, limit: Duration) -> Pool {
        self.timeout = Some(limit);
        self
    }

    /// What each worker needs; see [`with`](crate::with) for functions that need more.
    pub const fn resources(mut self, resources: Resources) -> Pool {
        self.resources = resources;
        self
    }

    /// After how long without work a worker ends, of those beyond the least number.
    pub const fn idle(mut self, time: Duration) -> Pool {
        self.rules.idle = time;
        self
    }

    /// How many workers it has in this process now, whatever they have.
    pub fn workers(&self) -> usize {
        #[cfg(feature = "distributed")]
        return registry::workers(self);
        #[cfg(not(feature = "distributed"))]
        1 // The caller.
    }
}

impl Default for Pool {
    #[track_caller]
    fn default() -> Pool {
        Pool::new()
    }
}

/// What is said beside the pool's name: what a call needs that is not the pool's own.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Memory of a worker.
    pub mem: Option<Mem>,
    /// Processor time of a worker.
    pub cpu: Option<Cpu>,
    /// GPUs of a worker.
    pub gpu: Option<u32>,
    /// How often a call is repeated.
    pub retries: Option<u32>,
    /// How long a call may run.
    pub timeout: Option<Duration>,
}

impl Terms {
    /// The pool's own.
    pub const NONE: Terms = Terms {
        mem: None,
        cpu: None,
        gpu: None,
        retries: None,
        timeout: None,
    };

    #[cfg(feature = "distributed")]
    fn resources(&self, pool: &Pool) -> Resources {
        Resources {
            mem: self.mem.unwrap_or(pool.resources.mem),
            cpu: self.cpu.unwrap_or(pool.resources.cpu),
            gpu: self.gpu.unwrap_or(pool.resources.gpu),
        }
    }

    #[cfg(feature = "distributed")]
    fn limits(&self, pool: &Pool) -> Limits {
        Limits {
            retries: self.retries.unwrap_or(pool.retries),
            timeout: self.timeout.or(pool.timeout),
        }
    }
}
