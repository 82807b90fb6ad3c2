//! How long a small value takes from one half of a connection to the other, in memory. No socket, no codec.
//!
//! `cargo run --release -p deploy-wire --example messages` prints nanoseconds for each value of 8 bytes, both halves
//! together.

use deploy_wire::{
    inbound::{Inbound, Taken},
    outbound::{Outbound, record_units},
};
use std::time::{Duration, Instant};

fn main() {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        run();
        best = best.min(began.elapsed());
    }
    println!("{:.1} ns a value", best.as_nanos() as f64 / VALUES as f64);
}

/// The sender fills its window, or a batch; the receiver takes all of it.
fn run() {
    let (mut out, mut inbound) = (Outbound::new(), Inbound::new());
    let (mut sent, mut received, mut limit) = (0u64, 0u64, inbound.granted());
    out.queue_open("u64");
    while received < VALUES {
        while sent < VALUES
            && out.pending() < BATCH_BYTES
            && out.sequence() + record_units(8) <= limit
        {
            out.queue_record(&sent.to_le_bytes());
            sent += 1;
        }
        carry(&mut out, &mut inbound);
        while let Taken::Record(record) = inbound.take(1).expect("what may be sent") {
            assert_eq!(record, received.to_le_bytes());
            received += 1;
        }
        limit = inbound.granted();
        inbound.handle_told(inbound.arrived(), limit);
    }
}

fn carry(out: &mut Outbound, inbound: &mut Inbound) {
    while out.pending() > 0 {
        let waiting = out.poll_transmit(0, 0);
        let space = inbound.space();
        let count = waiting.len().min(space.len());
        space[..count].copy_from_slice(&waiting[..count]);
        out.handle_written(count, &[]);
        inbound.handle_read(count).expect("what may be sent");
    }
}

const ROUNDS: usize = 10;
const VALUES: u64 = 1_000_000;
/// What a sender that does not wait lets come together.
const BATCH_BYTES: usize = 64 << 10;
