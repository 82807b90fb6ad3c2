//! The same tasks on every executor: two on each end, sinks and streams, the first of several, futures that are
//! dropped at any moment, time limits, and threads that block beside them.

//= run futures
//= args futures
//= main: exits 0, out "echoed 20000\nfirst of two 2000\ndropped sends 80\ndropped receives 80\nin time 1, late 20\nshared 4000\nspawned 8 x 200\n"
//=   echo: exits 0
//=   count x2: exits 0
//=   check_wholeness: exits 0
//=   send_rows: exits 0
//=   answer_late: exits 0
//=   share: exits 0
//=   echo x8: exits 0

//= run tokio
//= args tokio
//= main: exits 0, out "echoed 20000\nfirst of two 2000\ndropped sends 80\ndropped receives 80\nin time 1, late 20\nshared 4000\nspawned 8 x 200\n"
//=   echo: exits 0
//=   count x2: exits 0
//=   check_wholeness: exits 0
//=   send_rows: exits 0
//=   answer_late: exits 0
//=   share: exits 0
//=   echo x8: exits 0

//= run tokio, one thread
//= args tokio-one-thread
//= main: exits 0, out "echoed 20000\nfirst of two 2000\ndropped sends 80\ndropped receives 80\nin time 1, late 20\nshared 4000\nspawned 8 x 200\n"
//=   echo: exits 0
//=   count x2: exits 0
//=   check_wholeness: exits 0
//=   send_rows: exits 0
//=   answer_late: exits 0
//=   share: exits 0
//=   echo x8: exits 0

//= run smol
//= args smol
//= main: exits 0, out "echoed 20000\nfirst of two 2000\ndropped sends 80\ndropped receives 80\nin time 1, late 20\nshared 4000\nspawned 8 x 200\n"
//=   echo: exits 0
//=   count x2: exits 0
//=   check_wholeness: exits 0
//=   send_rows: exits 0
//=   answer_late: exits 0
//=   share: exits 0
//=   echo x8: exits 0

use deploy::{select, *};
use futures::{
    FutureExt, SinkExt, StreamExt, TryStreamExt,
    channel::oneshot,
    future::{self, BoxFuture, Either},
    stream,
};
use std::{
    collections::BTreeSet, env, future::Future, pin::pin, sync::Arc, thread, time::Duration,
};

fn main() {
    init(Resources::default());
    let executor = executor();
    executor.run(async {
        echoed().await;
        first_of_two().await;
        dropped_sends().await;
        dropped_receives().await;
        time_limits(executor).await;
        shared().await;
        spawned(executor).await;
    });
}

#[derive(Clone, Copy)]
enum Executor {
    Futures,
    Tokio,
    TokioOneThread,
    Smol,
}

/// The processes of a job have the same arguments, so all use the same one.
fn executor() -> Executor {
    match env::args().nth(1).unwrap().as_str() {
        "futures" => Executor::Futures,
        "tokio" => Executor::Tokio,
        "tokio-one-thread" => Executor::TokioOneThread,
        _ => Executor::Smol,
    }
}

impl Executor {
    fn run<R>(self, future: impl Future<Output = R>) -> R {
        use tokio::runtime::Builder;
        match self {
            Executor::Futures => futures::executor::block_on(future),
            Executor::Smol => smol::block_on(future),
            Executor::Tokio => Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
                .block_on(future),
            Executor::TokioOneThread => Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(future),
        }
    }

    /// A task of its own, which may move between threads; `futures` alone has none, and polls it in place.
    fn spawn<R: Send + 'static>(
        self,
        future: impl Future<Output = R> + Send + 'static,
    ) -> BoxFuture<'static, R> {
        match self {
            Executor::Futures => future.boxed(),
            Executor::Smol => smol::spawn(future).boxed(),
            Executor::Tokio | Executor::TokioOneThread => {
                tokio::spawn(future).map(Result::unwrap).boxed()
            }
        }
    }

    fn sleep(self, time: Duration) -> BoxFuture<'static, ()> {
        match self {
            Executor::Futures => {
                let (tell, told) = oneshot::channel();
                thread::spawn(move || {
                    thread::sleep(time);
                    tell.send(())
                });
                told.map(|_| ()).boxed()
            }
            Executor::Smol => Box::pin(async move {
                smol::Timer::after(time).await;
            }),
            Executor::Tokio | Executor::TokioOneThread => tokio::time::sleep(time).boxed(),
        }
    }
}

