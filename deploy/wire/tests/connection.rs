//! Two ends of a connection, driven by seeded schedules through two pipes that cut bytes anywhere. No socket, no
//! thread, no clock.
//!
//! Each end sends by a plan that the other end knows, so that whatever is taken can be compared at once: every value
//! whole, in order, once; every end as it was meant; and when all is done, everything acknowledged and the whole window
//! open again. A failure prints the seed of its schedule.

use deploy_wire::{
    frame::{HEADER_BYTES, Kind, LENGTH_UNKNOWN, Part, Stop},
    inbound::{Inbound, Piece, Taken},
    outbound::{Outbound, RECORD_BYTES_MAX, record_units},
};
use std::{collections::VecDeque, io::Read};

#[test]
fn whatever_is_taken_is_what_was_sent() {
    let mut ahead = (0, 0);
    for seed in 0..SEEDS {
        let _told = ToldOnFailure(seed);
        let (begun, whole) = Connection::new(seed).run();
        ahead = (ahead.0 + begun, ahead.1 + whole);
    }
    let (begun, whole) = ahead;
    assert!(
        whole > 0 && begun > whole,
        "{begun} values read ahead, {whole} of them wholly"
    );
}

/// Both ends, and the bytes on their way to each.
struct Connection {
    random: Random,
    ends: [End; 2],
    /// Bytes on their way to the end with this index.
    pipes: [VecDeque<u8>; 2],
    /// How many bytes a pipe holds, and how many a read or write moves at most.
    pipe_bytes: usize,
    chunk_bytes: usize,
    /// How many values began to come with their header, and how many came wholly.
    ahead: usize,
    ahead_whole: usize,
}

struct End {
    out: Outbound,
    inbound: Inbound,
    plan: Plan,
    sending: Sending,
    receiving: Receiving,
}

/// What one end sends.
struct Plan {
    senders: Vec<SenderPlan>,
    /// Whether the process ends after that.
    bye: bool,
}

struct SenderPlan {
    values: Vec<Value>,
    end: Kind,
}

struct Value {
    bytes: Vec<u8>,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Shape {
    Record,
    /// In pieces, with the length told ahead or not.
    Long {
        told: bool,
    },
    /// In pieces, and taken back after so many bytes.
    Cancelled {
        after: usize,
    },
    /// In pieces, and the sender ends after so many bytes.
    Unfinished {
        after: usize,
    },
}

/// How far a plan is carried out.
#[derive(Default)]
struct Sending {
    /// Index of the sender.
    sender: usize,
    open: bool,
    /// Index of the value, and bytes of it that are queued.
    value: usize,
    offset: usize,
    /// For each sender that ended: how, and how many values were complete.
    ends: Vec<(Kind, usize)>,
    over: bool,
}

/// The receivers of an end, one after another.
#[derive(Default)]
struct Receiving {
    generation: u32,
    alive: bool,
    /// How many values the receiver takes before it is dropped.
    patience: usize,
    /// How many it has taken.
    values: usize,
    /// The long value that is being taken, as far as it came.
    long: Option<Vec<u8>>,
    /// Whether the latest value was long and given up.
    abandoned: bool,
}

impl Connection {
    fn new(seed: u64) -> Connection {
        let mut random = Random(seed);
        let value_bytes_max = [40, 3000, RECORD_BYTES_MAX][random.below(3)];
        let ends = [0, 1].map(|_| End {
            out: Outbound::new(),
            inbound: Inbound::new(),
            plan: Plan::new(&mut random, value_bytes_max),
            sending: Sending::default(),
            receiving: Receiving::default(),
        });
        Connection {
            ends,
            pipes: Default::default(),
            pipe_bytes: [100, 5000, 300_000][random.below(3)].max(value_bytes_max / 10),
            chunk_bytes: [7, 4000, 200_000][random.below(3)].max(value_bytes_max / 20),
            ahead: 0,
            ahead_whole: 0,
            random,
        }
    }

