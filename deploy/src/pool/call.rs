//! A call, as whoever makes it holds it: a future, or a value that a thread waits for.
//!
//! Deliberately absent: everything that happens meanwhile (`crew.rs`).

use super::{
    Pool, Terms,
    arguments::{Way, Ways},
    broadcast,
    crew::{Burst, Crew},
    error::{DistributedResult, DistributionError},
    message::Bytes,
    registry,
    ticket::{Answer, Job, Ticket},
    worker::{CODED, UNCODED},
};
use crate::{codec::CodecError, error::SpawnError, park, process};
use deploy_sys::code::{self, Entry};
use std::{
    any::type_name,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// A call on a pool: what a function annotated with [`on`](crate::on) or [`with`](crate::with) returns.
///
/// It is a future, on any executor, and begins when it is polled first. A thread that is in no task waits for it by
/// [`Call::wait`]. Dropped before it completes, it is called off: if it has not begun to run it never will, and if it has,
/// its result is thrown away.
///
/// ```no_run
/// use deploy::*;
///
/// static POOL: Pool = Pool::new();
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
#[must_use = "a call begins when it is awaited"]
pub struct Call<T> {
    state: State,
    decode: fn(&mut &[u8]) -> Result<T, CodecError>,
}

/// The workers that calls with the same needs have.
pub(crate) type Serving = Arc<Crew>;

enum State {
    /// Not begun.
    Prepared(Arc<Crew>, Job),
    /// It cannot begin.
    Failed(DistributionError),
    /// Its answer will be in the ticket.
    Called(Arc<Crew>, u64, Arc<Ticket>),
    Over,
}

impl<T> Call<T> {
    /// Blocks until the result is there.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// If `init` was not called.
    #[track_caller]
    pub fn wait(self) -> DistributedResult<T> {
        process::current(); // Whoever forgot `init` is told where.
        park::block_on(self)
    }

    /// Begins it, if it has not begun. Does not block.
    pub(crate) fn begin(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Prepared(crew, job) => {
                crew.handle_begun();
                let (id, ticket) = crew.call(job);
                self.state = State::Called(crew, id, ticket);
            }
            other => self.state = other,
        }
    }

    /// Looks for its answer, if it is out and that pays; otherwise somebody else does from now on.
    pub(crate) fn look(&self) {
        if let State::Called(crew, id, ticket) = &self.state {
            crew.look_for(*id, ticket);
            crew.rest();
        }
    }

    /// Others will follow it at once, until this is dropped.
    pub(crate) fn burst(&self) -> Option<Burst> {
        match &self.state {
            State::Called(crew, ..) => Some(Burst::new(crew.clone())),
            _ => None,
        }
    }

    /// Who does it, if it is out.
    pub(crate) fn crew(&self) -> Option<&Serving> {
        match &self.state {
            State::Called(crew, ..) => Some(crew),
            _ => None,
        }
    }

    /// Whether it would be ready if it were polled.
    pub(crate) fn is_done(&self) -> bool {
        match &self.state {
            State::Prepared(..) => false,
            State::Called(_, _, ticket) => ticket.is_done(),
            State::Failed(_) | State::Over => true,
        }
    }

    /// Has this task woken when it is done.
    pub(crate) fn listen(&self, task: &Waker) {
        if let State::Called(_, _, ticket) = &self.state {
            ticket.listen(task);
        }
    }

    fn finish(&mut self, answer: Answer) -> Poll<DistributedResult<T>> {
        self.state = State::Over;
        let decode = |bytes: Bytes| (self.decode)(&mut bytes.0.as_slice());
        Poll::Ready(answer.and_then(|bytes| decode(bytes).map_err(DistributionError::Codec)))
    }
}

impl<T> Future for Call<T> {
    type Output = DistributedResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DistributedResult<T>> {
        let is_new = matches!(self.state, State::Prepared(..));
        self.begin();
        match &self.state {
            State::Called(crew, id, ticket) => {
                if is_new {
                    crew.look_for(*id, ticket);
                }
                if !ticket.is_done() {
                    ticket.listen(cx.waker());
                    crew.rest();
                }
                match ticket.take() {
                    Some(answer) => {
                        crew.handle_picked(ticket);
                        self.finish(answer)
                    }
                    None => Poll::Pending,
                }
            }
            State::Failed(why) => {
                let why = why.clone();
                self.finish(Err(why))
            }
            State::Prepared(..) => unreachable!("it was called above"),
            State::Over => panic!("deploy: a call is not polled when it is over"),
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        match &self.state {
            State::Prepared(crew, _) => crew.handle_begun(),
            State::Called(crew, id, ticket) => {
                if !ticket.is_done() {
                    crew.call_off(*id);
                }
                crew.handle_picked(ticket);
            }
            State::Failed(_) | State::Over => {}
        }
    }
}

impl<T> Unpin for Call<T> {}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call<{}>", type_name::<T>())
    }
}

