//! Programs on their way to a master: cut, changed on the way, sent by two at once, and faster than was asked for.

use crate::{
    confined::output,
    daemons::{Cluster, PATIENCE, ask, greeted, request},
};
use deploy_parcel::{Packed, tree};
use deploy_trust::{client::Client, subject::Role};
use deploy_wire::client::{Answer, Ask, CHUNK_BYTES_MAX, CREDIT_BYTES_FIRST, Digest, RunRequest};
use std::{
    fs,
    io::Read,
    time::{Instant, SystemTime},
};

/// A program as a person's client has it.
struct Program {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Program {
    /// Bytes that do not compress, so that a frame has several chunks.
    fn new(seed: u8, len: usize) -> Program {
        let mut bytes = vec![0; len];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[seed]);
        hasher.finalize_xof().fill(&mut bytes);
        Program {
            digest: *blake3::hash(&bytes).as_bytes(),
            bytes,
        }
    }

    /// Where the master wants it from.
    fn offer(&self, client: &mut Client) -> usize {
        let image = Ask::Image {
            digest: self.digest,
            len: self.bytes.len() as u64,
            bases: Vec::new(),
        };
        match ask(client, &image).unwrap() {
            Answer::ImageWanted { offset, base: None } => offset as usize,
            Answer::ImageKnown => self.bytes.len(),
            other => panic!("{other:?}"),
        }
    }

    fn chunks(&self, offset: usize) -> Vec<Ask> {
        let mut frame = Vec::new();
        let mut packed = Packed::whole(&self.bytes[offset..]).unwrap();
        packed.read_to_end(&mut frame).unwrap();
        let chunks = frame.chunks(CHUNK_BYTES_MAX).map(<[u8]>::to_vec);
        chunks.map(|bytes| Ask::Chunk { bytes }).collect()
    }

    /// Sends it from there; the last answer.
    fn send(&self, client: &mut Client, offset: usize) -> Answer {
        let chunks = self.chunks(offset).into_iter();
        chunks
            .map(|chunk| ask(client, &chunk).unwrap())
            .last()
            .unwrap()
    }
}

fn person(cluster: &Cluster) -> Client {
    greeted(&cluster.identity(Role::User, "ada", SystemTime::now()))
}

#[test]
fn what_was_cut_goes_on_where_it_was() {
    let cluster = Cluster::start();
    let program = Program::new(1, 5 << 20);
    let mut client = person(&cluster);
    assert_eq!(program.offer(&mut client), 0);
    for chunk in &program.chunks(0)[..9] {
        assert_eq!(ask(&mut client, chunk).unwrap(), Answer::ImageTaken);
    }
    drop(client);
    // The master may not have seen yet that the first has gone.
    let deadline = Instant::now() + PATIENCE;
    let (mut client, offset) = loop {
        let mut client = person(&cluster);
        match program.offer(&mut client) {
            0 => assert!(Instant::now() < deadline, "all is wanted again"),
            offset => break (client, offset),
        }
    };
    assert!(offset < program.bytes.len() && offset > 1 << 20, "{offset}");
    assert_eq!(program.send(&mut client, offset), Answer::ImageKnown);
    assert_eq!(program.offer(&mut person(&cluster)), program.bytes.len());
}

#[test]
fn what_was_changed_on_its_way_is_refused_and_can_be_sent_again() {
    let cluster = Cluster::start();
    let program = Program::new(2, 1 << 20);
    let mut client = person(&cluster);
    assert_eq!(program.offer(&mut client), 0);
    let mut refused = None;
    for (number, chunk) in program.chunks(0).into_iter().enumerate() {
        let Ask::Chunk { mut bytes } = chunk else {
            unreachable!("it is one");
        };
        let middle = bytes.len() / 2;
        bytes[middle] ^= u8::from(number == 2);
        refused = Some(ask(&mut client, &Ask::Chunk { bytes }).unwrap());
        if matches!(refused, Some(Answer::Refused { .. })) {
            break;
        }
    }
    let Some(Answer::Refused { why, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("send it again"), "{why}");
    let mut client = person(&cluster);
    let offset = program.offer(&mut client);
    assert_eq!(offset, 0, "nothing of it is kept");
    assert_eq!(program.send(&mut client, 0), Answer::ImageKnown);
}

#[test]
fn of_two_who_send_the_same_the_second_is_told_that_it_is_there() {
    let cluster = Cluster::start();
    let program = Program::new(3, 2 << 20);
    let (mut one, mut other) = (person(&cluster), person(&cluster));
    assert_eq!(program.offer(&mut one), 0);
    assert_eq!(program.offer(&mut other), 0);
    let chunks = program.chunks(0);
    assert_eq!(ask(&mut other, &chunks[0]).unwrap(), Answer::ImageTaken);
    assert_eq!(program.send(&mut one, 0), Answer::ImageKnown);
    // It was acknowledged that there is room for one more, and with that comes the news.
    assert_eq!(ask(&mut other, &chunks[1]).unwrap(), Answer::ImageKnown);
}

#[test]
fn a_program_larger_than_the_disk_has_room_for_is_refused_in_words() {
    let cluster = Cluster::start();
    let mut client = person(&cluster);
    let image = Ask::Image {
        digest: [7; 32],
        len: 1 << 50,
        bases: Vec::new(),
    };
    let Ok(Answer::Refused { why, .. }) = ask(&mut client, &image) else {
        panic!("it is taken in");
    };
    assert!(why.contains("MiB, and 8192 are kept at most"), "{why}");
}

#[test]
fn a_program_finds_the_files_that_were_sent_with_it() {
    let cluster = Cluster::start();
    let mut client = person(&cluster);
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("data")).unwrap();
    fs::write(place.path().join("data/x.txt"), "taken along\n").unwrap();
    let files = tree::pack(place.path(), &["data".into()], 1 << 20).unwrap();
    let cat = fs::read("/bin/cat").unwrap();
    let [cat, files] = [cat, files].map(|bytes| Program {
        digest: *blake3::hash(&bytes).as_bytes(),
        bytes,
    });
    let run = |files| {
        Ask::Run(Box::new(RunRequest {
            files,
            ..request(cat.digest, &["cat", "data/x.txt"])
        }))
    };
    for program in [&cat, &files] {
        let refused = ask(&mut client, &run(Some(files.digest))).unwrap();
        assert!(matches!(refused, Answer::Refused { .. }), "{refused:?}");
        program.offer(&mut client);
        assert_eq!(program.send(&mut client, 0), Answer::ImageKnown);
    }
    let started = ask(&mut client, &run(Some(files.digest))).unwrap();
    assert!(matches!(started, Answer::Started { .. }), "{started:?}");
    let credit = Ask::Credit {
        bytes: CREDIT_BYTES_FIRST,
    };
    client
        .send(credit.encode(), Instant::now() + PATIENCE)
        .unwrap();
    assert_eq!(output(client), "taken along\n");
}