    /// Returns how many values began to come with their header, and how many came wholly.
    fn run(mut self) -> (usize, usize) {
        let mut steps = 0;
        while !self.is_quiet() {
            let here = self.random.below(2);
            match self.random.below(16) {
                0..4 => self.send(here),
                4..7 => self.transmit(here, &[]),
                7..11 => self.read(here),
                11..15 => self.receive(here),
                _ => self.tick(here),
            }
            self.settle(here);
            steps += 1;
            assert!(steps < STEPS_MAX, "it stalls: {}", self.story());
        }
        for here in [0, 1] {
            self.check_all_came(here);
        }
        (self.ahead, self.ahead_whole)
    }

    /// Whether nothing is left to do.
    fn is_quiet(&self) -> bool {
        self.pipes.iter().all(VecDeque::is_empty)
            && [0, 1].into_iter().all(|here| {
                let (end, peer) = (&self.ends[here], &self.ends[1 - here]);
                end.sending.over
                    && end.out.pending() == 0
                    && !end.inbound.ack_is_owed()
                    && !end.receiving.alive
                    && end.receiving.generation == peer.plan.receivers()
            })
    }

    fn check_all_came(&self, here: usize) {
        let (end, peer) = (&self.ends[here], &self.ends[1 - here]);
        let sequence = end.out.sequence();
        assert_eq!(peer.inbound.arrived(), sequence, "all arrived");
        assert_eq!(end.inbound.acknowledged(), sequence, "all is acknowledged");
        assert_eq!(
            end.inbound.limit() - sequence,
            peer.inbound.window(),
            "all was taken or skipped"
        );
    }

    fn send(&mut self, here: usize) {
        let end = &mut self.ends[here];
        let Some(plan) = end.plan.senders.get(end.sending.sender) else {
            if !end.sending.over && end.plan.bye {
                end.out.queue_end(Kind::Bye);
            }
            end.sending.over = true;
            return;
        };
        if !end.sending.open {
            end.out.queue_open(TYPE_NAME);
            end.sending.open = true;
            return;
        }
        let unheard = end
            .inbound
            .stopped()
            .is_some_and(|(stopped, ..)| *stopped >= end.out.generation());
        let Some(value) = plan.values.get(end.sending.value).filter(|_| !unheard) else {
            return end.end_sender();
        };
        let room = end.inbound.limit().saturating_sub(end.out.sequence());
        if value.shape == Shape::Record {
            if record_units(value.bytes.len()) <= room {
                end.out.queue_record(&value.bytes);
                end.sending.value += 1;
            }
        } else if end.out.pending() < PENDING_BYTES_MAX {
            self.send_piece(here, room as usize);
        }
    }

    fn send_piece(&mut self, here: usize, room: usize) {
        let sending = &self.ends[here].sending;
        let (offset, plan) = (
            sending.offset,
            &self.ends[here].plan.senders[sending.sender],
        );
        let value = &plan.values[sending.value];
        let (until, last) = match value.shape {
            Shape::Cancelled { after } => (after, Part::Cancelled),
            Shape::Unfinished { after } if after <= offset => return self.ends[here].end_sender(),
            Shape::Unfinished { after } => (after, Part::More),
            _ => (value.bytes.len(), Part::Last),
        };
        let total = match value.shape {
            Shape::Long { told: true } => value.bytes.len() as u64,
            _ => LENGTH_UNKNOWN,
        };
        let len = (until - offset)
            .min(room)
            .min(1 + self.random.below(70_000));
        if len == 0 && offset < until {
            return;
        }
        let part = if offset + len == until {
            last
        } else {
            Part::More
        };
        let payload = value.bytes[offset..offset + len].to_vec();
        let end = &mut self.ends[here];
        end.out.queue_piece_header(part, len, total);
        end.sending.offset += len;
        if part != Part::More {
            end.sending.value += 1;
            end.sending.offset = 0;
        }
        self.transmit(here, &payload);
    }

