//! What wardens are ordered, and what must come of it.

use crate::{
    keepers,
    master::{JOB, KEY, Master, Node, PATIENCE, assert_alone},
    programs::LOUD_BYTES,
};
use deploy_sys::cgroup::Tree;
use deploy_wire::{
    birth::BIRTH_VARIABLE,
    exit::End,
    hello::Dial,
    hello::Route,
    job::{Begin, JobOrder, JobReport},
    pid::Pid,
    resources::Resources,
    secret::Secret,
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

pub const ALL: &[(&str, fn())] = &[
    ("a_family_on_one_node", family),
    ("parent_and_child_on_two_nodes", nodes),
    ("siblings_on_two_nodes", siblings),
    (
        "where_nobody_lives_a_spare_waits_for_who_asks_from_elsewhere",
        spared,
    ),
    (
        "who_is_killed_from_another_node_ends_for_that_reason",
        killer,
    ),
    ("who_uses_more_memory_than_asked_for_is_killed", greedy),
    ("output_comes_as_far_as_it_is_credited", credit),
    ("the_initial_process_reads_what_is_sent", input),
    ("a_signal_has_its_usual_effect", interrupt),
    ("an_argument_that_no_message_holds_is_refused", heavy),
    ("close_leaves_nothing", close),
    ("a_warden_ends_with_its_node", end_of_file),
    ("a_warden_that_is_killed_leaves_nothing", keepers::killed),
    (
        "a_program_that_knows_nothing_of_us_runs_once",
        keepers::ordinary,
    ),
    (
        "a_warden_that_is_killed_leaves_nothing_of_a_program_that_knows_nothing_of_us",
        keepers::ordinary_killed,
    ),
    (
        "orders_that_make_no_sense_end_the_job_and_nothing_else",
        hostile,
    ),
    ("a_node_that_is_not_there_is_reported", unreachable),
    ("a_stranger_at_the_data_port_is_hung_up_on", strangers),
    ("what_comes_before_its_process_waits_for_it", early),
];

fn family() {
    let finished = Master::start("family", 1).finish();
    assert_eq!(finished.text(0), "[]\n42\n0\n", "a clean environment");
    assert_eq!(finished.text(1), "double\n");
    assert!(finished.statuses.iter().all(|status| status.success()));
    assert_eq!(finished.failed, []);
}

fn nodes() {
    let finished = Master::start("nodes", 2).finish();
    assert_eq!(
        finished.text(0),
        "true\nErr(Exited(ExitStatus { end: Code(5), reason: None }))\n5\n"
    );
    assert_eq!(finished.text(1), "heard\n");
    let codes: Vec<_> = finished
        .statuses
        .iter()
        .map(|status| status.code())
        .collect();
    assert_eq!(codes, [Some(0), Some(5)]);
    assert_eq!(finished.failed, []);
    let asked = finished.connections_asked;
    assert_eq!(asked, 0, "parent and child are connected without asking");
}

fn siblings() {
    let finished = Master::start("siblings", 2).finish();
    assert_eq!(finished.text(0), "99\n99\n");
    assert!(finished.statuses.iter().all(|status| status.success()));
    assert_eq!(finished.failed, []);
}

fn spared() {
    let mut master = Master::start("again", 2);
    let line = |bytes: &[u8]| JobOrder::Input {
        bytes: bytes.to_vec(),
    };
    master.order(0, &line(b"one\n"));
    while (master.processes.get(&1)).is_none_or(|(_, status)| status.is_none()) {
        master.step();
    }
    let warden = master.nodes[1].warden.id();
    let deadline = Instant::now() + PATIENCE;
    let spare = loop {
        if let Some(spare) = children(warden).into_iter().find(|id| is_newborn(id)) {
            break spare;
        }
        assert!(Instant::now() < deadline, "there is no spare");
        thread::sleep(Duration::from_millis(1)); // Nothing announces it.
    };
    master.order(0, &line(b"another\n"));
    master.order(0, &line(b""));
    let finished = master.finish();
    assert_eq!(finished.text(2), format!("{spare}\n"));
    assert_eq!(finished.failed, []);
}

fn is_newborn(id: &str) -> bool {
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|variable| variable.starts_with(BIRTH_VARIABLE.as_bytes()))
}

