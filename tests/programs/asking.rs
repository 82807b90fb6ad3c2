//! Starting and waiting without blocking: for tasks, with time limits, many at once, and given up in the middle.

//= run wait
//= args wait
//= main: exits 0, out
//=     "not yet, not yet, not yet\n"
//=     "codes [0, 3, 0], again [0, 3, 0]\n"
//= code 3
//=   exit_when_told x2: exits 0
//=   exit_when_told: exits 3

//= run many
//= args many
//= main: exits 0, out "40 heard, no thread for any of them\n"
//=   hold x40: exits 0

//= run withdrawn
//= args withdrawn
//= env DEPLOY_CAPACITY=1GiB 4
//= main: exits 0, out "queued, withdrawn, and the one behind it was started\n"
//=   hold x2: exits 0

//= run in order
//= args order
//= env DEPLOY_CAPACITY=1GiB 4
//= main: exits 0, out "refused at once, started in their turn\n"
//=   hold x3: exits 0

//= run given up
//= args given-up
//= env DEPLOY_CAPACITY=1GiB 4
//= main: exits 0, out "it lives on\n"
//=   hold x3: exits 0

use deploy::*;
use futures::{FutureExt, future::join_all};
use std::{env, fs, future::Future, pin::pin, time::Duration};

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "wait" => futures::executor::block_on(wait()),
        "many" => many(),
        "withdrawn" => smol::block_on(withdrawn()),
        "order" => smol::block_on(order()),
        _ => given_up(),
    }
}

async fn wait() {
    let pids = [0, 3, 0].map(|code| spawn(exit_when_told, code, Resources::default()).unwrap());
    let yet = pids.map(
        |pid| match pid.wait_timeout(Duration::from_millis(5)).unwrap() {
            None => "not yet",
            Some(_) => "ended",
        },
    );
    println!("{}", yet.join(", "));
    for pid in pids {
        assert!(pid.wait_async().now_or_never().is_none());
    }
    let waits = join_all(pids.map(Pid::wait_async));
    for pid in pids {
        Sender::new(pid).send(()).unwrap();
    }
    let codes: Vec<_> = waits.await.into_iter().map(code).collect();
    let again = pids.map(|pid| code(pid.wait_timeout(MINUTE).map(Option::unwrap)));
    println!("codes {codes:?}, again {again:?}");
}

fn code(status: Result<ExitStatus, WaitError>) -> i32 {
    status.unwrap().code().unwrap()
}

fn exit_when_told(parent: Pid, code: i32) {
    Receiver::<()>::new(parent).recv().unwrap();
    std::process::exit(code)
}

/// Tasks on several threads start and wait for processes, all at once.
fn many() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let before = threads();
    runtime.block_on(async {
        let tasks = (0..40).map(|_| {
            tokio::spawn(async {
                let pid = Builder::new().spawn_async(hold, ()).await.unwrap();
                (pid, tokio::spawn(pid.wait_async()))
            })
        });
        let started = join_all(tasks).await;
        let more = threads() - before;
        assert!(more <= 2, "{more} threads more, beyond the runtime's own");
        for task in started {
            let (pid, wait) = task.unwrap();
            Sender::new(pid).send_async(()).await.unwrap();
            assert!(wait.await.unwrap().unwrap().success());
        }
    });
    println!("40 heard, no thread for any of them");
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// What waits at the head of the queue is withdrawn: it is never started, and keeps nobody else.
async fn withdrawn() {
    let first = spawn(hold, (), mem(512)).unwrap();
    let mut small = pin!(queued(128));
    {
        let mut big = pin!(queued(1000));
        assert!(poll(&mut big).is_none());
        assert!(poll(&mut small).is_none());
        // It was asked for before this one, whose answer is there.
        spawn(hold, (), mem(900)).unwrap_err();
        assert!(poll(&mut small).is_none());
    }
    let small = small.await.unwrap();
    println!("queued, withdrawn, and the one behind it was started");
    release(small);
    release(first);
}

async fn order() {
    let refused = Builder::new().resources(mem(5000)).wait(true);
    let refused = refused.spawn_async(hold, ()).await;
    assert!(matches!(refused, Err(SpawnError::NeverFits { .. })));
    let first = queued(700).await.unwrap();
    let refused = Builder::new().resources(mem(700)).spawn_async(hold, ());
    assert!(matches!(
        refused.await,
        Err(SpawnError::OutOfResources { .. })
    ));
    let (mut second, mut third) = (pin!(queued(700)), pin!(queued(700)));
    assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
    release(first);
    let second = second.await.unwrap();
    assert!(poll(&mut third).is_none());
    release(second);
    release(third.await.unwrap());
    println!("refused at once, started in their turn");
}

/// Dropped when it was started already, and nobody had asked what became of it.
fn given_up() {
    let first = spawn(hold, (), mem(700)).unwrap();
    let mut second = Box::pin(queued(700));
    assert!(poll(&mut second).is_none());
    release(first);
    let behind = Builder::new().resources(mem(50)).wait(true);
    let third = behind.spawn(hold, ()).unwrap();
    drop(second);
    release(third);
    println!("it lives on");
}

fn queued(mib: u64) -> impl Future<Output = Result<Pid, SpawnError>> {
    let builder = Builder::new().resources(mem(mib)).wait(true);
    builder.spawn_async(hold, ())
}

fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    future.now_or_never()
}

fn mem(mib: u64) -> Resources {
    Resources {
        mem: mib * Mem::MIB,
        ..Resources::default()
    }
}

fn release(pid: Pid) {
    Sender::new(pid).send(()).unwrap();
    assert!(pid.wait().unwrap().success());
}

/// Lives until it is told to end, or its parent has ended.
fn hold(parent: Pid, (): ()) {
    let _ = Receiver::<()>::new(parent).recv();
}

const MINUTE: Duration = Duration::from_secs(60);
