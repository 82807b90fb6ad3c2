//! Lies are refused, and whatever else comes is taken or malformed, however it was cut.

use super::*;
use crate::frame::{LENGTH_UNKNOWN, Part};
use proptest::prelude::*;

fn frame(kind: Kind, generation: u32, payload: &[u8], extra: u64) -> Vec<u8> {
    let payload_len = payload.len() as u32;
    let header = Header {
        payload: payload_len,
        extra,
        ..Header::new(kind, generation)
    };
    [&header.encode()[..], payload].concat()
}

fn read(inbound: &mut Inbound, mut bytes: &[u8]) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let space = inbound.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        inbound.handle_read(count)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

fn check_refused(frames: &[Vec<u8>], why: &'static str) {
    let mut inbound = Inbound::new();
    let found = read(&mut inbound, &frames.concat());
    let found = found.and_then(|()| inbound.take(1).map(drop));
    assert_eq!(found, Err(Malformed(why)));
}

#[test]
fn lies_are_refused() {
    let open = frame(Kind::Open, 1, b"u8", 0);
    let data = |payload: &[u8]| frame(Kind::Data, 1, payload, 0);
    let window = vec![0; WINDOW_UNITS_MIN as usize];
    check_refused(
        &[data(b"\0\0\0\0")],
        "a frame belongs to no sender that lives",
    );
    check_refused(
        &[open.clone(), data(&window), data(b"\0\0\0\0")],
        "more was sent than the limit allows",
    );
    check_refused(
        &[open.clone(), frame(Kind::Fin, 1, b"", u64::MAX)],
        "the count at the end is not what arrived",
    );
    for record in [&b"\x01\0\0\0"[..], b"\xff\xff\xff\xff12345", b"\0\0"] {
        let ends = [open.clone(), data(record), frame(Kind::Ping, 0, b"", 0)];
        let mut inbound = Inbound::new();
        read(&mut inbound, &ends[..2].concat()).unwrap();
        read(&mut inbound, &open).unwrap_err();
        assert!(inbound.take(1).is_err(), "{record:?}");
    }
}

#[test]
fn stops_and_pings_leave_nothing_behind() {
    let mut inbound = Inbound::new();
    read(&mut inbound, &frame(Kind::Open, 1, b"u8", 0)).unwrap();
    let waiting = inbound.end - inbound.start;
    let stop = frame(Kind::Stop(Stop::Mismatch), 3, &[b'x'; 5000], 0);
    let ack = frame(Kind::Ack, 0, b"", 0);
    for _ in 0..1000 {
        read(&mut inbound, &[&stop[..], &ack].concat()).unwrap();
        assert_eq!(inbound.end - inbound.start, waiting);
    }
    assert!(inbound.buffer.capacity() <= 2 * READ_BYTES);
    assert_eq!(
        inbound.stopped().map(|(generation, ..)| *generation),
        Some(3)
    );
}

#[test]
fn what_the_socket_brings_behind_the_word_that_memory_is_entered_is_no_frame() {
    let open = frame(Kind::Open, 1, b"u8", 0);
    let words = [Memory::Asked, Memory::Given, Memory::Entered];
    let said = words.map(|word| frame(Kind::Memory(word), 0, b"", 0));
    let bytes = [&open[..], &said.concat(), &[7; 200]].concat();
    for cut in 0..bytes.len() - 200 {
        let mut inbound = Inbound::new();
        inbound.handle_bytes(&bytes[..cut]).unwrap();
        inbound.handle_bytes(&bytes[cut..]).unwrap();
        assert_eq!(words.map(|_| inbound.take_memory()), words.map(Some));
        let first = frame(Kind::Data, 1, b"\x01\0\0\0x", 0);
        inbound.handle_bytes(&first).unwrap();
        assert_eq!(inbound.take(1), Ok(Taken::Record(b"x")));
    }
}

#[test]
fn senders_that_nobody_hears_are_bounded() {
    let mut inbound = Inbound::new();
    for generation in 1.. {
        let arrived = inbound.arrived();
        let open = frame(Kind::Open, generation, &[b'x'; 50_000], 0);
        let fin = frame(Kind::Fin, generation, b"", arrived);
        if read(&mut inbound, &[open, fin].concat()).is_err() {
            break;
        }
        assert!(inbound.buffer.capacity() < 4 * WAITING_BYTES_MAX);
    }
}

/// A thread that was sending when another ended the process has looked for room before the end took some.
#[test]
fn what_comes_after_the_end_breaks_nothing() {
    let mut inbound = Inbound::new();
    let bye = frame(Kind::Bye, 1, b"", 0);
    let window = vec![0; WINDOW_UNITS_MIN as usize];
    let late = frame(Kind::Data, 1, &window, 0);
    let open = frame(Kind::Open, 1, b"u8", 0);
    read(&mut inbound, &[open, bye, late].concat()).unwrap();
    assert_eq!(inbound.take(1), Ok(Taken::Ended(Kind::Bye)));
}

