//! A function on a pool, called with one input after another: results as an iterator and as a stream.
//!
//! There are never more calls out than a window holds, and no more inputs are taken than that: so the inputs may be
//! endless. Deliberately absent: a thread. Calls that are out go on while nobody asks for a result; the next ones begin
//! when somebody does.

use super::{Call, Pool, Serving, error::DistributedResult, progress::Progress};
use crate::park;
use futures_core::Stream;
use std::{
    any::type_name,
    collections::VecDeque,
    fmt,
    iter::{Fuse, FusedIterator},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

impl Pool {
    /// Calls a function with each of the inputs, and yields the results in the order of the inputs: as an iterator, which
    /// blocks, or [as a `Stream`](Map::into_stream) for tasks. It takes inputs as it needs them, at most twice as many as are [in
    /// flight](Pool::in_flight) ahead of the results; so they may be endless, and hold the memory of no more than that.
    ///
    /// On a terminal it tells now and then how far it is. Dropped early, it calls off what has not begun.
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
    /// fn main() -> Result<(), DistributionError> {
    ///     init(Resources::default());
    ///     let sum: u64 = POOL.map(square, 0..1000).sum::<Result<u64, _>>()?;
    ///     println!("{sum}");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A function of several arguments is called in a closure, which runs here: `POOL.map(|(a, b)| add(a, b), pairs)`.
    pub fn map<I: IntoIterator, F: FnMut(I::Item) -> Call<T>, T>(
        &self,
        function: F,
        inputs: I,
    ) -> Map<I::IntoIter, F, T> {
        Map::new(*self, function, inputs.into_iter(), true)
    }

    /// The same, but that results come as they are ready, in any order.
    ///
    /// ```no_run
    /// # use deploy::*;
    /// # static POOL: Pool = Pool::new();
    /// # #[on(POOL)]
    /// # fn square(number: u64) -> u64 { number * number }
    /// let even = POOL.map_unordered(square, 0..).filter(|square| matches!(square, Ok(n) if n % 2 == 0));
    /// for square in even.take(10) {
    ///     println!("{square:?}");
    /// }
    /// ```
    pub fn map_unordered<I: IntoIterator, F: FnMut(I::Item) -> Call<T>, T>(
        &self,
        function: F,
        inputs: I,
    ) -> Map<I::IntoIter, F, T> {
        Map::new(*self, function, inputs.into_iter(), false)
    }
}

/// The results of a function on a pool: see [`Pool::map`].
#[must_use = "nothing is called until results are asked for"]
pub struct Map<I: Iterator, F, T> {
    pool: Pool,
    function: F,
    inputs: Fuse<I>,
    /// Those that are out, or done and not asked for, in the order of their inputs.
    calls: VecDeque<Call<T>>,
    is_ordered: bool,
    /// Who did any of it: as many as the calls have different needs.
    crews: Vec<Serving>,
    progress: Progress,
}

impl<I: Iterator, F: FnMut(I::Item) -> Call<T>, T> Map<I, F, T> {
    fn new(pool: Pool, function: F, inputs: I, is_ordered: bool) -> Map<I, F, T> {
        let (least, most) = inputs.size_hint();
        Map {
            pool,
            function,
            progress: Progress::new(type_name::<F>(), most.filter(|most| *most == least)),
            inputs: inputs.fuse(),
            calls: VecDeque::new(),
            crews: Vec::new(),
            is_ordered,
        }
    }

    /// The same results for a task. (A type that is an iterator and a stream would have two methods of each name.)
    ///
    /// ```no_run
    /// # use deploy::*;
    /// # static POOL: Pool = Pool::new();
    /// # #[on(POOL)]
    /// # fn square(number: u64) -> u64 { number * number }
    /// # async fn sum() -> Result<(), DistributionError> {
    /// use futures::StreamExt;
    ///
    /// let mut squares = POOL.map(square, 0..1000).into_stream();
    /// while let Some(square) = squares.next().await {
    ///     println!("{}", square?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = DistributedResult<T>> + Unpin + use<I, F, T> {
        MapStream(self)
    }

    fn poll(&mut self, waker: &Waker) -> Poll<Option<DistributedResult<T>>> {
        self.fill_if_low();
        if self.calls.is_empty() {
            self.progress.finish(|| workers(&self.crews));
            return Poll::Ready(None);
        }
        let Some(place) = self.ready(waker).or_else(|| self.look()) else {
            return Poll::Pending;
        };
        let call = self.calls.get_mut(place).expect("it was found there");
        let result = ready!(Pin::new(call).poll(&mut Context::from_waker(waker)));
        self.calls.remove(place);
        self.fill_if_low(); // Before the result is looked at, which may take its time.
        self.progress.step(|| workers(&self.crews));
        Poll::Ready(Some(result))
    }

    /// Begins as many calls as the window holds, if the next result has yet to come or some of them are missing: many that
    /// begin together leave together.
    fn fill_if_low(&mut self) {
        let window = self.pool.rules.in_flight.saturating_mul(2);
        if self.done().is_some() && self.calls.len() >= window - window / 4 {
            return;
        }
        let mut burst = None;
        while self.calls.len() < window {
            let Some(input) = self.inputs.next() else {
                return;
            };
            let mut call = (self.function)(input);
            call.begin();
            burst = burst.or_else(|| call.burst());
            let crew = call.crew().filter(|crew| !self.crews.contains(crew));
            self.crews.extend(crew.cloned());
            self.calls.push_back(call);
        }
    }

    /// Looks for the next answer where it would come soon, and says which call has one.
    fn look(&self) -> Option<usize> {
        self.calls.front()?.look();
        self.done()
    }

    /// Which call is the next to be yielded, if it is done.
    fn done(&self) -> Option<usize> {
        let candidates = if self.is_ordered { 1 } else { self.calls.len() };
        let mut candidates = self.calls.iter().take(candidates);
        candidates.position(Call::is_done)
    }

    /// Which call is the next to be yielded; where there is none yet, `waker` is woken.
    fn ready(&self, waker: &Waker) -> Option<usize> {
        self.done().or_else(|| {
            let candidates = if self.is_ordered { 1 } else { self.calls.len() };
            let listening = self.calls.iter().take(candidates);
            listening.for_each(|call| call.listen(waker));
            self.done()
        })
    }
}

impl<I: Iterator, F: FnMut(I::Item) -> Call<T>, T> Iterator for Map<I, F, T> {
    type Item = DistributedResult<T>;

    /// Blocks until there is a result.
    fn next(&mut self) -> Option<DistributedResult<T>> {
        park::until(None, |waker| match self.poll(waker) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        })
        .expect("a wait without deadline finds something")
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.inputs.size_hint();
        let out = self.calls.len();
        (
            least.saturating_add(out),
            most.and_then(|most| most.checked_add(out)),
        )
    }
}

impl<I: Iterator, F: FnMut(I::Item) -> Call<T>, T> FusedIterator for Map<I, F, T> {}

impl<I: Iterator, F, T> Unpin for Map<I, F, T> {}

impl<I: Iterator, F, T> fmt::Debug for Map<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map<{}>", type_name::<F>())
    }
}

/// How many workers there are for these calls; the pool may have others, which do not.
fn workers(crews: &[Serving]) -> usize {
    crews.iter().map(|crew| crew.size()).sum()
}

struct MapStream<I: Iterator, F, T>(Map<I, F, T>);

impl<I: Iterator, F: FnMut(I::Item) -> Call<T>, T> Stream for MapStream<I, F, T> {
    type Item = DistributedResult<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx.waker())
    }
}