/// One task sends by a sink, one receives by a stream; at the other end one forwards to the other.
async fn echoed() {
    const COUNT: u64 = 20_000;
    let pid = spawn(echo, (), Resources::default()).unwrap();
    let (mut sender, receiver) = (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
    let send = async move {
        sender
            .send_all(&mut stream::iter((0..COUNT).map(Ok)))
            .await
            .unwrap();
        sender.close().await.unwrap();
    };
    let (numbers, ()) = future::join(receiver.try_collect::<Vec<_>>(), send).await;
    assert_eq!(numbers, Ok((0..COUNT).collect::<Vec<_>>()));
    println!("echoed {COUNT}");
}

fn echo(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    executor().run(receiver.forward(sender)).unwrap();
}

/// Of two futures the loser is dropped each time, and loses nothing.
async fn first_of_two() {
    let [one, other] = [(); 2].map(|()| {
        let pid = spawn(count, 1000u64, Resources::default()).unwrap();
        Receiver::<u64>::new(pid)
    });
    let mut next = [0, 0];
    while next != [1000, 1000] {
        let (one, other) = (pin!(one.recv_async()), pin!(other.recv_async()));
        let index = match future::select(one, other).await {
            Either::Left((Ok(number), _)) => (0, number),
            Either::Right((Ok(number), _)) => (1, number),
            // One has ended: the other is heard to its end.
            Either::Left((Err(_), other)) => (1, other.await.unwrap()),
            Either::Right((Err(_), one)) => (0, one.await.unwrap()),
        };
        assert_eq!(next[index.0], index.1);
        next[index.0] += 1;
    }
    println!("first of two {}", next[0] + next[1]);
}

fn count(parent: Pid, count: u64) {
    let sender = Sender::<u64>::new(parent);
    executor().run(async {
        for number in 0..count {
            sender.send_async(number).await.unwrap();
            if number % 16 == 0 {
                executor().sleep(Duration::from_micros(100)).await;
            }
        }
    });
}

/// How many numbers a value has: some fit a frame, some go in pieces.
fn rows(round: u64) -> Vec<(u64, String)> {
    let count = [1, 50, 1500, 5000, 12_000][round as usize % 5];
    (0..count).map(|row| (row, format!("{round}"))).collect()
}

type Rows = Vec<(u64, String)>;

/// Polls a future at most so often.
async fn poll_a_few<F: Future + Unpin>(mut future: F, polls: u64) -> Option<F::Output> {
    for _ in 0..polls {
        if let std::task::Poll::Ready(output) = futures::poll!(&mut future) {
            return Some(output);
        }
        thread::yield_now();
    }
    None
}

/// A send that is dropped has sent all of its value or nothing.
async fn dropped_sends() {
    const ROUNDS: u64 = 80;
    let pid = spawn(check_wholeness, (), Resources::default()).unwrap();
    let (sender, receiver) = (
        Sender::<Rows>::new(pid),
        Receiver::<BTreeSet<u64>>::new(pid),
    );
    let mut surely = BTreeSet::new();
    for round in 0..ROUNDS {
        let send = Box::pin(sender.send_async(rows(round)));
        if round % 7 == 0 {
            send.await.unwrap();
            surely.insert(round);
        } else if poll_a_few(send, round % 5).await.is_some() {
            surely.insert(round);
        }
    }
    drop(sender);
    let came = receiver.recv_async().await.unwrap();
    assert!(came.is_superset(&surely), "{surely:?} {came:?}");
    println!("dropped sends {ROUNDS}");
}

fn check_wholeness(parent: Pid, (): ()) {
    let receiver = Receiver::<Rows>::new(parent);
    let mut came = BTreeSet::new();
    for value in receiver.iter() {
        let value = value.unwrap();
        let round = value[0].1.parse().unwrap();
        assert!(value == rows(round), "{round} is torn");
        assert!(
            came.last().is_none_or(|last| *last < round),
            "{round} comes late"
        );
        came.insert(round);
    }
    Sender::new(parent).send(came).unwrap();
}

/// A receive that is dropped loses nothing, whether a frame or a long value was on its way.
async fn dropped_receives() {
    const ROUNDS: u64 = 80;
    let pid = spawn(send_rows, ROUNDS, Resources::default()).unwrap();
    let receiver = Receiver::<Rows>::new(pid);
    for round in 0..ROUNDS {
        let mut value = None;
        for polls in 0..round % 4 {
            value = poll_a_few(Box::pin(receiver.recv_async()), polls).await;
            if value.is_some() {
                break;
            }
        }
        let value = match value {
            Some(value) => value,
            None => receiver.recv_async().await,
        };
        assert!(value.unwrap() == rows(round), "{round} is torn");
    }
    assert_eq!(receiver.recv_async().await, Err(ChannelError::Closed));
    println!("dropped receives {ROUNDS}");
}

fn send_rows(parent: Pid, rounds: u64) {
    let mut sender = Sender::<Rows>::new(parent);
    let all = stream::iter((0..rounds).map(|round| Ok(rows(round))));
    executor().run(all.forward(&mut sender)).unwrap();
}

/// Waiting with a time limit, on a channel that stays silent, and then does not.
async fn time_limits(executor: Executor) {
    let pid = spawn(answer_late, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::<()>::new(pid), Receiver::<u64>::new(pid));
    let mut late = 0;
    for _ in 0..20 {
        let limit = executor.sleep(Duration::from_millis(1));
        match future::select(pin!(receiver.recv_async()), limit).await {
            Either::Left((number, _)) => panic!("{number:?} came before it was asked for"),
            Either::Right(_) => late += 1,
        }
    }
    sender.send_async(()).await.unwrap();
    let limit = executor.sleep(Duration::from_secs(60));
    match future::select(pin!(receiver.recv_async()), limit).await {
        Either::Left((number, _)) => println!("in time {}, late {late}", number.unwrap()),
        Either::Right(_) => panic!("nothing came in a minute"),
    }
}

fn answer_late(parent: Pid, (): ()) {
    executor().run(async {
        Receiver::<()>::new(parent).recv_async().await.unwrap();
        Sender::<u64>::new(parent).send_async(1).await.unwrap();
    });
}

/// Threads that block, a thread that selects, and tasks use both ends of one connection at once.
async fn shared() {
    let pid = spawn(share, (), Resources::default()).unwrap();
    let receiver = Arc::new(Receiver::<u64>::new(pid));
    let threads = [false, true].map(|selects| {
        let receiver = receiver.clone();
        thread::spawn(move || hear_all(&receiver, selects))
    });
    let tasks = [(); 2].map(|()| {
        let receiver = receiver.clone();
        async move {
            let mut heard = Vec::new();
            while let Ok(number) = receiver.recv_async().await {
                heard.push(number);
            }
            heard
        }
    });
    let by_tasks = future::join_all(tasks).await;
    let by_threads = threads.map(|thread| thread.join().unwrap());
    let all: Vec<u64> = by_tasks.into_iter().chain(by_threads).flatten().collect();
    let different: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(all.len(), different.len());
    println!("shared {}", different.len());
}

fn hear_all(receiver: &Receiver<u64>, selects: bool) -> Vec<u64> {
    let mut heard = Vec::new();
    loop {
        let number = match selects {
            true => select! { recv(receiver) -> number => number },
            false => receiver.recv(),
        };
        match number {
            Ok(number) => heard.push(number),
            Err(_) => return heard,
        }
    }
}

fn share(parent: Pid, (): ()) {
    let sender = &Sender::<u64>::new(parent);
    thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                (0..1000).for_each(|number| sender.send(4 * number + part).unwrap());
            });
        }
        executor().run(future::join_all((2..4).map(|part| async move {
            for number in 0..1000 {
                sender.send_async(4 * number + part).await.unwrap();
            }
        })));
    });
}

/// Tasks that the executor may move between its threads, each in a conversation of its own.
async fn spawned(executor: Executor) {
    let tasks = (0..8u64).map(|index| {
        executor.spawn(async move {
            let pid = spawn(echo, (), Resources::default()).unwrap();
            let (sender, receiver) = (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
            for round in 0..200 {
                sender.send_async(index * round).await.unwrap();
                assert_eq!(receiver.recv_async().await, Ok(index * round));
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    println!("spawned {} x 200", future::join_all(tasks).await.len());
}