/// The header of the last piece has overrun the limit by itself.
#[test]
fn a_value_is_taken_back_where_the_window_is_full() {
    let mut inbound = Inbound::new();
    let open = frame(Kind::Open, 1, b"u8", 0);
    let window = vec![0; WINDOW_UNITS_MIN as usize];
    let piece = frame(Kind::Piece(Part::More), 1, &window, LENGTH_UNKNOWN);
    let cancelled = frame(Kind::Piece(Part::Cancelled), 1, b"", LENGTH_UNKNOWN);
    read(&mut inbound, &[open, piece, cancelled].concat()).unwrap();
    while let Piece::Bytes(_) = inbound.take_piece(1, 9999).unwrap() {}
    assert_eq!(inbound.take(1), Ok(Taken::Pending));
    assert_eq!(inbound.granted() - inbound.arrived(), WINDOW_UNITS_MIN);
}

/// Small values keep their frames' headers waiting, and those count.
#[test]
fn a_window_of_empty_values_takes_no_more_than_a_window() {
    let mut inbound = Inbound::new();
    read(&mut inbound, &frame(Kind::Open, 1, b"()", 0)).unwrap();
    let value = frame(Kind::Data, 1, b"\0\0\0\0", 0);
    while read(&mut inbound, &value).is_ok() {}
    assert!(inbound.end - inbound.start <= WINDOW_UNITS_MIN as usize + 3 * value.len());
}

/// A short value is taken the short way only where any way would find it.
#[test]
fn short_values_are_taken_in_their_order_however_they_are_cut() {
    let records: Vec<Vec<u8>> = (0..40).map(|len| vec![len; len.into()]).collect();
    let payload = records.iter().flat_map(|record| {
        let len = (record.len() as u32).to_le_bytes();
        [&len[..], record].concat()
    });
    let payload: Vec<u8> = payload.collect();
    let count = 2 * (HEADER_BYTES + payload.len()) as u64;
    let data = frame(Kind::Data, 1, &payload, 0);
    let fin = frame(Kind::Fin, 1, b"", count);
    let bytes = [frame(Kind::Open, 1, b"T", 0), data.clone(), data, fin].concat();
    for cut in 1..100 {
        let (mut inbound, mut taken, mut short) = (Inbound::new(), Vec::new(), 0);
        for part in bytes.chunks(cut) {
            read(&mut inbound, part).unwrap();
            assert_eq!(inbound.take_short(2, 20), None);
            loop {
                while let Some(record) = inbound.take_short(1, 20) {
                    assert!(record.len() <= 20);
                    taken.push(record.to_vec());
                    short += 1;
                }
                match inbound.take(1) {
                    Ok(Taken::Record(record)) => taken.push(record.to_vec()),
                    _ => break,
                }
            }
        }
        assert_eq!(taken, [&records[..], &records].concat());
        assert!(short > 0);
        assert_eq!(inbound.take(1), Ok(Taken::Ended(Kind::Fin)));
        assert_eq!(inbound.take_short(1, 20), None);
    }
    let lie = frame(Kind::Data, 1, b"\0\0\0\0\x05\0\0\0", 0);
    let more = frame(Kind::Data, 1, b"\x05\0\0\0Hello", 0);
    let mut inbound = Inbound::new();
    let bytes = [frame(Kind::Open, 1, b"T", 0), lie, more].concat();
    read(&mut inbound, &bytes).unwrap();
    assert_eq!(inbound.take(1), Ok(Taken::Record(b"")));
    assert_eq!(inbound.take_short(1, 20), None);
}

