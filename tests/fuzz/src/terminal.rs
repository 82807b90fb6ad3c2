//! What stands between processes and a person: bytes that processes print, and words that the person set.

use crate::{Target, words};
use base64::{Engine, engine::general_purpose::STANDARD};
use deploy_bridge::{Destination, Human, Json, Layout, Options, Write};
use deploy_wire::{
    event::{Event, Stream},
    exit::{End, ExitStatus},
    pid::{Job, Pid},
};
use std::{
    collections::HashMap,
    ffi::OsString,
    iter,
    os::unix::ffi::OsStringExt,
    time::{Duration, Instant},
};

pub(crate) const HUMAN: Target = Target {
    name: "human",
    check: |input| {
        for (together, terminal) in [(true, true), (false, true), (true, false), (false, false)] {
            let destination = Destination {
                terminal,
                colour: terminal,
            };
            let layout = Layout {
                together,
                stdout: destination,
                stderr: destination,
            };
            human(Human::new(layout), layout, input);
        }
        // Each byte may become `\u{202e}` behind a header and an indent, and moves through a queue of small writes.
        400 * input.len() + (64 << 10)
    },
    seeds: output_seeds,
    short: 5_000,
};

pub(crate) const FOLD: Target = Target {
    name: "fold",
    check: |input| {
        let destination = Destination {
            terminal: true,
            colour: true,
        };
        let layout = Layout {
            together: true,
            stdout: destination,
            stderr: destination,
        };
        words::given(human(Human::folded(layout), layout, input));
        // As above, and each newline is a group, which waits; of those there is a bounded number.
        400 * input.len() + (8 << 20)
    },
    seeds: output_seeds,
    short: 5_000,
};

pub(crate) const JSON: Target = Target {
    name: "json",
    check: |input| {
        json(input);
        400 * input.len() + (64 << 10)
    },
    seeds: output_seeds,
    short: 15_000,
};

pub(crate) const OPTIONS: Target = Target {
    name: "options",
    check: |input| {
        let mut words = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let words: Vec<Option<OsString>> = (0..4)
            .map(|_| words.next().map(OsString::from_vec))
            .collect();
        let get = |name: &str| {
            let names = ["DEPLOY_FORMAT", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"];
            let at = names.iter().position(|known| *known == name)?;
            words[at].clone()
        };
        match Options::from_env(get, true, false, input.len().is_multiple_of(2)) {
            Ok(options) => {
                assert!(options.layout.stdout.terminal && !options.layout.stderr.terminal)
            }
            Err(error) => assert!(error.to_string().starts_with("DEPLOY_FORMAT is ")),
        }
        32 * input.len() + 4096
    },
    seeds: || {
        ["human", "json\n1\n0\n1", "\n\n\n", "xml\n\n1"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    },
    short: 150_000,
};

/// What reaches a terminal holds text, newlines, tabs and colours; and each line ends in no colour. Returns how many events
/// it was made of.
fn human(mut human: Human, layout: Layout, input: &[u8]) -> u64 {
    let (mut now, mut count) = (Instant::now(), 0);
    let mut writes = Vec::new();
    for event in events(input) {
        count += 1;
        now += Duration::from_millis(7);
        human.handle_event(event, now);
        human.handle_timeout(now);
        writes.extend(iter::from_fn(|| human.poll_write()));
    }
    human.finish(now);
    writes.extend(iter::from_fn(|| human.poll_write()));
    assert!(
        human.poll_timeout().is_none(),
        "nothing is due after the end"
    );
    if layout.stdout.terminal {
        for write in &writes {
            harmless(&write.bytes);
        }
    }
    count
}

fn harmless(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("a terminal is shown text");
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char.is_control() && !matches!(char, '\n' | '\t')) {
        let sequence = &rest[at..];
        let parameters = sequence
            .strip_prefix("\x1b[")
            .expect("no control but a colour");
        let end = parameters.find('m').expect("a colour ends");
        assert!(
            parameters[..end]
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'))
        );
        rest = &parameters[end..];
    }
    let turns = |char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(turns), "text is not turned around");
}

/// Every line is JSON, and every byte comes back in order.
fn json(input: &[u8]) {
    let mut json = Json::new();
    let mut written: HashMap<(String, u64), Vec<u8>> = HashMap::new();
    for event in events(input) {
        if let Event::Output { pid, stream, bytes } = &event {
            let voice = (pid.to_string(), stream.descriptor() as u64);
            written.entry(voice).or_default().extend_from_slice(bytes);
        }
        json.handle_event(event);
    }
    json.finish();
    let mut read: HashMap<(String, u64), Vec<u8>> = HashMap::new();
    for Write { bytes, .. } in iter::from_fn(|| json.poll_write()) {
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&bytes).expect("each line is JSON");
        if line["event"] != "output" {
            continue;
        }
        let output = match line["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD
                .decode(line["base64"].as_str().expect("text or base64"))
                .expect("it is base64"),
        };
        let pid = line["pid"].as_str().expect("each output has a pid");
        let fd = line["fd"].as_u64().expect("each output has a descriptor");
        read.entry((pid.to_string(), fd))
            .or_default()
            .extend(output);
    }
    assert_eq!(read, written);
}

/// The input as what three processes print: behind each 0xfe stands a byte that says who speaks next, or ends.
fn events(input: &[u8]) -> impl Iterator<Item = Event> + '_ {
    let pid = |choice: u8| Pid::new(Job::from_bits(5), u32::from(choice % 3));
    let chunks = input.split(|byte| *byte == 0xfe).enumerate();
    let outputs = chunks.filter_map(move |(index, chunk)| {
        let (choice, bytes) = match index {
            0 => (0, chunk),
            _ => chunk
                .split_first()
                .map(|(choice, bytes)| (*choice, bytes))?,
        };
        let stream = if choice & 64 == 0 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        let bytes = bytes.to_vec();
        (!bytes.is_empty()).then(|| Event::Output {
            pid: pid(choice),
            stream,
            bytes,
        })
    });
    let status = ExitStatus::new(End::Code(0));
    outputs.chain((0..3).map(move |number| Event::Exited {
        pid: pid(number),
        status,
    }))
}

fn output_seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 6] = [
        b"hello\nworld\n\xfe\x01more\r\n\xfe\x40error\n",
        b"\x1b[1;31mred\x1b[0m\n\x1b[38;5;7mgrey\nstill\n",
        b"50%\r60%\r100%\n\xfe\x02\x1b[2J\x1b]0;title\x07\n",
        "é日🦀\u{202e}\u{9b}\n".as_bytes(),
        b"\xf0\x9f\xfe\x01\xa6\x80\n\xff\xc3\n",
        b"unfinished\xfe\x01other\xfe\x00 line\n",
    ];
    texts.map(<[u8]>::to_vec).to_vec()
}
