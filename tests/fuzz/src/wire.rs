//! The messages between a process and its monitor, the headers of frames, and amounts as people write them.

use crate::{Target, words};
use deploy_wire::{
    birth::{Birth, Work},
    bytes::{Malformed, Reader},
    control::{Argument, Notice, Request},
    frame::{HEADER_BYTES, Header, Kind, Memory, PAYLOAD_BYTES_MAX, Part, Stop},
    resources::{Cpu, Mem},
    samples::process::{birth, notices, requests},
};
use std::{fmt, str::FromStr};

pub(crate) const BIRTH: Target = Target {
    name: "birth",
    check: |input| {
        if let Ok(birth) = Birth::decode(input) {
            words::accepted();
            let again = birth.encode();
            assert!(again.len() <= PACKET_BYTES_MAX, "it could be sent on");
            assert_eq!(Birth::decode(&again), Ok(birth));
        }
        message_bytes(input)
    },
    seeds: || {
        vec![
            birth(None).encode(),
            birth(Some(Argument::File { len: 1 << 40 })).encode(),
        ]
    },
    short: 200_000,
};

pub(crate) const REQUEST: Target = Target {
    name: "request",
    check: |input| {
        if let Ok(request) = Request::decode(input) {
            words::accepted();
            assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
            if let Request::Spawn(spawn) = request {
                // What the monitor makes of it has to fit into a packet, or the monitor fails.
                let name = spawn.name.unwrap_or_else(|| spawn.function.name.clone());
                let (function, argument) = (spawn.function, spawn.argument);
                let work = Work {
                    function,
                    argument,
                    name,
                };
                let certificate = Birth {
                    work: Some(work),
                    ..birth(None)
                };
                assert!(certificate.encode().len() <= PACKET_BYTES_MAX);
            }
        }
        message_bytes(input)
    },
    seeds: || requests().iter().map(Request::encode).collect(),
    short: 200_000,
};

pub(crate) const NOTICE: Target = Target {
    name: "notice",
    check: |input| {
        if let Ok(notice) = Notice::decode(input) {
            words::accepted();
            assert_eq!(Notice::decode(&notice.encode()), Ok(notice));
        }
        message_bytes(input)
    },
    seeds: || notices().iter().map(Notice::encode).collect(),
    short: 200_000,
};

pub(crate) const HEADER: Target = Target {
    name: "header",
    check: |input| {
        let mut bytes = [0; HEADER_BYTES];
        let len = input.len().min(HEADER_BYTES);
        bytes[..len].copy_from_slice(&input[..len]);
        if let Ok(header) = Header::decode(&bytes) {
            words::accepted();
            assert!(header.payload <= PAYLOAD_BYTES_MAX);
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
        0
    },
    seeds: || {
        KINDS
            .map(|kind| Header::new(kind, 3).encode().to_vec())
            .to_vec()
    },
    short: 400_000,
};

/// The first bytes choose which fields the rest is read as.
pub(crate) const FIELDS: Target = Target {
    name: "fields",
    check: |input| {
        let (script, message) = input.split_at(input.len().min(8));
        let mut reader = Reader::new(message);
        for choice in script {
            if field(&mut reader, *choice, message).is_err() {
                break;
            }
        }
        0
    },
    seeds: || {
        vec![
            (0..64).collect(),
            vec![5, 6, 7, 8, 5, 6, 7, 8, 3, 0, 0, 0, b'a', b'b', b'c'],
        ]
    },
    short: 400_000,
};

pub(crate) const AMOUNT: Target = Target {
    name: "amount",
    check: |input| {
        let text = String::from_utf8_lossy(input);
        comes_back::<Mem>(&text);
        comes_back::<Cpu>(&text);
        // The text itself, and the error that quotes it.
        16 * input.len() + 1024
    },
    seeds: || {
        let texts = [
            "400GiB",
            "1.5 KiB",
            "34",
            "0.0625",
            "7B",
            "18446744073709551615",
            "0.000000000000000001TiB",
        ];
        texts.map(|text| text.as_bytes().to_vec()).to_vec()
    },
    short: 100_000,
};

fn comes_back<T: FromStr + fmt::Display + PartialEq + fmt::Debug>(text: &str)
where
    T::Err: fmt::Display,
{
    match text.parse::<T>() {
        Ok(amount) => assert_eq!(amount.to_string().parse::<T>().ok(), Some(amount)),
        Err(error) => assert!(error.to_string().contains("is not")),
    }
}

fn field(reader: &mut Reader<'_>, choice: u8, message: &[u8]) -> Result<(), Malformed> {
    match choice % 11 {
        0 => drop(reader.u8()?),
        1 => drop(reader.u32()?),
        2 => drop(reader.i32()?),
        3 => drop(reader.u64()?),
        4 => drop(reader.i64()?),
        5 => assert!(reader.bytes()?.len() < message.len()),
        6 => assert!(reader.text()?.len() < message.len()),
        7 => drop(reader.name()?),
        8 => drop(reader.option(|reader| reader.u128())?),
        9 => drop(reader.bool()?),
        _ => drop(reader.u128()?),
    }
    Ok(())
}

/// What a message may hold: its texts once, again in what is encoded anew and decoded from that, and vectors that grow.
fn message_bytes(input: &[u8]) -> usize {
    16 * input.len() + 4096
}

pub(crate) const KINDS: [Kind; 16] = [
    Kind::Open,
    Kind::Data,
    Kind::Piece(Part::More),
    Kind::Piece(Part::Last),
    Kind::Piece(Part::Cancelled),
    Kind::Fin,
    Kind::Abort,
    Kind::Bye,
    Kind::Stop(Stop::Dropped),
    Kind::Stop(Stop::Panicked),
    Kind::Stop(Stop::Mismatch),
    Kind::Ack,
    Kind::Ping,
    Kind::Memory(Memory::Asked),
    Kind::Memory(Memory::Given),
    Kind::Memory(Memory::Entered),
];

/// What a packet between a process and its monitor holds.
const PACKET_BYTES_MAX: usize = 200 << 10;