/// What was read with a header, as if a value of `expected` bytes followed, ends up where it belongs whatever it is.
#[test]
fn what_was_read_ahead_and_is_something_else_is_taken_in() {
    let open = frame(Kind::Open, 1, b"alloc::vec::Vec<u8>", 0);
    let value = |len: usize| frame(Kind::Piece(Part::Last), 1, &vec![7; len], len as u64);
    let usual = value(100);
    let record = frame(Kind::Data, 1, b"\x02\0\0\0hi", 0);
    let ack = frame(Kind::Ack, 0, b"", 0);
    let after = [&record[..], &usual].concat();
    // What comes next, and how long the long value is with which it begins.
    let cases = [
        (usual.clone(), Some(100)),
        ([&value(30)[..], &after].concat(), Some(30)),
        (value(500), Some(500)),
        ([&record[..], &usual].concat(), None),
        ([&ack[..], &usual].concat(), None),
        (frame(Kind::Piece(Part::Last), 1, b"", 0), Some(0)),
    ];
    for (next, begins) in cases {
        let mut inbound = Inbound::new();
        read(&mut inbound, &[&open[..], &usual, &usual].concat()).unwrap();
        while inbound.start < inbound.end {
            inbound.take(1).unwrap();
            while let Piece::Bytes(_) = inbound.take_piece(1, 9999).unwrap() {}
        }
        assert_eq!(inbound.expects_whole(), Some(100));
        inbound.space().copy_from_slice(&next[..HEADER_BYTES]);
        let ahead = &next[HEADER_BYTES..next.len().min(HEADER_BYTES + 100)];
        let begun = inbound.handle_ahead(1, ahead).unwrap();
        assert_eq!(begun.map(|(total, _)| total), begins);
        read(&mut inbound, &next[HEADER_BYTES + ahead.len()..]).unwrap();
        assert_eq!(inbound.arrived(), 2 * 140 + counted(&next));
        if let Some((total, kept)) = begun {
            assert_eq!(kept, ahead.len().min(total as usize));
            let mut length = kept;
            while let Piece::Bytes(bytes) = inbound.take_piece(1, 9999).unwrap() {
                length += bytes.len();
            }
            assert_eq!(length as u64, total);
        }
    }
}

/// How many units these frames have.
fn counted(mut frames: &[u8]) -> u64 {
    let mut units = 0;
    while let Some((header, rest)) = frames.split_first_chunk() {
        let header = Header::decode(header).unwrap();
        frames = &rest[header.payload as usize..];
        if header.kind.counts() {
            units += HEADER_BYTES as u64 + u64::from(header.payload);
        }
    }
    units
}

proptest! {
    #[test]
    fn whatever_comes_is_taken_or_malformed(script in proptest::collection::vec(step(), 1..60)) {
        let mut inbound = Inbound::new();
        let mut broken = false;
        read(&mut inbound, &frame(Kind::Open, 1, b"u8", 0)).unwrap();
        for step in script {
            match step {
                Step::Frame(bytes) if !broken => broken = read(&mut inbound, &bytes).is_err(),
                Step::End(kind, generation) if !broken => {
                    let end = frame(kind, generation, b"", inbound.arrived());
                    broken = read(&mut inbound, &end).is_err();
                }
                Step::Frame(_) | Step::End(..) => {}
                Step::Take(generation) => while let Ok(Taken::Record(_)) = inbound.take(generation) {},
                Step::Peek(generation) => {
                    let first = inbound.peek(generation).map(|taken| format!("{taken:?}"));
                    prop_assert_eq!(first, inbound.peek(generation).map(|taken| format!("{taken:?}")));
                }
                Step::Run(generation, want) => take_runs(&mut inbound, generation, want),
                Step::Piece(generation, want) => take_pieces(&mut inbound, generation, want),
                Step::Forsake(generation) => drop(inbound.handle_forsaken(generation)),
                Step::Abandon => drop(inbound.abandon_long()),
                Step::Grow => drop(inbound.grow()),
            }
            prop_assert!(inbound.taken <= inbound.arrived);
            let within = inbound.arrived <= inbound.granted() + 100 * HEADER_BYTES as u64;
            prop_assert!(within || inbound.order.is_over());
            prop_assert!(inbound.start <= inbound.scanned && inbound.scanned <= inbound.end);
            prop_assert!(inbound.buffer.capacity() <= 4 * WAITING_BYTES_MAX);
        }
    }
}

proptest! {
    /// However bytes were grouped when they were sent, and cut on their way, they are taken in any groups.
    #[test]
    fn runs_are_one_stream(
        runs in proptest::collection::vec((1..2000usize, any::<bool>()), 1..20),
        reads in proptest::collection::vec((1..3000usize, 1..3000usize), 1..20),
    ) {
        let mut frames = frame(Kind::Open, 1, b"u8", 0);
        let mut bytes = (0..=250u8).cycle();
        let mut expected = Vec::new();
        for (len, piece) in runs {
            let run: Vec<u8> = bytes.by_ref().take(len).collect();
            frames.extend(match piece {
                true => frame(Kind::Piece(Part::Last), 1, &run, len as u64),
                false => frame(Kind::Data, 1, &[&(len as u32).to_le_bytes()[..], &run].concat(), 0),
            });
            expected.extend(run);
        }
        let (mut inbound, mut taken, mut left) = (Inbound::new(), Vec::new(), &frames[..]);
        for (count, want) in reads.into_iter().cycle() {
            let (now, later) = left.split_at(count.min(left.len()));
            read(&mut inbound, now).unwrap();
            left = later;
            while let Taken::Record(run) = inbound.take_run(1, want).unwrap() {
                prop_assert!((1..=want).contains(&run.len()));
                taken.extend_from_slice(run);
                let more = inbound.take_run(1, 0).unwrap() != Taken::Pending;
                prop_assert!(!more || taken.len() < expected.len());
            }
            let direct = inbound.direct_run(1).min(left.len());
            taken.extend_from_slice(&left[..direct]);
            left = &left[direct..];
            if direct > 0 {
                inbound.handle_direct(direct);
            }
            if left.is_empty() && inbound.take_run(1, 0).unwrap() == Taken::Pending {
                break;
            }
        }
        prop_assert!(taken == expected);
        prop_assert_eq!(inbound.taken, inbound.arrived);
    }
}