/// A call of a function that returns its result.
pub fn call<A, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> R>(
    pool: Pool,
    terms: Terms,
    given: A,
    _: W, // Of what says how things travel, the types say it all.
    _: V,
    function: F,
) -> Call<R> {
    std::mem::forget(function); // Its type, too: the value lives on in the worker.
    let entry = (enter::<A, W, R, V, F> as Entry, name::<F>());
    prepare::<A, W, R, V>(pool, terms, &given, entry)
}

/// A call of a function that returns a future of its result.
pub fn call_async<A, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> U, U: Future<Output = R> + Send>(
    pool: Pool,
    terms: Terms,
    given: A,
    _: W,
    _: V,
    function: F,
) -> Call<R> {
    std::mem::forget(function); // As above.
    let entry = (enter_async::<A, W, R, V, F, U> as Entry, name::<F>());
    prepare::<A, W, R, V>(pool, terms, &given, entry)
}

/// What people call the function whose body is in this closure.
fn name<F>() -> &'static str {
    let name = type_name::<F>();
    name.strip_suffix("::{{closure}}").unwrap_or(name)
}

/// Says what a future returns, where its type is not written.
pub fn returns<R, U: Future<Output = R>>(future: U) -> U {
    future
}

fn prepare<A, W: Ways<A>, R, V: Way<R>>(
    pool: Pool,
    terms: Terms,
    given: &A,
    entry: (Entry, &'static str),
) -> Call<R> {
    let encode = |bytes: &mut Vec<u8>| W::encode(given, bytes);
    let state = match job(&pool, &terms, encode, entry) {
        Ok(job) => {
            let crew = registry::crew(&pool, &terms);
            crew.handle_made();
            State::Prepared(crew, job)
        }
        Err(why) => State::Failed(why),
    };
    let decode = V::decode;
    Call { state, decode }
}

fn job(
    pool: &Pool,
    terms: &Terms,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    (entry, name): (Entry, &'static str),
) -> Result<Job, DistributionError> {
    let function =
        code::offset(entry).map_err(|_| DistributionError::Refused(SpawnError::NotInProgram))?;
    let mut bytes = Vec::new();
    let (coded, named) = broadcast::naming(|| encode(&mut bytes));
    coded.map_err(DistributionError::Codec)?;
    Ok(Job {
        function,
        name,
        given: Bytes(Arc::new(bytes)),
        named,
        limits: terms.limits(pool),
    })
}

/// What a worker runs.
fn enter<A, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> R>(given: Vec<u8>) -> Vec<u8> {
    run::<A, W, R, V>(&given, code::only_value::<F>())
}

/// The same for a function that returns a future: it is the only task of its thread.
fn enter_async<A, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> U, U: Future<Output = R>>(
    given: Vec<u8>,
) -> Vec<u8> {
    let function = code::only_value::<F>();
    run::<A, W, R, V>(&given, |given| park::block_on(function(given)))
}

fn run<A, W: Ways<A>, R, V: Way<R>>(mut given: &[u8], function: impl Fn(A) -> R) -> Vec<u8> {
    let decoded = W::decode(&mut given).map_err(|why| not_coded::<A>("decoded", why));
    let mut returned = Vec::new();
    let coded = decoded.and_then(|given| {
        V::encode(&function(given), &mut returned).map_err(|why| not_coded::<R>("encoded", why))
    });
    if let Err(why) = &coded {
        returned.clear();
        returned.extend_from_slice(why.as_bytes());
    }
    returned.push(if coded.is_ok() { CODED } else { UNCODED });
    returned
}

fn not_coded<T>(done: &str, why: CodecError) -> CodecError {
    format!("{} could not be {done}: {why}", type_name::<T>())
}
