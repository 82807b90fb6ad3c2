//! A pool of processes for any function: jobs of any type go in, results of any type come out, in order.
//!
//! The pool itself is the lower half of this file. It hands each process one job at a time, and keeps the processes for
//! further jobs. An error that a job returns is a value like others. A job whose process dies, here on purpose, costs that
//! process alone: the pool says how it died, and starts another.
//!
//! ```text
//! cargo run -p deploy-examples --example process_pool
//! cargo run -p deploy-examples --example process_pool -- 16; echo "exit code $?"
//! ```
//!
//! The exit code is that of the process that died, as a shell would tell it: 134 for `abort`.

use deploy::*;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, env, error::Error, fmt::Debug, process};

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let size = env::args().nth(1).map_or(Ok(3), |size| size.parse());
    let Ok(size @ 1..) = size else {
        eprintln!("usage: process_pool [PROCESSES], at least 1");
        process::exit(2);
    };

    // A closure with text in, and a number or a reason out.
    let mut parsers = Pool::start(size, |text: String| -> Result<i64, String> {
        text.parse()
            .map_err(|why| format!("{text:?} is no number: {why}"))
    })?;
    show(&parsers.map(["12", "-7", "dozen", "99"].map(String::from))?);

    // A named function with a pair in, in a second pool beside the first.
    let mut dividers = Pool::start(size, divide)?;
    show(&dividers.map([(84, 2), (1, 0), (99, 9)])?);

    // The same processes serve again and again.
    let squares = Pool::start(size, |number: u64| (pid(), number * number))?.map(0..1000)?;
    let (pids, squares): (BTreeSet<Pid>, Vec<u64>) = squares.into_iter().flatten().unzip();
    let total: u64 = squares.iter().sum();
    let few = pids.len() <= size;
    println!("1000 jobs, {total} in sum, by no more than {size} processes: {few}");
    Ok(())
}

/// Whoever divides by zero dies of it.
fn divide((dividend, divisor): (u32, u32)) -> u32 {
    match dividend.checked_div(divisor) {
        Some(quotient) => quotient,
        None => process::abort(),
    }
}

fn show<R: Debug>(results: &[Result<R, ChannelError>]) {
    for result in results {
        match result {
            Ok(result) => println!("{result:?}"),
            Err(error) => println!("no result: {error}"),
        }
    }
}

/// What a job or a result has to be.
trait Travels: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Travels for T {}

/// Processes that all run the function `F`, from a job `J` to its result `R`.
struct Pool<F, J: Travels, R: Travels> {
    function: F,
    members: Vec<Member<J, R>>,
}

/// One process of a pool. When it is dropped its process hears no more jobs, and ends.
struct Member<J: Travels, R: Travels> {
    jobs: Sender<J>,
    results: Receiver<R>,
}

impl<F: Fn(J) -> R + Copy, J: Travels, R: Travels> Pool<F, J, R> {
    /// Starts `size` processes for a function named, or a closure that captures nothing.
    fn start(size: usize, function: F) -> Result<Pool<F, J, R>, SpawnError> {
        let members = (0..size).map(|_| Member::start(function));
        Ok(Pool {
            function,
            members: members.collect::<Result<_, _>>()?,
        })
    }

    /// Does all the jobs. Results come in the order of the jobs; a job whose process died has the reason in its place.
    fn map(
        &mut self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Result<R, ChannelError>>, SpawnError> {
        let mut jobs = jobs.into_iter().enumerate();
        let mut results = Vec::new();
        // Which member is at which job: `busy` and `idle` hold places in `members`.
        let mut idle: Vec<usize> = (0..self.members.len()).collect();
        let mut busy: Vec<(usize, usize)> = Vec::new();
        loop {
            while let Some(member) = idle.last().copied()
                && let Some((index, job)) = jobs.next()
            {
                // Should the process have died while it was idle, receiving says so.
                let _ = self.members[member].jobs.send(job);
                idle.pop();
                busy.push((member, index));
            }
            if busy.is_empty() {
                break;
            }
            let (member, index, result) = self.first_result(&mut busy);
            if result.is_err() {
                self.members[member] = Member::start(self.function)?;
            }
            results.push((index, result));
            idle.push(member);
        }
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    /// Waits for whichever member is ready first.
    fn first_result(
        &self,
        busy: &mut Vec<(usize, usize)>,
    ) -> (usize, usize, Result<R, ChannelError>) {
        let mut select = Select::new();
        for (member, _) in &*busy {
            select.recv(&self.members[*member].results);
        }
        let ready = select.select();
        let (member, index) = busy.swap_remove(ready.index());
        let result = ready.recv(&self.members[member].results);
        (member, index, result)
    }
}

impl<J: Travels, R: Travels> Member<J, R> {
    fn start<F: Fn(J) -> R + Copy>(function: F) -> Result<Member<J, R>, SpawnError> {
        // `function` captures nothing, and so this closure, with it inside, captures nothing either.
        let serve = move |parent: Pid, (): ()| {
            let results = Sender::new(parent);
            for job in Receiver::new(parent).iter().map_while(Result::ok) {
                if results.send(function(job)).is_err() {
                    break;
                }
            }
        };
        let pid = spawn(serve, (), Resources::default())?;
        Ok(Member {
            jobs: Sender::new(pid),
            results: Receiver::new(pid),
        })
    }
}
