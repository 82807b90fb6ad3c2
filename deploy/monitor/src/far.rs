//! A head at the other end of a packet socket: reports go there, and orders come from there.
//!
//! Deliberately absent: any decision, and who carries the packets on.

use crate::{
    child::Control,
    head::{Deed, Head},
    launcher::explain,
    signals::{SIGHUP, SIGKILL},
};
use deploy_sys::{
    limit,
    packet::{self, Beside},
};
use deploy_wire::{
    bytes::Malformed,
    control::{Argument, Notice, Refusal, Request},
    event::Stream,
    exit::{End, Shortage},
    job::{Begin, JobOrder, JobReport},
    packed::{PACKED_TOGETHER_BYTES_MAX, Packed},
    pid::Pid,
    relay::Piece,
    wait::Waits,
};
use std::{
    collections::{HashSet, VecDeque},
    fmt,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// The head, as far as it is here.
#[derive(Debug)]
pub struct Far {
    link: Control,
    /// Whether the socket may hold another order.
    is_readable: bool,
    /// How many bytes of output the head will still take. One read may overrun it.
    credit: i64,
    /// Nobody reads what is written there.
    unread: HashSet<Stream>,
    /// The lowest number that the next process may have: none is given twice, nor a lower one after a higher one.
    number_min: u32,
    /// Whether whoever sends signals to this process is the person whose job it is.
    hears_person: bool,
    /// What was decided here.
    own: VecDeque<Deed>,
    /// Whether no order follows: the job was closed, or the other end is gone.
    is_over: bool,
    /// What made no sense.
    nonsense: Option<Malformed>,
    /// What makes much output shorter, if anything does.
    packer: Option<Packer>,
    packet: Vec<u8>,
    /// What output is read into, again and again.
    buffer: Vec<u8>,
}

/// Gives a piece of output in fewer bytes, or nothing where it had better stay as it is.
struct Packer(Box<Pack>);

type Pack = dyn FnMut(&[u8], Instant) -> Option<Vec<u8>>;

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Far {
    /// One that hears on this socket, behind `Open`. `hears_person` says that signals to this process are the word of the
    /// person whose job it is.
    pub fn new(socket: OwnedFd, hears_person: bool) -> Far {
        Far {
            link: Control::new(socket),
            is_readable: true,
            credit: 0,
            unread: HashSet::new(),
            number_min: 0,
            hears_person,
            own: VecDeque::new(),
            is_over: false,
            nonsense: None,
            packer: None,
            packet: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// The same, which has much output made shorter by this, where it can be.
    pub fn packing(self, pack: impl FnMut(&[u8], Instant) -> Option<Vec<u8>> + 'static) -> Far {
        Far {
            packer: Some(Packer(Box::new(pack))),
            ..self
        }
    }

    /// Reports something.
    pub fn report(&mut self, report: &JobReport, file: Option<OwnedFd>) {
        self.send(report.encode(), file);
    }

    fn send(&mut self, packet: Vec<u8>, file: Option<OwnedFd>) {
        if self.link.send(packet, file.into_iter().collect()).is_err() {
            self.give_up(Malformed("nobody reads what is reported"));
        }
    }

    /// Has everything that waits sent, and says whether all made sense.
    ///
    /// # Errors
    /// If it did not.
    pub fn finish(mut self) -> io::Result<()> {
        let _ = self.link.flush_blocking(); // Fails only if the other end is gone, and nobody is left to tell.
        self.nonsense.map_or(Ok(()), |why| Err(nonsense(why.0)))
    }

    fn pack(&mut self, bytes: &[u8], now: Instant) -> Option<Packed> {
        let packed = (self.packer.as_mut()?.0)(bytes, now)?;
        Packed::new(bytes.len(), packed).ok()
    }

    fn give_up(&mut self, why: Malformed) {
        self.is_over = true;
        self.is_readable = false;
        self.nonsense.get_or_insert(why);
    }

    /// The deed that an order asks for; none, if there is nothing to do about it.
    fn handle_order(&mut self, order: JobOrder, beside: Beside) -> Result<Option<Deed>, Malformed> {
        // What came beside it is closed already, if this process had no number for it: that concerns one process, and no other.
        let is_cut = beside.is_cut;
        let beside = beside.into_iter().next();
        Ok(Some(match order {
            JobOrder::Open(_) => return Err(Malformed("a job is opened once")),
            JobOrder::Begin(begin) => {
                self.check(&begin, beside.is_some() || is_cut)?;
                if is_cut {
                    self.handle_not_begun(begin.number, explain(&limit::no_descriptor()));
                    return Ok(None);
                }
                Deed::Begin(begin, beside)
            }
            JobOrder::Tell { number, notice } => Deed::Tell(number, notice),
            JobOrder::Connect { one, other, at } => {
                let are_numbers = one.max(other) < Pid::COUNT_MAX && one != other;
                match at {
                    _ if !are_numbers => return Err(Malformed("these two cannot be connected")),
                    Some(at) => Deed::Dial(one, other, at),
                    None => Deed::Connect(one, other),
                }
            }
            JobOrder::Accept { .. } if is_cut => return Ok(None), // Who dialed finds its end, and tries another way.
            JobOrder::Accept { hello } => {
                let missing = Malformed("the connection is missing");
                Deed::Accept(beside.ok_or(missing)?, hello)
            }
            JobOrder::Relay(relay) => {
                if relay.one.max(relay.other) >= Pid::COUNT_MAX || relay.window > WINDOW_BYTES_MAX {
                    return Err(Malformed("these two cannot be connected"));
                }
                Deed::Relay(relay)
            }
            JobOrder::Relayed { channel, piece } => Deed::Relayed(channel, piece),
            JobOrder::Parted => Deed::Part,
            JobOrder::Kill { number } => Deed::Kill(number),
            JobOrder::Signal { number, signal } => Deed::Signal(number, signal),
            JobOrder::Vouch { number, to } => Deed::Vouch(number, to),
            JobOrder::Cut { number, peer } if number.max(peer) < Pid::COUNT_MAX => {
                Deed::Cut(number, peer)
            }
            JobOrder::Cut { .. } => return Err(Malformed("these two cannot be connected")),
            JobOrder::Input { bytes } => Deed::Input(bytes),
            JobOrder::Credit { bytes } => {
                let more = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.credit = self.credit.saturating_add(more);
                return Ok(None);
            }
            JobOrder::Close => self.end(),
            JobOrder::Unread { stream } => {
                self.unread.insert(stream);
                return Ok(None);
            }
        }))
    }

    /// No order follows.
    fn end(&mut self) -> Deed {
        self.is_over = true;
        self.is_readable = false;
        Deed::End
    }

    fn check(&mut self, begin: &Begin, has_file: bool) -> Result<(), Malformed> {
        let highest = begin.number.max(begin.parent.unwrap_or(0));
        if highest >= Pid::COUNT_MAX || begin.number < self.number_min {
            return Err(Malformed("a process has a number that it cannot have"));
        }
        self.number_min = begin.number + 1;
        let argument = begin.work.as_ref().map(|work| &work.argument);
        if matches!(argument, Some(Argument::File { .. })) != has_file {
            return Err(Malformed(
                "an argument's file is missing, or none's is there",
            ));
        }
        Ok(())
    }
}

impl Head for Far {
    fn handle_request(
        &mut self,
        from: u32,
        request: Request,
        file: Option<OwnedFd>,
    ) -> Result<(), Malformed> {
        if let (Request::Spawn(spawn), Some(file)) = (&request, &file)
            && let Some(why) = too_long(file)
        {
            let notice = Notice::Spawned {
                id: spawn.id,
                result: Err(Refusal::Launch { why }),
                seal: None,
            };
            self.own.push_back(Deed::Tell(from, notice));
            return Ok(());
        }
        let packet = JobReport::Asked { from, request }.encode();
        if packet.len() > packet::PACKET_BYTES_MAX {
            return Err(Malformed("it is too long to be handed on"));
        }
        self.send(packet, file);
        Ok(())
    }

    fn handle_begun(&mut self, number: u32, _: Instant) {
        self.report(&JobReport::Begun { number }, None);
    }

    fn handle_not_begun(&mut self, number: u32, why: String) {
        self.report(&JobReport::NotBegun { number, why }, None);
    }

    fn handle_death(&mut self, number: u32, end: End, shortage: Option<Shortage>) {
        let died = JobReport::Died {
            number,
            end,
            shortage,
        };
        self.report(&died, None);
    }

    fn handle_farewell(&mut self, number: u32, _: Instant) {
        self.report(&JobReport::Left { number }, None);
    }

    /// On a node nobody but the person at the master speaks for the job: it is told how the processes end, and no more. Nor is
    /// it told of a terminal that goes away: whoever was there has asked nothing of the processes elsewhere.
    fn handle_persons_signal(&mut self, signal: i32) {
        if self.hears_person && signal != SIGHUP {
            self.report(&JobReport::Signalled { signal }, None);
        }
    }

    /// Whoever asks twice waits for nobody else's word, and the way there may be gone.
    fn handle_persons_kill(&mut self) {
        self.handle_persons_signal(SIGKILL);
        let end = self.end();
        self.own.push_back(end);
    }

    fn handle_output(&mut self, number: u32, stream: Stream, mut bytes: Vec<u8>, now: Instant) {
        self.credit -= bytes.len() as i64;
        for much in bytes.chunks(PACKED_TOGETHER_BYTES_MAX) {
            match self.pack(much, now) {
                Some(packed) => {
                    let report = JobReport::Packed {
                        number,
                        stream,
                        packed,
                    };
                    self.report(&report, None);
                }
                None => {
                    for chunk in much.chunks(OUTPUT_BYTES_MAX) {
                        self.send(JobReport::encode_output(number, stream, chunk), None);
                    }
                }
            }
        }
        bytes.clear();
        self.buffer = bytes;
    }

    fn handle_waits(&mut self, number: u32, waits: Waits, _: Instant) {
        let (from, request) = (number, Request::Waits(waits));
        self.report(&JobReport::Asked { from, request }, None);
    }

    fn handle_note(&mut self, number: u32, mut text: String, _: Instant) {
        let mut ends = (0..=NOTE_BYTES_MAX).rev();
        text.truncate(ends.find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        self.report(&JobReport::Noted { number, text }, None);
    }

    fn handle_vouched(&mut self, number: u32, to: u32) {
        self.report(&JobReport::Vouched { number, to }, None);
    }

    fn handle_not_connected(&mut self, one: u32, other: u32, why: String) {
        self.report(&JobReport::ConnectFailed { one, other, why }, None);
    }

    fn handle_cut(&mut self, one: u32, other: u32) {
        self.report(&JobReport::Cut { one, other }, None);
    }

    fn handle_cut_told(&mut self, number: u32, peer: u32) {
        self.report(&JobReport::CutTold { number, peer }, None);
    }

    fn handle_input_taken(&mut self, bytes: u64) {
        self.report(&JobReport::InputTaken { bytes }, None);
    }

    fn handle_relayed(&mut self, channel: u32, piece: Piece) {
        self.report(&JobReport::Relayed { channel, piece }, None);
    }

    fn poll_deed(&mut self) -> Option<Deed> {
        if let Some(deed) = self.own.pop_front() {
            return Some(deed);
        }
        while self.is_readable {
            let mut packet = std::mem::take(&mut self.packet);
            let received = self.link.receive(&mut packet);
            let order = decode(&packet);
            self.packet = packet;
            let deed = match received {
                Ok(Some(beside)) => order
                    .map_err(|_| Malformed("an order cannot be read"))
                    .and_then(|order| self.handle_order(order, beside)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return None;
                }
                Ok(None) | Err(_) => Ok(Some(self.end())), // The other end is gone.
            };
            match deed {
                Ok(None) => {}
                Ok(deed) => return deed,
                Err(why) => {
                    self.give_up(why);
                    return Some(Deed::End);
                }
            }
        }
        None
    }

    fn is_full(&self) -> bool {
        self.credit <= 0 || self.is_choked()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let is_refused = self.link.is_refused();
        is_refused.then(|| Instant::now() + RETRY_AFTER)
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.link.flush();
    }

    fn wants(&self, stream: Stream) -> bool {
        !self.unread.contains(&stream)
    }

    fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn is_choked(&self) -> bool {
        self.link.waiting() > WAITING_REPORTS_MAX
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.link.as_fd())
    }

    fn handle_socket(&mut self) {
        self.is_readable = !self.is_over;
        self.link.flush();
    }
}

/// Why a process cannot be begun with the argument in that file, if it cannot.
fn too_long(file: &OwnedFd) -> Option<String> {
    let len = File::from(file.try_clone().ok()?).metadata().ok()?.len();
    (len > ARGUMENT_BYTES_MAX).then(|| {
        format!(
            "its argument takes {} MiB, and through a cluster it may take {}: send long values by a channel",
            len >> 20,
            ARGUMENT_BYTES_MAX >> 20
        )
    })
}

/// The order in this packet.
fn decode(packet: &[u8]) -> io::Result<JobOrder> {
    JobOrder::decode(packet).map_err(|why| nonsense(why.0))
}

fn nonsense(why: &str) -> io::Error {
    let text = format!("the orders make no sense: {why}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The longest argument of a process: it goes by way of the master, in one message, which holds twice as much.
pub(crate) const ARGUMENT_BYTES_MAX: u64 = 32 << 20;
/// A packet holds it, with its head; one read of a pipe is four of them. Each is a message all the way, and those of this size
/// cost least there: shorter ones their heads, and longer ones memory that is fetched from the kernel anew each time.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Longer than any line that the library writes.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// The largest window that a relayed connection may be given: no more of one is kept here.
const WINDOW_BYTES_MAX: u64 = 4 << 20;
/// What may wait for a reader that is slow, before nothing more is taken from the processes.
const WAITING_REPORTS_MAX: usize = 1 << 10;
/// How soon to send again what the kernel had no room for and will not announce.
const RETRY_AFTER: Duration = Duration::from_millis(10);