fn killer() {
    let finished = Master::start("killer", 2).finish();
    let status = "ExitStatus { end: Signal(9), reason: Some(Killed) }";
    assert_eq!(
        finished.text(0),
        format!("Err(Exited({status}))\nSIGKILL (killed by a process of the job)\n")
    );
}

fn greedy() {
    let can_limit = |tree: &Tree| tree.limits_memory();
    if !Tree::create_limiting("warden-test-", "1", &[]).is_some_and(|tree| can_limit(&tree)) {
        return println!("skipped: no memory can be limited here");
    }
    let finished = Master::start("greedy", 1).finish();
    let text = finished.text(0);
    let shown = "SIGKILL (out of memory: limit 32MiB, peak 3";
    assert!(
        text.starts_with(shown) && text.ends_with("MiB)\n0\n"),
        "{text}"
    );
    assert_eq!((finished.text(1), finished.text(2)), ("", "67108864\n"));
}

fn credit() {
    let node = Node::start("loud");
    begin(&node, 0);
    let (mut credited, mut written) = (0, 0);
    let died = loop {
        match next(&node) {
            JobReport::Output { bytes, .. } => {
                written += bytes.len();
                assert!(written <= credited + READ_BYTES, "{written} of {credited}");
            }
            JobReport::Died { .. } => break written,
            other => panic!("not expected: {other:?}"),
        }
        // Only once it has used that up: more comes when it is credited, and never before.
        while credited <= written {
            credited += 64 << 10;
            node.order(&JobOrder::Credit { bytes: 64 << 10 }, None);
        }
    };
    // The pipe has held the rest since it died.
    node.order(&JobOrder::Credit { bytes: 1 << 30 }, None);
    let mut written = died;
    loop {
        match next(&node) {
            JobReport::Output { bytes, .. } => written += bytes.len(),
            JobReport::Left { number: 0 } => break,
            other => panic!("not expected: {other:?}"),
        }
    }
    assert_eq!(written, LOUD_BYTES);
    node.close();
}

fn input() {
    let master = Master::start("echo", 1);
    let text: String = (0..200_000).map(|line| format!("{line}\n")).collect();
    for bytes in text.as_bytes().chunks(100_000) {
        let bytes = bytes.to_vec();
        master.order(0, &JobOrder::Input { bytes });
    }
    master.order(0, &JobOrder::Input { bytes: Vec::new() });
    let finished = master.finish();
    assert_eq!(finished.text(0), format!("0\n{text}"));
    assert_eq!(finished.input_taken, text.len() as u64);
    assert_eq!(finished.failed, []);
}

/// Although the node was started in the background, where a shell ignores it.
fn interrupt() {
    let node = Node::start("echo");
    begin(&node, 0);
    let (number, signal) = (0, 2);
    node.order(&JobOrder::Signal { number, signal }, None);
    let died = JobReport::Died {
        number,
        end: End::Signal(signal),
        shortage: None,
    };
    assert_eq!(next(&node), died);
    node.close();
    assert_alone();
}

fn heavy() {
    let finished = Master::start("heavy", 1).finish();
    let (refused, code) = finished.text(0).split_once('\n').unwrap();
    assert!(
        refused.contains("40 MiB") && refused.contains("32"),
        "{refused}"
    );
    assert_eq!(code, "2\n");
    assert_eq!(finished.failed, []);
}

fn close() {
    let mut master = littered();
    let start = Instant::now();
    master.nodes.pop().unwrap().close();
    println!("from Close to nothing left: {:?}", start.elapsed());
    assert_alone();
}

fn end_of_file() {
    let mut master = littered();
    let Node {
        socket, mut warden, ..
    } = master.nodes.pop().unwrap();
    drop(socket);
    assert!(warden.wait().unwrap().success());
    assert_alone();
}

pub fn children(warden: u32) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{warden}/task/{warden}/children"));
    let children = children.unwrap();
    children.split_whitespace().map(str::to_string).collect()
}

