//! What people see: events in, writes out, as data.

use deploy_bridge::{Destination, Human, Layout, Write};
use deploy_wire::{
    event::{Event, Stream},
    exit::{End, ExitStatus},
    pid::{Job, Pid},
    resources::Resources,
};
use std::time::{Duration, Instant};

/// Three processes, which the expectations call by these names.
const NAMES: [&str; 3] = ["<A>", "<B>", "<C>"];
const A: u32 = 0;
const B: u32 = 1;
const C: u32 = 2;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Spawn(u32, Option<u32>),
    Out(u32, &'static str),
    Err(u32, &'static str),
    Exit(u32, i32),
    Wait(u64),
}
use Step::{Err, Exit, Out, Spawn, Wait};

fn pid(number: u32) -> Pid {
    Pid::new(Job::from_bits(5), number)
}

fn layout(together: bool, stdout: bool, stderr: bool) -> Layout {
    let destination = |terminal| Destination {
        terminal,
        colour: false,
    };
    Layout {
        together,
        stdout: destination(stdout),
        stderr: destination(stderr),
    }
}

fn event(step: Step) -> Option<Event> {
    let output = |number, stream, text: &str| Event::Output {
        pid: pid(number),
        stream,
        bytes: text.as_bytes().to_vec(),
    };
    Some(match step {
        Spawn(number, parent) => Event::Spawned {
            pid: pid(number),
            parent: parent.map(pid),
            node: "local".into(),
            worker: "test".into(),
            resources: Resources::default(),
        },
        Out(number, text) => output(number, Stream::Stdout, text),
        Err(number, text) => output(number, Stream::Stderr, text),
        Exit(number, code) => Event::Exited {
            pid: pid(number),
            status: ExitStatus::new(End::Code(code)),
        },
        Wait(_) => return None,
    })
}

/// All that is written, one element for each write, after `1` or `2` for the stream.
fn shown(mut human: Human, steps: &[Step]) -> Vec<(i32, String)> {
    let mut now = Instant::now();
    for step in steps {
        if let Wait(ms) = step {
            now += Duration::from_millis(*ms);
            while human.poll_timeout().is_some_and(|due| due <= now) {
                human.handle_timeout(now);
            }
        }
        if let Some(event) = event(step.clone()) {
            human.handle_event(event, now);
        }
    }
    human.finish(now);
    let writes = std::iter::from_fn(|| human.poll_write());
    let named = |Write { stream, bytes }| {
        let mut text = String::from_utf8(bytes).expect("the steps are text");
        for (number, name) in NAMES.iter().enumerate() {
            text = text.replace(&pid(number as u32).to_string(), name);
        }
        (stream.descriptor(), text)
    };
    writes.map(named).collect()
}

fn check(layout: Layout, steps: &[Step], expect: &[(i32, &str)]) {
    let shown = shown(Human::new(layout), steps);
    let shown: Vec<_> = shown.iter().map(|(fd, text)| (*fd, &text[..])).collect();
    assert_eq!(shown, expect);
}

#[test]
fn a_family_on_one_terminal() {
    let steps = [
        Spawn(A, None),
        Spawn(B, Some(A)),
        Out(B, "hello worker 0!\n"),
        Err(B, "one\ntwo\n"),
        Exit(B, 0),
        Out(A, "\n"),
        Spawn(C, Some(A)),
        Exit(A, 3),
        Exit(C, 0),
    ];
    for terminal in [true, false] {
        let expect = [
            (2, "<A>:\n"),
            (2, "    spawned: <B>\n"),
            (2, "<B>:\n"),
            (1, "    hello worker 0!\n"),
            (2, "    one\n    two\n"),
            (2, "    exited: 0\n"),
            (2, "<A>:\n"),
            (1, "    \n"),
            (2, "    spawned: <C>\n"),
            (2, "    exited: 3\n"),
            (2, "<C>:\n"),
            (2, "    exited: 0\n"),
        ];
        check(layout(true, terminal, terminal), &steps, &expect);
    }
}

#[test]
fn apart_the_bytes_of_standard_output_are_alone_and_unchanged() {
    let steps = [
        Spawn(A, None),
        Out(A, "data \x1b[2J\r"),
        Spawn(B, Some(A)),
        Out(B, "more\n"),
        Out(A, "end"),
        Wait(100),
        Exit(A, 0),
        Exit(B, 1),
    ];
    let expect = [
        (2, "<A>:\n"),
        (2, "    spawned: <B>\n"),
        (1, "more\n"),
        (1, "data \x1b[2J\rend"),
        (2, "    exited: 0\n"),
        (2, "<B>:\n"),
        (2, "    exited: 1\n"),
    ];
    check(layout(false, false, false), &steps, &expect);
    check(layout(false, false, true), &steps, &expect);
}

#[test]
fn apart_headers_tell_who_speaks_on_standard_error() {
    let steps = [
        Err(A, "from a\n"),
        Err(B, "from b\nhalf"),
        Out(B, "out\n"),
        Err(A, "a again\n"),
        Err(B, " whole\n"),
        Err(A, "left"),
        Exit(A, 0),
    ];
    let expect = [
        (2, "<A>:\n"),
        (2, "from a\n"),
        (2, "<B>:\n"),
        (2, "from b\n"),
        (1, "out\n"),
        (2, "<A>:\n"),
        (2, "a again\n"),
        (2, "<B>:\n"),
        (2, "half"),
        (2, " whole\n"),
        (2, "<A>:\n"),
        (2, "left"),
        (2, "\n"),
        (2, "    exited: 0\n"),
    ];
    check(layout(false, false, false), &steps, &expect);
}

#[test]
fn a_terminal_shows_a_prompt_after_50_ms_and_its_answer_behind_it() {
    let steps = [
        Out(A, "name? "),
        Wait(49),
        Err(B, "x\n"),
        Wait(1),
        Wait(100),
        Out(A, "thanks"),
        Wait(10),
        Out(A, "!\n"),
        Exit(A, 0),
    ];
    let expect = [
        (2, "<B>:\n"),
        (2, "    x\n"),
        (2, "<A>:\n"),
        (1, "    name? "),
        (1, "thanks!\n"),
        (2, "    exited: 0\n"),
    ];
    check(layout(true, true, true), &steps, &expect);
}

#[test]
fn an_unfinished_line_is_ended_when_another_speaks() {
    let steps = [
        Out(A, "working"),
        Wait(50),
        Out(B, "b\n"),
        Out(A, "\n"),
        Out(A, "done"),
        Wait(50),
        Err(A, "!\n"),
        Out(A, ".\n"),
        Out(A, "\n"),
        Exit(A, 0),
    ];
    // The newline that ends "working" has been written for it: it does not become an empty line.
    let expect = [
        (2, "<A>:\n"),
        (1, "    working"),
        (2, "\n<B>:\n"),
        (1, "    b\n"),
        (2, "<A>:\n"),
        (1, "    done"),
        (2, "\n"),
        (2, "    !\n"),
        (1, "    .\n"),
        (1, "    \n"),
        (2, "    exited: 0\n"),
    ];
    check(layout(true, true, true), &steps, &expect);
}

#[test]
fn a_terminal_of_its_own_for_standard_output_shows_no_headers() {
    let steps = [
        Out(A, "a\rprompt> "),
        Wait(50),
        Out(B, "b \x1b[31mred\nstill\n"),
        Out(A, "go\n"),
        Exit(B, 0),
    ];
    let expect = [
        (1, "a\n"),
        (1, "prompt> "),
        (1, "\n"),
        (1, "b \x1b[31mred\x1b[0m\n\x1b[31mstill\x1b[0m\n"),
        (1, "go\n"),
        (2, "<B>:\n"),
        (2, "    exited: 0\n"),
    ];
    check(layout(false, true, false), &steps, &expect);
}

#[test]
fn colours_are_reset_before_anyone_else_speaks() {
    let steps = [
        Out(A, "\x1b[32mgreen"),
        Wait(50),
        Out(B, "plain\n"),
        Out(A, " again\x1b[0m.\n"),
        Out(A, "\x1b["),
        Wait(50),
        Out(A, "1mbold"),
        Exit(A, 0),
    ];
    let expect = [
        (2, "<A>:\n"),
        (1, "    \x1b[32mgreen\x1b[0m"),
        (2, "\n<B>:\n"),
        (1, "    plain\n"),
        (2, "<A>:\n"),
        (1, "    \x1b[32m again\x1b[0m.\n"),
        (1, "    \x1b[1mbold\x1b[0m"),
        (2, "\n"),
        (2, "    exited: 0\n"),
    ];
    check(layout(true, true, true), &steps, &expect);
}

#[test]
fn headers_and_notes_have_the_colour_of_their_process() {
    let mut coloured = layout(true, true, true);
    coloured.stderr.colour = true;
    let steps = [Spawn(B, Some(A)), Out(B, "plain\n"), Exit(B, 0)];
    let expect = [
        (2, "\x1b[36m<A>:\x1b[0m\n"),
        (2, "    \x1b[36mspawned: \x1b[0m\x1b[33m<B>\x1b[0m\n"),
        (2, "\x1b[33m<B>:\x1b[0m\n"),
        (1, "    plain\n"),
        (2, "    \x1b[33mexited: 0\x1b[0m\n"),
    ];
    check(coloured, &steps, &expect);
}

#[test]
fn a_line_beyond_64_kib_is_written_in_parts() {
    let half: &'static str = Box::leak("x".repeat(40 << 10).into_boxed_str());
    let steps = [
        Out(A, half),
        Out(B, "b\n"),
        Out(A, half),
        Out(B, "b\n"),
        Out(A, "end\n"),
    ];
    // On a pipe nothing of ours is between: the reader has to live with the cut.
    let piped = [(1, "b\n"), (1, half), (1, half), (1, "b\n"), (1, "end\n")];
    check(layout(false, false, false), &steps, &piped);
    let indented = format!("    {half}{half}");
    let together = [
        (2, "<B>:\n"),
        (1, "    b\n"),
        (2, "<A>:\n"),
        (1, &indented[..]),
        (2, "\n<B>:\n"),
        (1, "    b\n"),
        (2, "<A>:\n"),
        (1, "    end\n"),
    ];
    check(layout(true, false, false), &steps, &together);
}

#[test]
fn a_flood_is_moved_and_not_copied() {
    let mut human = Human::new(layout(false, false, false));
    let mut bytes =
        b"a line of some sixty bytes, as programs like to print them....\n".repeat(1000);
    let whole = bytes.clone();
    bytes.extend_from_slice(b"half");
    let place = bytes.as_ptr();
    let (pid, stream) = (pid(A), Stream::Stdout);
    human.handle_event(Event::Output { pid, stream, bytes }, Instant::now());
    let write = human.poll_write().unwrap();
    assert_eq!(write.bytes.as_ptr(), place);
    assert_eq!(write.bytes, whole);
    assert_eq!(human.poll_write(), None);
    assert_eq!(human.poll_timeout(), None);
}

#[test]
fn folded_lines_say_who_and_nothing_is_lost() {
    let steps = [
        Spawn(A, None),
        Spawn(B, Some(A)),
        Spawn(C, Some(A)),
        Out(B, "ready\nhalf"),
        Out(C, "ready\n"),
        Wait(10),
        Out(B, " a line\n"),
        Err(C, "oh\n"),
        Exit(B, 0),
        Exit(C, 0),
        Out(A, "no newline"),
        Exit(A, 3),
    ];
    let expect = [
        (2, "[1-2] spawned: test on local\n"),
        (1, "[1-2] ready\n"),
        (1, "[1] half a line\n"),
        (2, "[2] oh\n"),
        (2, "[1-2] exited: 0\n"),
        (1, "[0] no newline\n"),
        (2, "[0] exited: 3\n"),
    ];
    for (together, terminal) in [(true, true), (true, false), (false, false), (false, true)] {
        let human = Human::folded(layout(together, terminal, terminal));
        let shown = shown(human, &steps);
        let shown: Vec<_> = shown.iter().map(|(fd, text)| (*fd, &text[..])).collect();
        assert_eq!(shown, expect);
    }
}

#[test]
fn folded_a_prompt_is_shown_on_a_terminal() {
    let steps = [
        Spawn(A, None),
        Out(A, "name? "),
        Wait(200),
        Out(A, "hello\n"),
        Exit(A, 0),
    ];
    let human = Human::folded(layout(true, true, true));
    let shown = shown(human, &steps);
    let texts: Vec<&str> = shown.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["[0] name? \n", "[0] hello\n", "[0] exited: 0\n"]);
}
