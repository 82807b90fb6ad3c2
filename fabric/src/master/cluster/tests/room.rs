//! Where processes go, and what does not fit.

use super::*;
use crate::master::cluster::explain;

#[test]
fn what_does_not_fit_is_refused_and_room_comes_back() {
    let (mut world, node) = running(false);
    world.ask(node, 0, spawn(1, gib_and_cores(3, 1), None));
    world.report(node, JobReport::Begun { number: 1 });
    world.ask(node, 0, spawn(2, gib_and_cores(3, 1), None));
    world.ask(node, 0, spawn(3, gib_and_cores(5, 1), None));
    let refused = |id: u64, never: bool| {
        world.was_told(0, |notice| match notice {
            Notice::Spawned {
                id: to,
                result: Err(refusal),
                ..
            } => *to == id && matches!(refusal, Refusal::NeverFits { .. }) == never,
            _ => false,
        })
    };
    assert!(refused(2, false) && refused(3, true));
    world.end(node, 1, End::Code(0));
    world.ask(node, 0, spawn(4, gib_and_cores(3, 1), None));
    assert_eq!(world.begun().1.number, 2);
}

#[test]
fn a_child_goes_where_the_label_is() {
    let (mut world, nodes) = World::new(&[4, 4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    world.report(first, JobReport::Begun { number: 0 });
    for (index, node) in nodes.iter().enumerate() {
        let label = format!("index={index}");
        world.ask(first, 0, spawn(1, Resources::default(), Some(&label)));
        assert_eq!(world.begun().0, *node);
    }
    world.ask(first, 0, spawn(9, Resources::default(), Some("index=3")));
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Spawned { id: 9, result: Err(Refusal::Launch { why }), .. }
            if why.starts_with("no node is called \"index=3\" or has that label"))
    }));
}

#[test]
fn local_is_the_node_of_whoever_asks_as_it_is_alone() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let other = if first == nodes[0] { 1 } else { 0 };
    world.report(first, JobReport::Begun { number: 0 });
    let label = format!("index={other}");
    world.ask(first, 0, spawn(1, Resources::default(), Some(&label)));
    assert_eq!(world.begun().0, nodes[other]);
    world.report(nodes[other], JobReport::Begun { number: 1 });
    for (node, process) in [(nodes[other], 1), (first, 0)] {
        world.ask(node, process, spawn(2, Resources::default(), Some("local")));
        assert_eq!(world.begun().0, node);
    }
}

#[test]
fn a_node_that_comes_back_may_give_something_else() {
    let (mut world, nodes) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    let held = Held {
        job: JOB,
        orders: world.ordered(node),
        reports: 0,
    };
    assert_eq!(world.greet(0, 1, &["other"], vec![held]), Ok(nodes[0]));
    world.settle();
    world.ask(node, 0, spawn(1, Resources::default(), Some("other")));
    assert_eq!(world.begun().1.number, 1);
    world.ask(node, 0, spawn(2, gib_and_cores(2, 1), None));
    assert!(world.was_told(0, |notice| {
        matches!(
            notice,
            Notice::Spawned {
                id: 2,
                result: Err(Refusal::NeverFits { .. }),
                ..
            }
        )
    }));
}

#[test]
fn nodes_whose_labels_nobody_can_have_given_are_refused() {
    let (mut world, _) = World::new(&[]);
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for labels in [&["a b"][..], &["\u{1b}[2J"], &many] {
        assert!(world.hello(0, 1, labels).is_err(), "{labels:?}");
    }
    assert!(world.hello(0, 1, &many[..64]).is_ok());
}

#[test]
fn who_was_announced_gives_at_most_what_was_said_and_all_its_gpus() {
    let (mut world, _) = World::new(&[]);
    let said = [Some((2 * Mem::GIB, Cpu::CORE)), None];
    for (index, most) in said.into_iter().enumerate() {
        world.cluster.expect(address(index).to_string(), most);
    }
    let has = Resources {
        gpu: 3,
        ..gib_and_cores(4, 8)
    };
    for index in 0..2 {
        world.greet_with(index, has, &[], Vec::new()).unwrap();
    }
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Nodes, now);
    world.settle();
    let Some((_, Answer::Nodes(nodes))) = world.answers.last() else {
        panic!("{:?}", world.answers);
    };
    let bounded = Resources {
        gpu: 3,
        ..gib_and_cores(2, 1)
    };
    assert_eq!(nodes.len(), 2);
    for (node, capacity) in nodes.iter().zip([bounded, has]) {
        assert_eq!((node.capacity, node.free), (capacity, capacity));
    }
}

#[test]
fn a_refusal_counts_the_nodes_that_it_does_not_name() {
    let (mut world, _) = World::new(&[4; 11]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    world.ask(node, 0, spawn(1, gib_and_cores(5, 1), None));
    assert!(world.was_told(0, |notice| {
        match notice {
            Notice::Spawned {
                result: Err(refusal),
                ..
            } => refusal
                .to_string()
                .ends_with(" (3 other nodes are not named)"),
            _ => false,
        }
    }));
}

#[test]
fn a_job_that_never_fits_is_refused_with_its_code() {
    let (mut world, _) = World::new(&[4]);
    world.run(Some(gib_and_cores(64, 1)));
    assert!(world.is_over(true));
    let Some(Some((_, why))) = &world.over else {
        panic!("it was refused");
    };
    assert!(why.contains("64GiB"), "{why}");
}

#[test]
fn what_fits_later_has_another_code_than_what_never_does() {
    let (asked, nodes) = (gib_and_cores(3, 1), Vec::new());
    let check = |refusal, expected| assert_eq!(explain(&refusal).0, expected, "{refusal}");
    let full = Refusal::OutOfResources {
        asked,
        nodes: nodes.clone(),
        others: 0,
    };
    check(full, OwnCode::NoRoom);
    let never = Refusal::NeverFits {
        asked,
        nodes,
        others: 0,
    };
    check(never, OwnCode::NeverFits);
}

#[test]
fn an_initial_process_that_needs_more_is_moved_unseen() {
    let (mut world, nodes) = World::new(&[1, 16]);
    world.run(None);
    let (small, _) = world.begun();
    assert_eq!(small, nodes[0], "the fullest that it fits on");
    world.report(small, JobReport::Begun { number: 0 });
    let resources = gib_and_cores(8, 1);
    world.ask(small, 0, Request::Need { id: 1, resources });
    assert!(
        world
            .orders
            .contains(&(small, JobOrder::Kill { number: 0 }))
    );
    let (large, begin) = world.begun();
    assert_eq!((large, begin.number, begin.parent), (nodes[1], 1, None));
    world.end(small, 0, End::Signal(9));
    world.report(large, JobReport::Begun { number: 1 });
    world.ask(large, 1, Request::Need { id: 1, resources });
    assert!(world.was_told(1, |notice| matches!(notice, Notice::Granted { id: 1, .. })));
    world.end(large, 1, End::Code(0));
    let told: Vec<Pid> = world.events().iter().map(|event| who(event)).collect();
    assert_eq!(told, [pid(1), pid(1)], "nobody hears of the first");
}

#[test]
fn an_initial_process_that_needs_too_much_ends_the_job() {
    let (mut world, node) = running(false);
    let resources = gib_and_cores(64, 1);
    world.ask(node, 0, Request::Need { id: 1, resources });
    assert!(world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
    world.end(node, 0, End::Signal(9));
    assert!(world.is_over(true));
    assert!(world.events().is_empty());
}
