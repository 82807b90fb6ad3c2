//! Who has a job, and what of clients that come, go and come back.

use super::*;

#[test]
fn a_job_that_is_left_alone_ends_after_its_grace() {
    let (mut world, node) = running(false);
    let now = world.now;
    world.cluster.handle_client_gone(CLIENT, now);
    world.pass(GRACE - Duration::from_secs(1));
    let kill = (node, JobOrder::Kill { number: 0 });
    assert!(!world.orders.contains(&kill));
    world.pass(Duration::from_secs(1));
    assert!(world.orders.contains(&kill));
    world.report(node, output(1));
    world.end(node, 0, End::Signal(9));
    let (event, by) = world.told.last().unwrap();
    assert_eq!(kind(event), "exited");
    assert!(
        by.as_deref()
            .unwrap()
            .contains("its person was gone for 60 s")
    );
}

#[test]
fn a_job_that_is_detached_goes_on_and_so_does_one_that_is_come_back_to() {
    let (mut world, node) = running(true);
    let input = JobOrder::Input { bytes: Vec::new() };
    assert!(world.orders.contains(&(node, input)), "nobody will type");
    let now = world.now;
    world.cluster.handle_client_gone(CLIENT, now);
    world.pass(GRACE * 2);

    let other = ClientId(2);
    let now = world.now;
    world.cluster.handle_client(other, "ada".to_string(), now);
    let handed = world.cluster.attach(other, JOB).unwrap();
    assert!(handed.is_detached);
    world.cluster.handle_client_gone(other, now);
    world.pass(GRACE * 2);
    assert!(!world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
}

#[test]
fn one_client_has_a_job_the_latest() {
    let (mut world, node) = running(false);
    let bytes = b"typed".to_vec();
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Input { bytes }, now);
    let other = ClientId(2);
    world.cluster.handle_client(other, "ada".to_string(), now);
    world.report(node, JobReport::InputTaken { bytes: 3 });
    let handed = world.cluster.attach(other, JOB).unwrap();
    assert_eq!((handed.input, handed.input_taken), (5, 3));
    world.settle();
    assert_eq!(world.parted, [CLIENT]);
    let known: Vec<_> = world.cluster.clients.keys().collect();
    assert_eq!(
        known,
        [&other],
        "else each who takes over leaves one behind"
    );
    // Whoever had it before does nothing to it any more, also not by going.
    world
        .cluster
        .handle_ask(CLIENT, Ask::Signal { signal: 9 }, now);
    world.cluster.handle_client_gone(CLIENT, now);
    for _ in 0..GRACE.as_secs() {
        world.pass(Duration::from_secs(1));
        let now = world.now;
        world.cluster.handle_heard(other, now);
    }
    assert!(!world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
    let signal = |signal| (node, JobOrder::Signal { number: 0, signal });
    let now = world.now;
    for said in [i32::MIN, 0, 65, 15] {
        let ask = Ask::Signal { signal: said };
        world.cluster.handle_ask(other, ask, now);
    }
    world.settle();
    assert!(world.orders.contains(&signal(15)));
    let is_none = |said: i32| world.orders.contains(&signal(said));
    assert!(![i32::MIN, 0, 65].into_iter().any(is_none), "no signals");
}

#[test]
fn a_client_that_says_nothing_is_gone_unless_it_said_so() {
    for is_stopped in [false, true] {
        let (mut world, node) = running(false);
        if is_stopped {
            let now = world.now;
            world.cluster.handle_ask(CLIENT, Ask::Stopped, now);
        }
        world.pass(GONE_AFTER + Duration::from_secs(1));
        assert_eq!(world.parted.contains(&CLIENT), !is_stopped);
        world.pass(GRACE);
        let kill = (node, JobOrder::Kill { number: 0 });
        assert_eq!(world.orders.contains(&kill), !is_stopped);
    }
}
