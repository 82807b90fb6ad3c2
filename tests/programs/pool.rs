//! Functions on a pool: every shape of a function, called by tasks and by threads; pools as statics and constants, side by
//! side, and in a worker.

//= run shapes
//= args shapes
//= main: exits 0, out "42 hello, world! 3 9 7 25 ok\n"
//=   pool_worker x3: exits 0

//= run many callers
//= args callers
//= main: exits 0, out "futures 332833500 tokio 332833500 smol 332833500 threads 332833500\n"
//=   pool_worker x2: exits 0

//= run panics
//= args panics
//= main: exits 0, out "it panicked at */pool.rs:*: no such thing 7\n11\n"
//=   pool_worker: exits 0
//=   pool_worker: exits 0, err "\n*panicked at*\nno such thing 7\n*\n"

//= run a worker that calls
//= args nested
//= main: exits 0, out "120\n"
//=   pool_worker: exits 0
//=     pool_worker: exits 0
//=       pool_worker: exits 0

//= run what lies behind a long call goes to another worker
//= args behind
//= main: exits 0, out "20 before the long one\n"
//=   pool_worker x2: exits 0

//= run no room
//= args room
//= env DEPLOY_CAPACITY=256MiB 1
//= main: exits 0, out "refused: *256MiB*\n"

use deploy::*;
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use std::{env, thread, time::Duration};

static POOL: Pool = Pool::new().replicas(2..=2);
const OTHER: Pool = Pool::new().replicas(1..=1).in_flight(3);

/// Doubles it.
#[on(POOL)]
#[must_use]
pub fn double(number: u64) -> u64 {
    number * 2
}

#[on(OTHER)]
fn greet(whom: &str, (sign, times): (char, usize)) -> String {
    let signs: String = std::iter::repeat_n(sign, times).collect();
    format!("hello, {whom}{signs}")
}

#[on(OTHER)]
fn longest(mut words: Vec<String>, more: &[String]) -> usize {
    words.extend_from_slice(more);
    words.iter().map(String::len).max().unwrap_or(0)
}

#[with(OTHER, mem = "256MiB", retries = 1)]
async fn later<T: Into<u64> + Serialize + for<'a> Deserialize<'a> + Send + 'static>(
    number: T,
) -> u64 {
    let number = number.into();
    std::future::ready(number * number).await
}

#[derive(Clone, Serialize, Deserialize)]
struct Rectangle {
    width: u32,
    height: u32,
}

impl Rectangle {
    const SIDE: u32 = 5;

    #[on(OTHER)]
    fn half(&self, by: u32) -> u32 {
        (self.width + self.height) / by
    }

    #[on(OTHER)]
    fn square() -> Self {
        Rectangle {
            width: Self::SIDE,
            height: Self::SIDE,
        }
    }
}

#[on(OTHER)]
fn checked(number: i32) -> Result<(), String> {
    match number {
        0 => Ok(()),
        _ => Err(format!("{number} is not 0"))?,
    }
}

#[on(POOL)]
fn fail(number: u64) -> u64 {
    assert!(number != 7, "no such thing {number}");
    number
}

#[on(OTHER)]
async fn factorial(number: u64) -> u64 {
    match number {
        0..=3 => number * (number - 1),
        _ => number * factorial(number - 1).await.unwrap(),
    }
}

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "shapes" => futures::executor::block_on(shapes()),
        "callers" => callers(),
        "panics" => {
            println!("{}", fail(7).wait().unwrap_err());
            println!("{}", fail(11).wait().unwrap());
        }
        "behind" => futures::executor::block_on(behind()),
        "room" => match double(21).wait() {
            Err(DistributionError::Refused(why)) => println!("refused: {why}"),
            other => println!("{other:?}"),
        },
        _ => println!("{}", factorial(5).wait().unwrap()),
    }
}

async fn shapes() {
    #[on(OTHER)]
    fn inner(bytes: Vec<u8>) -> Vec<u8> {
        bytes.into_iter().rev().collect()
    }
    let rectangle = Rectangle {
        width: 10,
        height: 8,
    };
    print!("{} ", double(21).await.unwrap());
    print!("{} ", greet("world", ('!', 1)).await.unwrap());
    print!(
        "{} ",
        longest(vec!["a".into()], &["abc".into()]).await.unwrap()
    );
    print!("{} ", later(3u32).await.unwrap());
    print!("{} ", inner(vec![1, 2, 7]).await.unwrap()[0]);
    let square = Rectangle::square().await.unwrap();
    print!("{} ", square.width * square.height);
    assert_eq!(rectangle.half(2).await, Ok(9));
    assert_eq!(checked(0).await, Ok(Ok(())));
    assert_eq!(checked(1).await, Ok(Err("1 is not 0".to_string())));
    println!("ok");
}

#[on(POOL)]
fn square(number: u64) -> u64 {
    number * number
}

async fn sum() -> u64 {
    let squares = join_all((0..1000).map(square)).await;
    squares.into_iter().map(Result::unwrap).sum()
}

fn callers() {
    print!("futures {} ", futures::executor::block_on(sum()));
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    print!("tokio {} ", tokio.block_on(sum()));
    print!("smol {} ", smol::block_on(sum()));
    let threads: Vec<_> = (0..10)
        .map(|part| {
            thread::spawn(move || {
                let numbers = part * 100..(part + 1) * 100;
                numbers
                    .map(|number| square(number).wait().unwrap())
                    .sum::<u64>()
            })
        })
        .collect();
    let sum: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    println!("threads {sum}");
}

#[on(POOL)]
fn nap(milliseconds: u64) -> u64 {
    thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

async fn behind() {
    join_all((0..20).map(|_| nap(0))).await; // So it is known as quick.
    let naps = [2000].into_iter().chain([0; 20]);
    let done = naps.map(nap).collect::<FuturesUnordered<_>>();
    let before = done.take_while(|nap| std::future::ready(*nap == Ok(0)));
    println!("{} before the long one", before.count().await);
}