fn hostile() {
    let initial = |number| {
        JobOrder::Begin(Box::new(Begin {
            number,
            parent: None,
            asked: None,
            work: None,
            resources: Resources::default(),
        }))
        .encode()
    };
    let connect = |one, other| {
        let at = None;
        JobOrder::Connect { one, other, at }.encode()
    };
    let accept = JobOrder::Accept { hello: vec![0; 9] };
    let packets = [
        vec![0xff; 30],
        vec![2, 0],
        initial(0),
        initial(Pid::COUNT_MAX),
        connect(0, 0),
        connect(0, u32::MAX),
        accept.encode(),
    ];
    for packet in packets {
        let mut master = littered();
        let mut node = master.nodes.pop().unwrap();
        node.send(&packet, None);
        while node.report().is_some() {}
        assert!(!node.warden.wait().unwrap().success(), "{packet:?}");
        assert_alone();
    }
    let mut unopened = Node::start_unopened();
    unopened.order(&JobOrder::Close, None);
    assert!(unopened.report().is_none());
    assert!(!unopened.warden.wait().unwrap().success());
}

fn unreachable() {
    let mut master = littered();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mutes = mute.local_addr().unwrap();
    // A port at which nobody listens, and which is given to nobody else meanwhile.
    let caller = TcpStream::connect(mutes).unwrap();
    let at = Some(caller.local_addr().unwrap());
    let (one, other) = (0, 77);
    master.order(0, &JobOrder::Connect { one, other, at });
    // And one that takes the connection and says nothing.
    let (at, other) = (Some(mutes), 78);
    let start = Instant::now();
    master.order(0, &JobOrder::Connect { one, other, at });
    while master.failed.len() < 2 {
        master.step();
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    for (report, (number, word)) in master.failed.iter().zip([(77, "refused"), (78, "in time")]) {
        let JobReport::ConnectFailed { other, why, .. } = report else {
            panic!("not expected: {report:?}");
        };
        assert!(*other == number && why.contains(word), "{report:?}");
    }
    master.nodes.pop().unwrap().close();
}

fn strangers() {
    let mut master = littered();
    let node = master.nodes.pop().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other_key = Secret::from_bytes([9; 32]);
    let route = Route {
        from: Pid::new(JOB, 50),
        to: Pid::new(JOB, 0),
    };
    let wrong = Dial::new(&other_key, route, [1; 32]).poll_transmit();
    for hello in [vec![0; 96], vec![7; 5000], wrong.unwrap()] {
        let mut dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        node.pass_on(listener.accept().unwrap().0, hello);
        dialer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(dialer.read(&mut [0]).unwrap_or(0), 0);
    }
    node.close();
}

fn early() {
    let node = Node::start("litter");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let route = Route {
        from: Pid::new(JOB, 50),
        to: Pid::new(JOB, 0),
    };
    let mut dial = Dial::new(&Secret::from_bytes(KEY), route, [1; 32]);
    node.pass_on(listener.accept().unwrap().0, dial.poll_transmit().unwrap());
    let mut bytes = vec![0; dial.wanted()];
    dialer.set_read_timeout(Some(PATIENCE)).unwrap();
    dialer.read_exact(&mut bytes).unwrap();
    dial.handle_bytes(&bytes).unwrap();
    dialer.write_all(&dial.poll_transmit().unwrap()).unwrap();
    // Both nodes are proved, and the process does not live. Once it does, it begins the handshake of the two.
    thread::sleep(Duration::from_millis(50));
    begin(&node, 0);
    drop(dialer.write_all(&[0; 4096]));
    // What is no handshake ends the connection: so it has it.
    while dialer.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    node.close();
}

/// One whose processes sleep, and one of which has started what left everything.
pub fn littered() -> Master {
    let mut master = Master::start("litter", 1);
    while master.output.get(&0).is_none_or(|text| text != b"ready\n") {
        master.step();
    }
    master
}

/// Begins the initial process.
pub fn begin(node: &Node, number: u32) {
    let begin = Begin {
        number,
        parent: None,
        asked: None,
        work: None,
        resources: Resources::default(),
    };
    node.order(&JobOrder::Begin(Box::new(begin)), None);
    assert_eq!(next(node), JobReport::Begun { number });
}

pub fn next(node: &Node) -> JobReport {
    node.report().expect("the warden lives").0
}

/// What one read takes from a pipe.
const READ_BYTES: usize = 256 << 10;
