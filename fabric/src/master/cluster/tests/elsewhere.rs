//! Nodes that cannot take a job in.

use super::*;

/// It cannot, for this reason.
fn fails(world: &mut World, node: NodeId) {
    let why = "its disk is full".to_string();
    world.report(node, JobReport::Failed { why });
}

fn begins(world: &mut World, node: NodeId, number: u32) {
    world.report(node, JobReport::Opened);
    world.report(node, JobReport::Begun { number });
}

fn state(world: &mut World, name: &str) -> String {
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Nodes, now);
    world.settle();
    let Answer::Nodes(nodes) = world.last_answer() else {
        panic!("{:?}", world.answers);
    };
    let node = nodes.iter().find(|node| node.name == name);
    node.expect("it is listed").state.clone()
}

#[test]
fn what_was_to_begin_there_begins_elsewhere_and_nothing_more_goes_there() {
    let (mut world, nodes) = World::new(&[1, 4, 8]);
    world.run(None);
    assert_eq!(world.begun().0, nodes[0]);
    fails(&mut world, nodes[0]);
    let (second, begin) = world.begun();
    assert_eq!((second, begin.number, begin.parent), (nodes[1], 1, None));
    assert_eq!(state(&mut world, "n0"), "failing");
    begins(&mut world, second, 1);
    // The first would be the closest fit, and is where it was to be.
    world.ask(second, 1, spawn(1, gib_and_cores(1, 1), None));
    assert_eq!(world.begun().0, nodes[1]);
    world.report(nodes[1], JobReport::Begun { number: 2 });
    world.ask(second, 1, spawn(2, gib_and_cores(1, 1), Some("n0")));
    assert!(world.was_told(1, |notice| {
        matches!(notice, Notice::Spawned { id: 2, result: Err(Refusal::Launch { why }), .. }
            if why == "on node n0: its disk is full")
    }));
    let told = "node n0 cannot take jobs in, which go elsewhere where they fit: its disk is full";
    assert_eq!(world.notes.iter().filter(|note| *note == told).count(), 1);
    world.end(second, 1, End::Code(0));
    world.end(second, 2, End::Code(0));
    world.report(second, JobReport::Closed);
    assert!(world.is_over(false));
    let told: Vec<Pid> = world.events().iter().map(|event| who(event)).collect();
    assert_eq!(
        told,
        [pid(1), pid(2), pid(1), pid(2)],
        "nobody hears of the first"
    );
}

#[test]
fn what_is_spawned_there_begins_elsewhere_with_the_same_argument() {
    let (mut world, nodes) = World::new(&[4, 4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    begins(&mut world, first, 0);
    let asked = gib_and_cores(4, 1);
    world.ask(first, 0, spawn(7, asked, None));
    let (failing, before) = world.begun();
    fails(&mut world, failing);
    let (other, after) = world.begun();
    assert!(nodes.contains(&other) && other != failing && other != first);
    assert_eq!(
        (after.work, after.resources),
        (before.work, before.resources)
    );
    begins(&mut world, other, after.number);
    let number = after.number;
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Spawned { id: 7, result: Ok(child), .. } if *child == pid(number))
    }));
}

#[test]
fn where_it_fits_nowhere_else_who_asked_is_told_why() {
    let (mut world, nodes) = World::new(&[1, 4]);
    world.run(Some(gib_and_cores(3, 1)));
    assert_eq!(world.begun().0, nodes[1]);
    fails(&mut world, nodes[1]);
    let Some(Some((code, why))) = &world.over else {
        panic!("{:?}", world.over);
    };
    assert_eq!(*code, OwnCode::Launch);
    assert_eq!(
        why,
        "could not start the process: on node n1: its disk is full"
    );
}

#[test]
fn a_job_that_is_ended_meanwhile_begins_nowhere() {
    let (mut world, nodes) = World::new(&[1, 4]);
    world.run(None);
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Signal { signal: 9 }, now);
    world.settle();
    fails(&mut world, nodes[0]);
    assert_eq!(world.begun().0, nodes[0]);
    assert!(
        matches!(world.over, Some(Some((OwnCode::Launch, _)))),
        "{:?}",
        world.over
    );
}

#[test]
fn a_job_that_no_node_can_take_in_does_not_go_to_all_of_them() {
    let (mut world, _) = World::new(&[4; 20]);
    world.run(None);
    let mut tried = 0;
    while world.over.is_none() {
        let (node, _) = world.begun();
        fails(&mut world, node);
        tried += 1;
    }
    assert_eq!(tried, 17);
}

#[test]
fn a_node_that_takes_a_job_in_is_up_again() {
    let (mut world, nodes) = World::new(&[1, 4]);
    world.run(None);
    fails(&mut world, nodes[0]);
    let (other, begin) = world.begun();
    begins(&mut world, other, begin.number);
    world.ask(other, begin.number, spawn(1, Resources::default(), None));
    assert_eq!(world.begun().0, other);
    assert_eq!(
        (state(&mut world, "n0"), state(&mut world, "n1")),
        ("failing".into(), "up".into())
    );
}
