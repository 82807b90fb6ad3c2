//! However the output of processes is cut and mixed on its way to us, people see whole lines, all of them and in order.

use deploy_bridge::{Destination, Human, Layout, Write};
use deploy_wire::{
    event::{Event, Stream},
    exit::{End, ExitStatus},
    pid::{Job, Pid},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One stream of one process. Each prints letters of its own, over and over in order, and newlines.
type Voice = u8;
const VOICES: u8 = 6;
const LETTERS: u8 = 8;

/// A voice prints a chunk, then some milliseconds pass.
type Step = (Voice, Vec<u8>, u64);

proptest! {
    #[test]
    fn on_pipes_bytes_are_unchanged_and_lines_are_whole(mut steps in steps()) {
        end_all_lines(&mut steps);
        let printed = printed(&steps);
        let writes = run(layout(false, false), &steps);
        let stdout = Seen::read(&bytes_on(Stream::Stdout, &writes), false, "");
        let stderr = Seen::read(&bytes_on(Stream::Stderr, &writes), true, "");
        for (voice, bytes) in &printed {
            let seen = if stream(*voice) == Stream::Stdout { &stdout } else { &stderr };
            prop_assert_eq!(seen.lines_of(*voice), lines(bytes));
        }
        prop_assert_eq!(stdout.empty_lines, empty_lines(&printed, Some(Stream::Stdout)));
        prop_assert_eq!(stderr.empty_lines, empty_lines(&printed, Some(Stream::Stderr)));
        prop_assert_eq!(stdout.ours, 0);
    }

    #[test]
    fn together_every_line_is_there_whole_and_once(mut steps in steps(), ended: bool, terminal: bool) {
        steps.iter_mut().for_each(|(.., pause_ms)| *pause_ms = 0);
        if ended {
            end_all_lines(&mut steps);
        }
        let printed = printed(&steps);
        let writes = run(layout(true, terminal), &steps);
        let bytes = writes.into_iter().flat_map(|write| write.bytes).collect::<Vec<_>>();
        let seen = Seen::read(&bytes, true, "    ");
        for (voice, bytes) in &printed {
            prop_assert_eq!(seen.lines_of(*voice), lines(bytes));
        }
        prop_assert_eq!(seen.empty_lines, empty_lines(&printed, None));
    }

    #[test]
    fn a_terminal_that_does_not_wait_loses_and_mixes_nothing(steps in steps(), together: bool) {
        let printed = printed(&steps);
        let writes = run(layout(together, true), &steps);
        let destinations = match together {
            true => vec![writes.into_iter().flat_map(|write| write.bytes).collect()],
            false => [Stream::Stdout, Stream::Stderr].map(|stream| bytes_on(stream, &writes)).to_vec(),
        };
        let headers = |index| together || index == 1;
        let indent = if together { "    " } else { "" };
        let seen = destinations.iter().enumerate();
        let seen: Vec<_> = seen.map(|(index, bytes)| Seen::read(bytes, headers(index), indent)).collect();
        for (voice, bytes) in &printed {
            let letters: String = seen.iter().flat_map(|seen| seen.lines_of(*voice)).collect();
            prop_assert_eq!(letters, lines(bytes).concat());
        }
    }

    #[test]
    fn whatever_is_printed_a_terminal_stays_as_it_is(
        together: bool,
        chunks in proptest::collection::vec((0..VOICES, nasty(), 0..80u64), 0..20),
    ) {
        for Write { bytes, .. } in run(layout(together, true), &chunks) {
            let text = String::from_utf8(bytes).expect("bytes that are not UTF-8 are spelt out");
            let mut pieces = text.split("\x1b[");
            let mut rest = pieces.next().unwrap_or_default().to_string();
            let mut coloured = false;
            for piece in pieces {
                let (parameters, behind) = piece.split_once('m').expect("only colours pass");
                prop_assert!(parameters.bytes().all(|byte| b"0123456789;:".contains(&byte)));
                coloured = !matches!(parameters, "" | "0");
                rest += behind;
            }
            prop_assert!(!coloured, "{:?} leaves its colour behind", text);
            let harmful = |char: char| char.is_control() && !"\n\t".contains(char);
            prop_assert!(!rest.contains(harmful), "{:?}", rest);
        }
    }

    #[test]
    fn less_than_64_kib_are_ever_held_back(
        together: bool,
        chunks in proptest::collection::vec((1..100_000usize, any::<bool>()), 1..12),
    ) {
        let (mut human, now) = (Human::new(layout(together, false)), Instant::now());
        let (mut printed, mut written) = (0, 0);
        for (len, ended) in chunks {
            let mut bytes = vec![b'A'; len];
            bytes[len / 2] = if ended { b'\n' } else { b'A' };
            printed += bytes.iter().filter(|byte| **byte == b'A').count();
            human.handle_event(Event::Output { pid: pid(0), stream: Stream::Stdout, bytes }, now);
            while let Some(Write { bytes, .. }) = human.poll_write() {
                written += bytes.iter().filter(|byte| **byte == b'A').count();
            }
            prop_assert!(printed - written < 64 << 10);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let letters = proptest::collection::vec(proptest::bool::weighted(0.75), 1..8);
    let pause_ms = prop_oneof![3 => Just(0u64), 1 => Just(30), 1 => Just(60)];
    let steps = proptest::collection::vec((0..VOICES, letters, pause_ms), 0..60);
    steps.prop_map(|steps| {
        let mut next = [0; VOICES as usize];
        let mut byte = |voice: Voice, is_letter| match is_letter {
            true => {
                let nth = &mut next[usize::from(voice)];
                *nth = (*nth + 1) % LETTERS;
                b'A' + voice * LETTERS + *nth
            }
            false => b'\n',
        };
        let mut step = |(voice, letters, pause_ms): (Voice, Vec<bool>, u64)| {
            let bytes = letters.into_iter().map(|is_letter| byte(voice, is_letter));
            (voice, bytes.collect(), pause_ms)
        };
        steps.into_iter().map(&mut step).collect()
    })
}

/// Bytes of which many are parts of what terminals obey.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        "[a-z\t\n\r]{0,8}".prop_map(String::into_bytes),
        "\x1b\\[[0-9;]{0,4}[mJH]?".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 1..12)
        .prop_map(|pieces| [pieces.concat(), vec![b'.']].concat())
}

fn end_all_lines(steps: &mut Vec<Step>) {
    steps.extend((0..VOICES).map(|voice| (voice, vec![b'\n'], 0)));
}

/// What is written until all have ended.
fn run(layout: Layout, steps: &[Step]) -> Vec<Write> {
    let mut human = Human::new(layout);
    let mut now = Instant::now();
    for (voice, bytes, pause_ms) in steps.iter().cloned() {
        let (pid, stream) = (pid(voice), stream(voice));
        human.handle_event(Event::Output { pid, stream, bytes }, now);
        now += Duration::from_millis(pause_ms);
        human.handle_timeout(now);
        assert!(human.poll_timeout().is_none_or(|due| due > now));
    }
    for voice in (0..VOICES).step_by(2) {
        let (pid, status) = (pid(voice), ExitStatus::new(End::Code(0)));
        human.handle_event(Event::Exited { pid, status }, now);
    }
    assert_eq!(human.poll_timeout(), None, "nothing is due after the end");
    std::iter::from_fn(|| human.poll_write()).collect()
}

/// What a person reads off one destination.
#[derive(Default)]
struct Seen {
    /// The lines of each voice, but the empty ones, which look alike.
    lines: BTreeMap<Voice, Vec<String>>,
    empty_lines: usize,
    /// Headers and notes.
    ours: usize,
}

impl Seen {
    /// Every line has to be of one voice, and under the header of its process.
    fn read(bytes: &[u8], headers: bool, indent: &str) -> Seen {
        let text = str::from_utf8(bytes).expect("all voices are ASCII");
        let mut seen = Seen::default();
        let mut speaker = String::new();
        for line in text.lines() {
            if line.starts_with("    exited: ") {
                seen.ours += 1;
            } else if let Some(name) = line.strip_suffix(':') {
                assert_ne!(name, speaker, "a header that nobody needs");
                speaker = name.to_string();
                seen.ours += 1;
            } else {
                let line = line.strip_prefix(indent);
                seen.line(
                    line.expect("lines are indented"),
                    headers.then_some(&speaker),
                );
            }
        }
        seen
    }

    fn line(&mut self, line: &str, speaker: Option<&String>) {
        let voice_of = |letter: u8| (letter - b'A') / LETTERS;
        let Some(voice) = line.bytes().next().map(voice_of) else {
            self.empty_lines += 1;
            return;
        };
        let of_one = line.bytes().all(|letter| voice_of(letter) == voice);
        assert!(of_one, "{line:?} is of two voices");
        let name = pid(voice).to_string();
        assert!(
            speaker.is_none_or(|speaker| *speaker == name),
            "{line:?} is under {speaker:?}"
        );
        self.lines.entry(voice).or_default().push(line.to_string());
    }

    fn lines_of(&self, voice: Voice) -> Vec<String> {
        self.lines.get(&voice).cloned().unwrap_or_default()
    }
}

fn printed(steps: &[Step]) -> BTreeMap<Voice, Vec<u8>> {
    let mut printed: BTreeMap<Voice, Vec<u8>> = BTreeMap::new();
    for (voice, bytes, _) in steps {
        printed.entry(*voice).or_default().extend(bytes);
    }
    printed
}

/// The lines that were printed, but the empty ones.
fn lines(printed: &[u8]) -> Vec<String> {
    let text = str::from_utf8(printed).expect("all voices are ASCII");
    text.lines()
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect()
}

fn empty_lines(printed: &BTreeMap<Voice, Vec<u8>>, on: Option<Stream>) -> usize {
    let voices = printed
        .iter()
        .filter(|(voice, _)| on.is_none_or(|on| on == stream(**voice)));
    let empty = voices.map(|(_, bytes)| {
        let text = str::from_utf8(bytes).expect("all voices are ASCII");
        text.lines().filter(|line| line.is_empty()).count()
    });
    empty.sum()
}

fn bytes_on(stream: Stream, writes: &[Write]) -> Vec<u8> {
    let writes = writes.iter().filter(|write| write.stream == stream);
    writes.flat_map(|write| write.bytes.clone()).collect()
}

fn pid(voice: Voice) -> Pid {
    Pid::new(Job::from_bits(5), u32::from(voice / 2))
}

fn stream(voice: Voice) -> Stream {
    match voice % 2 {
        0 => Stream::Stdout,
        _ => Stream::Stderr,
    }
}

fn layout(together: bool, terminal: bool) -> Layout {
    let destination = Destination {
        terminal,
        colour: false,
    };
    Layout {
        together,
        stdout: destination,
        stderr: destination,
    }
}
