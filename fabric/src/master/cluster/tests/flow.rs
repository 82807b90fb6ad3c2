//! Output that is paid for, and input.

use super::*;

#[test]
fn credit_goes_back_where_the_output_came_from() {
    let (mut world, node) = running(false);
    for _ in 0..2 {
        let stream = Stream::Stdout;
        let bytes = vec![b'x'; 100];
        world.report(
            node,
            JobReport::Output {
                number: 0,
                stream,
                bytes,
            },
        );
    }
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Credit { bytes: 150 }, now);
    world.settle();
    assert_eq!(
        world.orders.last(),
        Some(&(node, JobOrder::Credit { bytes: 150 }))
    );
}

#[test]
fn what_is_packed_is_passed_on_and_counts_as_what_it_stands_for() {
    let (mut world, node) = running(false);
    let stream = Stream::Stderr;
    let packed = Packed::new(1000, vec![1; 10]).unwrap();
    let told = packed.clone();
    world.report(
        node,
        JobReport::Packed {
            number: 0,
            stream,
            packed,
        },
    );
    assert_eq!(world.passed, [(pid(0), stream, told)]);
    let now = world.now;
    let credit = Ask::Credit { bytes: 2000 };
    world.cluster.handle_ask(CLIENT, credit, now);
    world.settle();
    let granted = JobOrder::Credit { bytes: 1000 };
    assert_eq!(world.orders.last(), Some(&(node, granted)));
}

#[test]
fn writers_wait_for_the_client_that_has_their_job_and_for_nobody_else() {
    let (mut world, node) = running(false);
    let credit = |world: &World| {
        let orders = world.orders.iter();
        let bytes = orders.map(|(_, order)| match order {
            JobOrder::Credit { bytes } => *bytes,
            _ => 0,
        });
        bytes.skip(2).sum::<u64>() // The first is granted with `Open`.
    };
    world.report(node, output(100));
    assert_eq!(credit(&world), 0);
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Credit { bytes: 30 }, now);
    world.settle();
    assert_eq!(credit(&world), 30);
    world.cluster.handle_client_gone(CLIENT, now);
    world.settle();
    assert_eq!(credit(&world), 100);
    world.report(node, output(50));
    assert_eq!(credit(&world), 150);
}

#[test]
fn input_that_the_first_had_goes_to_the_one_in_its_place() {
    let (mut world, _) = World::new(&[1, 16]);
    world.run(None);
    let (small, _) = world.begun();
    world.report(small, JobReport::Begun { number: 0 });
    let bytes = b"typed".to_vec();
    let now = world.now;
    world.cluster.handle_ask(
        CLIENT,
        Ask::Input {
            bytes: bytes.clone(),
        },
        now,
    );
    world.report(small, JobReport::InputTaken { bytes: 5 });
    assert_eq!(world.last_answer(), &Answer::InputTaken { bytes: 5 });
    let resources = gib_and_cores(8, 1);
    world.ask(small, 0, Request::Need { id: 1, resources });
    let (large, _) = world.begun();
    assert!(world.orders.contains(&(large, JobOrder::Input { bytes })));
    world.end(small, 0, End::Signal(9));
    world.report(large, JobReport::Begun { number: 1 });
    world.report(large, JobReport::InputTaken { bytes: 6 });
    assert_eq!(world.dismissed, [large], "more than it was sent");
}