/// As a receiver does: bytes from the buffer, or straight from the socket, where one zero lies.
fn take_pieces(inbound: &mut Inbound, generation: u32, want: usize) {
    while let Ok(piece) = inbound.take_piece(generation, want) {
        match piece {
            Piece::Bytes(bytes) => assert!(bytes.len() <= want),
            Piece::Direct(space) => {
                assert!((1..=want).contains(&space));
                return inbound.handle_direct(1);
            }
            _ => return,
        }
    }
}

/// The same where values are bytes.
fn take_runs(inbound: &mut Inbound, generation: u32, want: usize) {
    while let Ok(Taken::Record(run)) = inbound.take_run(generation, want) {
        assert!((1..=want).contains(&run.len()));
    }
    if inbound.direct_run(generation) > 0 {
        inbound.handle_direct(1);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Frame(Vec<u8>),
    /// With the right count.
    End(Kind, u32),
    Take(u32),
    Peek(u32),
    Run(u32, usize),
    Piece(u32, usize),
    Forsake(u32),
    Abandon,
    Grow,
}

fn step() -> impl Strategy<Value = Step> {
    let generation = || prop_oneof![4 => Just(1u32), 2 => Just(2), 1 => 0..4u32, 1 => any::<u32>()];
    prop_oneof![
        1 => generation().prop_map(|generation| Step::End(Kind::Fin, generation)),
        12 => any_frame().prop_map(Step::Frame),
        4 => generation().prop_map(Step::Take),
        1 => generation().prop_map(Step::Peek),
        2 => (generation(), 1..100_000usize).prop_map(|(generation, want)| Step::Run(generation, want)),
        3 => (generation(), 1..100_000usize).prop_map(|(generation, want)| Step::Piece(generation, want)),
        1 => generation().prop_map(Step::Forsake),
        1 => Just(Step::Abandon),
        1 => Just(Step::Grow),
    ]
}

/// Mostly frames that could be meant, with fields that lie, and cut or garbled now and then.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        4 => Just(Kind::Open),
        6 => Just(Kind::Data),
        4 => Just(Kind::Piece(Part::More)),
        2 => Just(Kind::Piece(Part::Last)),
        1 => Just(Kind::Piece(Part::Cancelled)),
        2 => Just(Kind::Fin),
        1 => Just(Kind::Abort),
        1 => Just(Kind::Bye),
        1 => Just(Kind::Stop(Stop::Mismatch)),
        1 => Just(Kind::Ack),
        1 => Just(Kind::Ping),
    ];
    let generation = prop_oneof![6 => Just(1u32), 2 => Just(2), 1 => any::<u32>()];
    let word = || prop_oneof![3 => Just(0), 1 => Just(LENGTH_UNKNOWN), 1 => 0..10_000u64, 1 => any::<u64>()];
    let payload = prop_oneof![
        3 => (0..70_000usize).prop_map(|len| [&(len as u32).to_le_bytes()[..], &vec![7; len]].concat()),
        2 => proptest::collection::vec(0..9u8, 0..200),
        1 => Just(Vec::new()),
    ];
    let garbling = proptest::option::weighted(0.05, (any::<prop::sample::Index>(), any::<u8>()));
    let cut = proptest::option::weighted(0.05, any::<prop::sample::Index>());
    (kind, generation, payload, word(), word(), garbling, cut).prop_map(
        |(kind, generation, payload, extra, limit, garbling, cut)| {
            let mut bytes = frame(kind, generation, &[], extra);
            if matches!(
                kind,
                Kind::Open | Kind::Data | Kind::Piece(_) | Kind::Stop(_)
            ) {
                bytes[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
                bytes.extend(payload);
            }
            bytes[crate::frame::LIMIT_AT..][..8].copy_from_slice(&limit.to_le_bytes());
            if let Some((at, byte)) = garbling {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(at) = cut {
                bytes.truncate(at.index(bytes.len()));
            }
            bytes
        },
    )
}
