//! What processes ask and are told, what they write and read.
//!
//! Deliberately absent: what a request means, which the head knows.

use super::Household;
use crate::{
    head::Head,
    input::Input,
    launcher,
    voice::{Heard, STREAMS},
    watched::{Source, Watched},
};
use deploy_sys::{limit, packet::Beside};
use deploy_wire::{
    control::{Argument, Notice, Refusal, Request},
    event::Stream,
};
use mio::{Interest, unix::SourceFd};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

impl Household {
    /// Tells a process something, unless it has died.
    pub(super) fn tell(&mut self, number: u32, notice: &Notice, descriptor: Option<OwnedFd>) {
        let Some(child) = self
            .children
            .get_mut(&number)
            .filter(|child| !child.is_dead)
        else {
            return;
        };
        if child.control.tell(notice, descriptor).is_err() {
            self.kill(number);
        }
        self.note_backlog(number);
    }

    /// Sends a process what it has room for, of what waits for it.
    pub(crate) fn flush(&mut self, number: u32) {
        if let Some(child) = self.children.get_mut(&number) {
            child.control.flush();
            self.note_backlog(number);
        }
    }

    /// Remembers whether the kernel would not take what a process was told, and has it say when there is room. Only then:
    /// otherwise each packet that a process takes would wake this one.
    pub(super) fn note_backlog(&mut self, number: u32) {
        let Some(child) = self.children.get_mut(&number) else {
            return;
        };
        let is_waiting = child.control.waiting() > 0;
        if child.control.is_refused() {
            self.refused.insert(number);
        } else if is_waiting || child.awaits_room {
            let interest = match is_waiting {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            let raw = child.control.as_fd().as_raw_fd();
            let token = Watched::Process(number, Source::Control).token();
            let told = (self.registry).reregister(&mut SourceFd(&raw), token, interest);
            child.awaits_room = is_waiting;
            if told.is_err() && is_waiting {
                self.refused.insert(number); // Then it is asked again shortly.
            }
        }
    }

    /// Hears a process's requests. True if there may be more.
    pub(super) fn listen(&mut self, number: u32, head: &mut dyn Head, now: Instant) -> bool {
        let mut packet = std::mem::take(&mut self.packet);
        let is_more = self.listen_with(&mut packet, number, head, now);
        self.packet = packet;
        is_more
    }

    fn listen_with(
        &mut self,
        packet: &mut Vec<u8>,
        number: u32,
        head: &mut dyn Head,
        now: Instant,
    ) -> bool {
        for _ in 0..REQUESTS_PER_TURN {
            let children = self.children.get_mut(&number);
            let Some(child) = children.filter(|child| !child.is_dead) else {
                return false;
            };
            let beside = match child.control.receive(packet) {
                Ok(Some(beside)) => beside,
                Ok(None) => {
                    self.speechless.push((now + END_FOLLOWS_MAX, number));
                    return false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.kill(number);
                    return false;
                }
            };
            let is_understood = match Request::decode(packet) {
                Ok(request) => self.handle(number, request, beside, head, now),
                Err(_) => false,
            };
            if !is_understood {
                self.notes.push((number, NONSENSE.to_string()));
                self.kill(number);
                return false;
            }
            self.act(head, now);
        }
        true
    }

    /// Hands on what a process asks. False if it makes no sense.
    fn handle(
        &mut self,
        from: u32,
        request: Request,
        beside: Beside,
        head: &mut dyn Head,
        now: Instant,
    ) -> bool {
        let mut file = None;
        match request {
            Request::Spawn(ref spawn) => {
                if beside.is_cut {
                    let why = launcher::explain(&limit::no_descriptor());
                    let refused = Notice::Spawned {
                        id: spawn.id,
                        result: Err(Refusal::Launch { why }),
                        seal: None,
                    };
                    self.tell(from, &refused, None);
                    return true;
                }
                file = beside.descriptors.into_iter().next();
                let comes_as_file = matches!(spawn.argument, Argument::File { .. });
                if comes_as_file != file.is_some() {
                    return false;
                }
                self.heed_signals(head, now);
            }
            Request::Waits(waits) => {
                head.handle_waits(from, waits, now);
                return true;
            }
            _ => {}
        }
        head.handle_request(from, request, file).is_ok()
    }

    /// Kills those that closed the socket to us and did not end: nothing that they wait for could reach them.
    pub(super) fn end_speechless(&mut self, now: Instant) {
        let over = self.speechless.extract_if(.., |(at, _)| *at <= now);
        let over: Vec<_> = over.map(|(_, number)| number).collect();
        for number in over {
            let child = self.children.get(&number).filter(|child| !child.is_dead);
            if child.is_some_and(|child| matches!(child.end(), Ok(None))) {
                self.notes.push((number, CLOSED_OURS.to_string()));
                self.kill(number);
            }
        }
    }

    /// Whether this is a process here that has not ended, also not without our having heard of it, and is not about to be
    /// ended.
    pub(super) fn lives(&self, number: u32) -> bool {
        let is_speechless = self.speechless.iter().any(|(_, other)| *other == number);
        let child = self.children.get(&number);
        !is_speechless
            && child.is_some_and(|child| !child.is_dead && matches!(child.end(), Ok(None)))
    }

    /// Reads once what a process writes. True if there may be more.
    pub(super) fn hear(
        &mut self,
        number: u32,
        stream: Stream,
        head: &mut dyn Head,
        now: Instant,
    ) -> bool {
        if head.is_full() {
            return true;
        }
        let Some(child) = self.children.get_mut(&number) else {
            return false;
        };
        let mut bytes = head.buffer();
        let heard = child.voice.read(stream, &mut bytes);
        if !bytes.is_empty() {
            head.handle_output(number, stream, bytes, now);
        }
        heard == Heard::Bytes
    }

    /// Reads no more of a stream that nobody wants: the kernel tells those who write to it.
    pub(super) fn hush(&mut self, head: &dyn Head) {
        self.heard.retain(|stream| head.wants(*stream));
        for stream in STREAMS
            .into_iter()
            .filter(|stream| !self.heard.contains(stream))
        {
            for child in self.children.values_mut() {
                child.voice.close(stream);
            }
        }
    }

    /// Bytes for the initial process to read; none of them: no more will come.
    pub(super) fn handle_input(&mut self, bytes: Vec<u8>, head: &mut dyn Head) {
        if let Some(input) = &mut self.input {
            input.handle_bytes(bytes);
        }
        self.feed(head);
    }

    /// Writes what there is room for.
    pub(crate) fn feed(&mut self, head: &mut dyn Head) {
        let taken = self.input.as_mut().map_or(0, Input::feed);
        if taken > 0 {
            head.handle_input_taken(taken);
        }
    }
}

/// So that one process that asks without pause does not keep the others waiting.
const REQUESTS_PER_TURN: usize = 16;
/// A process that ends closes its socket some 50 us before it is dead; how much longer that may take on a busy machine.
const END_FOLLOWS_MAX: Duration = Duration::from_secs(2);
const CLOSED_OURS: &str = "killed, because it closed the descriptor that connects it to the first process: a program \
    may close what it opened itself, and nothing from number 512 on that it did not";
const NONSENSE: &str = "killed, because what came on the descriptor that connects it to the first process makes no sense: a \
    program may write to what it opened itself, and to nothing from number 512 on that it did not";
