//! Nodes and wardens that are lost.

use super::*;
use crate::master::happening::Happening;

/// A job whose initial process is on one node, and its child on another.
fn apart() -> (World, NodeId, NodeId) {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (here, _) = world.begun();
    let there = nodes.iter().copied().find(|node| *node != here).unwrap();
    world.report(here, JobReport::Begun { number: 0 });
    world.ask(here, 0, spawn(1, Resources::default(), Some("n1")));
    world.report(there, JobReport::Begun { number: 1 });
    (world, here, there)
}

#[test]
fn a_silent_node_is_suspected_then_lost_and_its_processes_with_it() {
    let (mut world, here, there) = apart();
    let start = world.now;
    let mut beat = 0;
    while world.dismissed.is_empty() {
        world.now += Duration::from_secs(1);
        beat += 1;
        let now = world.now;
        world.cluster.handle_timeout(now);
        let sequence = beat;
        world
            .cluster
            .handle_report(here, Report::Beat { sequence }, now);
        world.settle();
    }
    assert_eq!(world.dismissed, [there]);
    assert_eq!(world.now - start, Duration::from_secs(12));
    let lost = |event: &&Event| match event {
        Event::Exited { pid: who, status } => {
            *who == pid(1) && status.reason() == Some(Reason::NodeLost)
        }
        _ => false,
    };
    assert!(world.events().iter().any(lost));
    let by = world.told.iter().filter_map(|(_, by)| by.as_deref());
    assert_eq!(by.collect::<Vec<_>>(), ["12 s of silence"]);
    world.now += Duration::from_secs(100);
    assert_eq!(states(&mut world)[1], ("lost".to_string(), Some(100)));
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Ended { peer, .. } if *peer == pid(1))
    }));
    // What it still says is not heard.
    world.report(there, JobReport::Left { number: 1 });
}

/// What people read of each node: how it is, and for how long it is lost.
fn states(world: &mut World) -> Vec<(String, Option<u64>)> {
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Nodes, now);
    world.settle();
    let Some((_, Answer::Nodes(nodes))) = world.answers.pop() else {
        panic!("that was asked");
    };
    let states = nodes.into_iter();
    states.map(|node| (node.state, node.lost_seconds)).collect()
}

#[test]
fn a_lost_node_is_shown_as_such_until_it_is_there_again_or_for_an_hour() {
    let (mut world, nodes) = World::new(&[4, 4]);
    let now = world.now;
    let nonsense = || Report::Leave;
    world.cluster.handle_report(nodes[0], nonsense(), now);
    world.cluster.handle_report(nodes[1], nonsense(), now);
    let lost = ("lost".to_string(), Some(0));
    assert_eq!(states(&mut world), [lost.clone(), lost]);
    world.node(0, 4);
    let up = ("up".to_string(), None);
    let lost = ("lost".to_string(), Some(0));
    assert_eq!(states(&mut world), [up.clone(), lost]);
    world.now += Duration::from_secs(3600);
    assert_eq!(states(&mut world), [up]);
}

#[test]
fn who_loses_a_warden_hears_of_each_end() {
    let (mut world, here, there) = apart();
    let why = "the job's warden has ended unexpectedly".to_string();
    world.report(there, JobReport::Failed { why });
    let orphaned = |event: &&Event| match event {
        Event::Exited { pid: who, status } => {
            *who == pid(1) && status.reason() == Some(Reason::Orphaned)
        }
        _ => false,
    };
    assert!(world.events().iter().any(orphaned));
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Ended { peer, .. } if *peer == pid(1))
    }));
    // Another begins there, under a warden of its own.
    world.ask(here, 0, spawn(2, Resources::default(), Some("n1")));
    let opened =
        |(node, order): &&(NodeId, JobOrder)| *node == there && matches!(order, JobOrder::Open(_));
    assert_eq!(world.orders.iter().filter(opened).count(), 2);
}

#[test]
fn a_copy_of_a_node_that_answers_is_refused_and_one_that_has_moved_is_not() {
    let (mut world, nodes) = World::new(&[4, 4]);
    let copy = |world: &mut World, index: usize| {
        let name = format!("n{index}");
        let hello = words(index + 7);
        world.cluster.handle_hello(name, hello, &[], world.now)
    };
    let refused = copy(&mut world, 0);
    assert!(refused.is_err_and(|why| why.contains("in the cluster already")));
    // Its session has ended: it has moved.
    world.cluster.handle_node_gone(nodes[0]);
    assert!(copy(&mut world, 0).is_ok());
    // It says nothing any more.
    world.now += Duration::from_secs(6);
    assert!(copy(&mut world, 1).is_ok());
}

#[test]
fn a_node_that_makes_no_sense_is_dismissed() {
    let (mut world, node) = running(false);
    world.report(node, JobReport::Left { number: 0 });
    assert_eq!(world.dismissed, [node]);
    assert!(world.over.is_some());
    let by = "a report that makes no sense, which is an error in Deploy: of job";
    let why = "Left { number: 0 }: that process lives";
    let says = |text: &str| text.contains(by) && text.ends_with(why);
    let exited = world.told.last().and_then(|(_, by)| by.as_deref());
    assert!(says(exited.unwrap()) && says(world.notes.last().unwrap()));
}

#[test]
fn a_state_whose_parts_contradict_each_other_is_refused() {
    let (mut world, node) = running(false);
    world.ask(node, 0, spawn(1, Resources::default(), None));
    world.report(node, JobReport::Begun { number: 1 });
    world.ask(node, 0, spawn(2, Resources::default(), None));
    let condensed = world.cluster.condense(JOB).expect("nothing is going on");
    let owned = &world.cluster.jobs[&JOB];
    let about = About {
        user: owned.user.clone(),
        ..owned.job.about()
    };
    let mut taken_up = 0;
    for at in 0..condensed.len() {
        for value in [0, 1, 2, 255] {
            let mut changed = condensed.clone();
            changed[at] = value;
            let mut later = Cluster::new("test".to_string());
            // Whatever was taken up, its end is one.
            let lost = Happening::NodeLost(node, "somebody".to_string());
            let told = (Some(&changed[..]), [lost].into_iter());
            let restored = later.restore_job(JOB, about.clone(), told, |_, _| (), world.now);
            later.begin_again(world.now);
            taken_up += usize::from(restored.is_ok());
        }
    }
    assert!(taken_up > 0, "where it says something else, it goes on");
}

#[test]
fn who_is_cut_off_is_told_once_the_other_is_known_to_live() {
    let (mut world, here, there) = apart();
    let is_cut = |notice: &Notice| *notice == Notice::Cut { peer: pid(1) };
    world.report(here, JobReport::Cut { one: 0, other: 1 });
    let ordered = JobOrder::Cut { number: 1, peer: 0 };
    assert_eq!(world.orders.last(), Some(&(there, ordered.clone())));
    assert!(!world.was_told(0, is_cut));
    world.report(there, JobReport::CutTold { number: 1, peer: 0 });
    assert!(world.was_told(0, is_cut));
    // Of one that has ended nobody is asked, and what a node says of another's processes is not heard.
    world.end(there, 1, End::Code(0));
    let count = world.orders.len();
    world.report(here, JobReport::Cut { one: 0, other: 1 });
    assert_eq!(world.orders.len(), count);
    assert!(world.dismissed.is_empty());
    world.report(there, JobReport::Cut { one: 0, other: 1 });
    assert_eq!(world.dismissed, [there]);
}