    /// One write, as short as it pleases.
    fn transmit(&mut self, here: usize, payload: &[u8]) {
        let end = &mut self.ends[here];
        let pipe = &mut self.pipes[1 - here];
        let waiting = end
            .out
            .poll_transmit(end.inbound.arrived(), end.inbound.granted());
        let count = (waiting.len() + payload.len())
            .min(self.pipe_bytes.saturating_sub(pipe.len()))
            .min(self.random.below(self.chunk_bytes + 1));
        let queued = count.min(waiting.len());
        pipe.extend(&waiting[..queued]);
        pipe.extend(&payload[..count - queued]);
        end.out.handle_written(count, payload);
    }

    /// One read, as short as it pleases.
    fn read(&mut self, here: usize) {
        // Whoever receives a long value mostly reads it by itself.
        if self.ends[here].receiving.long.is_some() && self.random.below(4) > 0 {
            return self.take_piece(here);
        }
        let End {
            inbound, receiving, ..
        } = &mut self.ends[here];
        if let Some(expected) = inbound.expects_whole()
            && receiving.alive
            && receiving.long.is_none()
            && self.random.below(4) > 0
        {
            return self.read_ahead(here, expected);
        }
        let pipe = &mut self.pipes[here];
        let space = inbound.space();
        let count = pipe
            .len()
            .min(space.len())
            .min(1 + self.random.below(self.chunk_bytes));
        pipe.read_exact(&mut space[..count])
            .expect("so much is in the pipe");
        inbound.handle_read(count).expect("only what may be sent");
    }

    /// The same, with room for a value of so many bytes behind the header.
    fn read_ahead(&mut self, here: usize, expected: usize) {
        let [left, right] = &mut self.ends;
        let (end, peer) = if here == 0 {
            (left, right)
        } else {
            (right, left)
        };
        let (inbound, receiving) = (&mut end.inbound, &mut end.receiving);
        let space = inbound.space();
        assert_eq!(space.len(), HEADER_BYTES);
        let pipe = &mut self.pipes[here];
        let count = pipe
            .len()
            .min(HEADER_BYTES + expected)
            .min(1 + self.random.below(self.chunk_bytes));
        let first = count.min(HEADER_BYTES);
        pipe.read_exact(&mut space[..first])
            .expect("so much is in the pipe");
        if first < HEADER_BYTES {
            return inbound.handle_read(count).expect("only what may be sent");
        }
        let mut ahead: Vec<u8> = pipe.drain(..count - HEADER_BYTES).collect();
        let begun = inbound.handle_ahead(receiving.generation, &ahead);
        let Some((total, kept)) = begun.expect("only what may be sent") else {
            return;
        };
        let value = peer.plan.value(receiving.generation, receiving.values);
        if value.shape == (Shape::Long { told: true }) {
            assert_eq!(total, value.bytes.len() as u64);
        }
        ahead.truncate(kept);
        assert!(value.bytes.starts_with(&ahead), "a prefix of what was sent");
        self.ahead += usize::from(kept > 0);
        self.ahead_whole += usize::from(ahead.len() == value.bytes.len());
        receiving.long = Some(ahead);
        receiving.abandoned = false;
    }

    fn receive(&mut self, here: usize) {
        let receivers = self.ends[1 - here].plan.receivers();
        let receiving = &mut self.ends[here].receiving;
        if !receiving.alive {
            if receiving.generation < receivers && self.random.below(10) == 0 {
                *receiving = Receiving {
                    generation: receiving.generation + 1,
                    alive: true,
                    patience: self.random.below(60),
                    ..Receiving::default()
                };
            }
            return;
        }
        let mid_value = receiving.long.is_some() && self.random.below(100) == 0;
        if receiving.values >= receiving.patience || mid_value && self.random.below(2) == 0 {
            self.ends[here].drop_receiver(self.random.below(2) == 0);
        } else if mid_value {
            let end = &mut self.ends[here];
            end.inbound.abandon_long().expect("what may be sent");
            end.receiving.long = None;
            end.receiving.values += 1;
            end.receiving.abandoned = true;
        } else if receiving.long.is_some() {
            self.take_piece(here);
        } else {
            self.take(here);
        }
    }

