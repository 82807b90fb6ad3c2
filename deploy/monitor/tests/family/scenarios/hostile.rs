//! Processes that say anything at all: each is killed at the first word that makes no sense, and nobody else suffers.
//!
//! That what is decoded is harmless to decode is tested elsewhere; here a monitor that lives does what was understood.

use super::{Scenario, Worker, scenario};
use crate::newborn::{Me, ended};
use deploy_sys::fd;
use deploy_wire::{
    control::Request,
    exit::{End, ExitStatus},
    wait::{Awaited, Wait, Waits},
};
use std::{
    io::{Read, Write},
    os::fd::AsFd,
};

pub const WORKERS: &[Worker] = &[("babble", |me| {
    let mut seed = [0; 8];
    me.parent().read_exact(&mut seed).unwrap();
    let mut random = u64::from_le_bytes(seed);
    let (beside, _other) = fd::socketpair_stream().unwrap();
    loop {
        let packet = garbled(me, &mut random);
        // Now and then with descriptors that belong to nothing.
        let descriptors = [beside.as_fd(); 3];
        let count = (next(&mut random) % 12).saturating_sub(8) as usize;
        if !me.try_say_bytes(&packet, &descriptors[..count]) {
            std::process::exit(0); // It was heard, and the socket closed, before the signal came.
        }
    }
})];

/// Something that could be asked, with some of its bytes changed, or cut.
fn garbled(me: &mut Me, random: &mut u64) -> Vec<u8> {
    let peer = me.pid(1000);
    let mut spawn = me.worker("greet");
    spawn.wait = true;
    let waits = Waits {
        list: vec![Wait {
            what: Awaited::End,
            peer,
            type_name: "u64".into(),
            place: None,
            ms: 1,
        }],
        is_all: true,
    };
    let asked = [
        Request::Spawn(Box::new(spawn)),
        Request::Connect { peer },
        Request::Wait { id: 1, pid: peer },
        Request::Kill { id: 2, pid: peer },
        Request::Doubt { peer },
        Request::Waits(waits),
    ];
    let mut packet = asked[(next(random) % asked.len() as u64) as usize].encode();
    for _ in 0..next(random) % 4 {
        let at = (next(random) % packet.len() as u64) as usize;
        packet[at] = next(random) as u8;
    }
    if next(random).is_multiple_of(4) {
        packet.truncate(1 + (next(random) % packet.len() as u64) as usize);
    }
    packet
}

/// Random bits that a seed decides (xorshift64).
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

pub const ALL: &[Scenario] = &[scenario(
    "who_says_anything_at_all_ends_and_others_go_on",
    |me| {
        for seed in 1..=BABBLERS {
            let (pid, mut connection) = me.spawn("babble");
            connection.write_all(&seed.to_le_bytes()).unwrap();
            let status = me.wait(pid).unwrap();
            let code = ExitStatus::new(End::Code(0));
            assert!(status.signal() == Some(9) || status == code, "{status:?}");
        }
        let (pid, mut connection) = me.spawn("greet");
        connection.read_to_string(&mut String::new()).unwrap();
        assert_eq!(me.wait(pid), ended(End::Code(0)));
    },
    |record, _| assert_eq!(record.status(0).code(), Some(0)),
)];

const BABBLERS: u64 = 30;
