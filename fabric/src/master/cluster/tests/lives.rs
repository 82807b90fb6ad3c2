//! What becomes of a job's processes, and what is kept of them.

use super::*;

#[test]
fn a_job_of_one_process_begins_speaks_and_ends() {
    let (mut world, nodes) = World::new(&[4]);
    world.run(None);
    assert!(matches!(world.orders[0], (_, JobOrder::Open(_))));
    let (node, begin) = world.begun();
    assert_eq!((node, begin.number, begin.parent), (nodes[0], 0, None));
    world.report(node, JobReport::Opened);
    world.report(node, JobReport::Begun { number: 0 });
    let stream = Stream::Stdout;
    let bytes = b"hello\n".to_vec();
    world.report(
        node,
        JobReport::Output {
            number: 0,
            stream,
            bytes,
        },
    );
    world.end(node, 0, End::Code(3));
    let kinds: Vec<&str> = world.events().iter().map(|event| kind(event)).collect();
    assert_eq!(kinds, ["spawned", "output", "exited"]);
    assert_eq!(world.orders.last(), Some(&(node, JobOrder::Close)));
    assert!(world.is_over(false));
    let check_gone = |world: &mut World| {
        world.cluster.handle_ask(CLIENT, Ask::Jobs, world.now);
        world.settle();
        assert_eq!(world.last_answer(), &Answer::Jobs(Vec::new()));
    };
    check_gone(&mut world);
    world.report(node, JobReport::Closed);
    check_gone(&mut world);
}

/// What a job takes of the master once that is written down, without the orders that are on their way.
fn condensed_bytes(world: &mut World, node: NodeId) -> usize {
    let orders = world.ordered(node);
    let job = JOB;
    (world.cluster).handle_report(node, Report::Taken { job, orders }, world.now);
    world.settle();
    let condensed = world.cluster.condense(JOB);
    condensed.expect("nothing is relayed").len()
}

#[test]
fn of_who_is_gone_eight_bytes_are_kept() {
    let (mut world, nodes) = World::new(&[4]);
    let node = nodes[0];
    world.run(None);
    world.report(node, JobReport::Begun { number: 0 });
    let mut bytes = Vec::new();
    for number in 1..=500 {
        let id = u64::from(number);
        world.ask(node, 0, spawn(2 * id, Resources::default(), None));
        world.report(node, JobReport::Begun { number });
        // Some that are waited for and some that wait, linked or late as they may be, in all ways to end that there are.
        let (waiter, awaited) = if number % 2 == 0 {
            (0, number)
        } else {
            (number, 0)
        };
        let wait = Request::Wait {
            id: 2 * id + 1,
            pid: pid(awaited),
        };
        world.ask(node, waiter, wait);
        if number == 7 {
            let signal = Ask::Signal { signal: 1 };
            world.cluster.handle_ask(CLIENT, signal, world.now);
            world.settle();
        }
        let end = match number % 3 {
            0 => End::Signal(9),
            _ => End::Code(number as i32 % 8),
        };
        world.end(node, number, end);
        if number % 100 == 0 {
            bytes.push(condensed_bytes(&mut world, node));
        }
    }
    assert!(bytes.is_sorted());
    assert_eq!(bytes[4] - bytes[0], 8 * 400, "{bytes:?}");
    // Whoever waits for one of them, however late, is told.
    let (id, late) = (7, pid(14));
    world.ask(node, 0, Request::Wait { id, pid: late });
    assert!(world.was_told(0, |notice| {
        let code = |status: &ExitStatus| status.code() == Some(6);
        matches!(notice, Notice::Waited { id: 7, status } if status.as_ref().is_some_and(code))
    }));
}

#[test]
fn a_child_elsewhere_is_announced_and_connected_from_here() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let second = nodes.into_iter().find(|node| *node != first).unwrap();
    world.report(first, JobReport::Begun { number: 0 });
    let there = if first == world.begun().0 { "n1" } else { "n0" };
    world.ask(first, 0, spawn(5, Resources::default(), Some(there)));
    let (node, begin) = world.begun();
    assert_eq!((node, begin.number, begin.asked), (second, 1, None));
    world.report(second, JobReport::Begun { number: 1 });
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Spawned { id: 5, result: Ok(child), .. } if *child == pid(1))
    }));
    let connect = JobOrder::Connect {
        one: 1,
        other: 0,
        at: Some(address(0)),
    };
    assert!(world.orders.contains(&(second, connect)));
}

#[test]
fn a_child_beside_its_parent_is_left_to_the_warden() {
    let (mut world, node) = running(false);
    world.ask(node, 0, spawn(5, Resources::default(), None));
    assert_eq!(world.begun().1.asked, Some(5));
    world.report(node, JobReport::Begun { number: 1 });
    assert!(!world.was_told(0, |notice| matches!(notice, Notice::Spawned { .. })));
}

#[test]
fn who_killed_is_known() {
    let (mut world, node) = running(false);
    world.ask(node, 0, spawn(1, Resources::default(), None));
    world.ask(node, 0, spawn(2, Resources::default(), None));
    for number in [1, 2] {
        world.report(node, JobReport::Begun { number });
    }
    world.ask(node, 0, Request::Kill { id: 7, pid: pid(1) });
    world.end(node, 1, End::Signal(9));
    let (job, process) = (JOB.to_string(), Some(pid(2).to_string()));
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Kill { job, process }, now);
    world.settle();
    world.end(node, 2, End::Signal(9));
    let causes: Vec<Option<String>> = world.told.iter().map(|(_, by)| by.clone()).collect();
    let process = Some(format!("process {}", pid(0)));
    assert!(causes.contains(&process) && causes.contains(&Some("ada".to_string())));
    let wanted =
        |event: &&Event| matches!(event, Event::Exited { status, .. } if !status.is_failure());
    assert_eq!(world.events().iter().copied().filter(wanted).count(), 2);
}