    fn take(&mut self, here: usize) {
        let [left, right] = &mut self.ends;
        let (end, peer) = if here == 0 {
            (left, right)
        } else {
            (right, left)
        };
        let receiving = &mut end.receiving;
        let generation = receiving.generation;
        match end.inbound.take(generation).expect("what may be sent") {
            Taken::Pending => return,
            Taken::Record(record) => {
                let value = peer.plan.value(generation, receiving.values);
                assert_eq!(value.shape, Shape::Record);
                assert_eq!(record, value.bytes);
                receiving.values += 1;
            }
            Taken::Long { total } => {
                let value = peer.plan.value(generation, receiving.values);
                match value.shape {
                    Shape::Record => panic!("a record came in pieces"),
                    Shape::Long { told: true } => assert_eq!(total, value.bytes.len() as u64),
                    _ => assert_eq!(total, LENGTH_UNKNOWN),
                }
                receiving.long = Some(Vec::new());
            }
            Taken::Ended(kind) => {
                let unfinished = usize::from(receiving.abandoned);
                match peer.sending.ends.get(generation as usize - 1) {
                    None => assert_eq!((kind, receiving.values), (Kind::Bye, 0)),
                    Some((sent, values)) => {
                        assert_eq!(kind, *sent);
                        assert!((*values..=values + unfinished).contains(&receiving.values));
                    }
                }
                end.drop_receiver(false);
                return;
            }
        }
        assert_eq!(end.inbound.opened(generation), Some(TYPE_NAME));
        end.receiving.abandoned = false;
    }

    fn take_piece(&mut self, here: usize) {
        let want = 1 + self.random.below(90_000);
        let peer_plan = std::mem::take(&mut self.ends[1 - here].plan.senders);
        let End {
            inbound, receiving, ..
        } = &mut self.ends[here];
        let value = &peer_plan[receiving.generation as usize - 1].values[receiving.values];
        let long = receiving.long.as_mut().expect("the caller saw one");
        match inbound.take_piece(receiving.generation, want).expect("ok") {
            Piece::Pending => {}
            Piece::Bytes(bytes) => {
                assert!(bytes.len() <= want);
                long.extend_from_slice(bytes);
            }
            Piece::Direct(space) => {
                assert!((1..=want).contains(&space));
                let pipe = &mut self.pipes[here];
                let count = pipe.len().min(space).min(self.chunk_bytes);
                long.extend(pipe.drain(..count));
                inbound.handle_direct(count);
            }
            Piece::End => {
                assert!(matches!(value.shape, Shape::Long { .. }));
                assert_eq!(*long, value.bytes);
                receiving.long = None;
                receiving.values += 1;
            }
            Piece::Cancelled => {
                assert!(matches!(value.shape, Shape::Cancelled { .. }));
                receiving.long = None;
                receiving.values += 1;
            }
            Piece::Bye | Piece::Broken => {
                assert!(matches!(value.shape, Shape::Unfinished { .. }));
                receiving.long = None;
            }
        }
        if let Some(long) = &receiving.long {
            assert!(value.bytes.starts_with(long), "a prefix of what was sent");
        }
        self.ends[1 - here].plan.senders = peer_plan;
    }

    /// What a runtime does now and then: it acknowledges what it owes, and asks.
    fn tick(&mut self, here: usize) {
        let end = &mut self.ends[here];
        if end.inbound.ack_is_owed() {
            end.out.queue_ack();
        }
        if !end.sending.over && self.random.below(20) == 0 {
            end.out.queue_ping();
        }
    }

    /// What a runtime does after everything.
    fn settle(&mut self, here: usize) {
        let End { out, inbound, .. } = &mut self.ends[here];
        let (arrived, limit) = out.told();
        inbound.handle_told(arrived, limit);
        if inbound.wants_growth() {
            inbound.grow();
        }
        if inbound.ack_is_due() {
            out.queue_ack();
        }
        assert!(
            out.pending() <= PENDING_BYTES_MAX + (5 << 20),
            "what waits to be written is bounded"
        );
    }

    fn story(&self) -> String {
        let tell = |here: usize| {
            let End {
                out,
                inbound,
                sending,
                receiving,
                ..
            } = &self.ends[here];
            format!(
                "{here}: pipe {}, pending {}, sequence {}, acknowledged {}, limit {}, arrived {}, granted {}, sender {} \
                 value {} over {}, receiver {} alive {} values {} of {}",
                self.pipes[here].len(),
                out.pending(),
                out.sequence(),
                inbound.acknowledged(),
                inbound.limit(),
                inbound.arrived(),
                inbound.granted(),
                sending.sender,
                sending.value,
                sending.over,
                receiving.generation,
                receiving.alive,
                receiving.values,
                receiving.patience,
            )
        };
        format!("{}\n{}", tell(0), tell(1))
    }
}

impl End {
    fn end_sender(&mut self) {
        let last = self.sending.sender + 1 == self.plan.senders.len();
        let end = match self.plan.senders[self.sending.sender].end {
            // A process that ends while a sender lives.
            _ if last && self.plan.bye => Kind::Bye,
            end => end,
        };
        self.out.queue_end(end);
        self.sending.ends.push((end, self.sending.value));
        self.sending = Sending {
            sender: self.sending.sender + 1,
            over: end == Kind::Bye,
            ends: std::mem::take(&mut self.sending.ends),
            ..Sending::default()
        };
    }

    fn drop_receiver(&mut self, stop: bool) {
        let generation = self.receiving.generation;
        self.inbound
            .handle_forsaken(generation)
            .expect("what may be sent");
        if stop {
            self.out.queue_stop(generation, Stop::Dropped, "");
        }
        self.receiving.alive = false;
        self.receiving.long = None;
    }
}

impl Plan {
    fn new(random: &mut Random, value_bytes_max: usize) -> Plan {
        let senders = (0..random.below(4)).map(|_| SenderPlan {
            end: [Kind::Fin, Kind::Abort][random.below(2)],
            values: Plan::values(random, value_bytes_max),
        });
        Plan {
            senders: senders.collect(),
            bye: random.below(2) == 0,
        }
    }

    fn values(random: &mut Random, value_bytes_max: usize) -> Vec<Value> {
        let mut values = Vec::new();
        // Long values of the same length are expected after two of them.
        let usual_len = random.below(value_bytes_max + 1);
        let is_uniform = random.below(2) == 0;
        for _ in 0..random.below(50) {
            let len = random.below(value_bytes_max + 1);
            let long_len = match is_uniform {
                true => usual_len,
                false => len * (1 + random.below(10)),
            };
            let after = random.below(long_len + 1);
            let (shape, len) = match random.below(20) {
                5..19 if is_uniform => (Shape::Long { told: true }, long_len),
                0 | 1 => (Shape::Long { told: true }, long_len),
                2 => (Shape::Long { told: false }, long_len),
                3 => (Shape::Cancelled { after }, long_len),
                4 if random.below(3) == 0 => (Shape::Unfinished { after }, long_len),
                _ => (Shape::Record, len),
            };
            values.push(Value {
                bytes: random.bytes(len),
                shape,
            });
            if matches!(shape, Shape::Unfinished { .. }) {
                break;
            }
        }
        values
    }

    /// How many receivers the other end makes: one more than there are senders, if it is to learn of the end.
    fn receivers(&self) -> u32 {
        self.senders.len() as u32 + u32::from(self.bye)
    }

    fn value(&self, generation: u32, index: usize) -> &Value {
        &self.senders[generation as usize - 1].values[index]
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len).collect()
    }
}

struct ToldOnFailure(u64);

impl Drop for ToldOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule of seed {}", self.0);
        }
    }
}

const SEEDS: u64 = 120;
/// More than any schedule needs, by far.
const STEPS_MAX: u64 = 20_000_000;
const TYPE_NAME: &str = "alloc::vec::Vec<u8>";
/// Beyond it a runtime queues nothing more until the socket takes it.
const PENDING_BYTES_MAX: usize = 256 << 10;
