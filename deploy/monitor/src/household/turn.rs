//! One turn of the loop: what is done, in which order, and what the head decides of it.
//!
//! Deliberately absent: how any of it is done.

use super::Household;
use crate::{
    head::{Deed, Head},
    signals::SIGKILL,
    watched::Source,
};
use deploy_wire::control::Notice;
use std::time::{Duration, Instant};

impl Household {
    /// Gives everything that is ready one turn, then does what has come of it.
    pub(crate) fn turn(&mut self, head: &mut dyn Head, now: Instant) {
        for (number, source) in self.ready.take() {
            let is_more = match source {
                Source::Process => self.handle_end(number, head, now),
                Source::Control if head.is_choked() => true,
                Source::Control => self.listen(number, head, now),
                Source::Output(stream) => self.hear(number, stream, head, now),
            };
            if is_more {
                self.ready.insert((number, source));
            }
        }
        self.hush(head);
        self.retry();
        self.end_speechless(now);
        for (number, text) in std::mem::take(&mut self.notes) {
            head.handle_note(number, text, now);
        }
        self.act(head, now);
        self.meet(head, now);
        self.look_after_lines(head, now);
        self.relays.carry(&self.registry, head);
        self.farewell_all(head, now);
        self.act(head, now);
        self.start_keeper(now);
        self.start_spare(head, now);
        self.look_at_memory(now);
    }

    /// When there is something to do, whatever happens in the meantime.
    pub(crate) fn poll_timeout(&self, head: &dyn Head, now: Instant) -> Option<Instant> {
        let (is_full, is_choked) = (head.is_full(), head.is_choked());
        let is_due = |(_, source): &(u32, Source)| match source {
            Source::Process => true,
            Source::Control => !is_choked,
            Source::Output(_) => !is_full,
        };
        if self.ready.iter().any(is_due) || (self.relays.is_ready() && !is_choked) {
            return Some(now);
        }
        let retry = !self.refused.is_empty() || !self.postponed.is_empty();
        let ends = self
            .leaving
            .iter()
            .filter_map(|number| self.children[number].voice.poll_timeout());
        ends.chain(retry.then(|| now + RETRY_AFTER))
            .chain(self.keeper_due)
            .chain(self.memory.poll_timeout())
            .chain(self.spare.poll_timeout())
            .chain(self.outside.poll_timeout())
            .chain(self.lines.poll_timeout(now))
            .chain(self.speechless.iter().map(|(at, _)| *at))
            .min()
    }

    /// Does what the head has decided.
    pub(crate) fn act(&mut self, head: &mut dyn Head, now: Instant) {
        while let Some(deed) = head.poll_deed() {
            match deed {
                Deed::Begin(begin, file) => self.begin(*begin, file, head, now),
                Deed::Tell(number, notice) => {
                    match notice {
                        Notice::Granted { resources, .. } => self.limit(number, resources, now),
                        Notice::Ended { peer, .. } => self.lines.forget(number, peer.number()),
                        _ => {}
                    }
                    self.tell(number, &notice, None);
                }
                Deed::Connect(one, other) => self.connect(one, other),
                Deed::Dial(one, other, at) => self.dial(one, other, at, head, now),
                Deed::Relay(relay) => self.relay(*relay, head),
                Deed::Relayed(channel, piece) => self.handle_piece(channel, piece, head),
                Deed::Part => self.part(head),
                Deed::Accept(socket, hello) => self.accept(socket, &hello, now),
                Deed::Kill(number) => self.kill(number),
                Deed::Signal(number, signal) => self.signal(number, signal),
                Deed::Vouch(number, to) => self.vouch(number, to, head),
                Deed::Cut(number, peer) => self.tell_cut(number, peer, head),
                Deed::Input(bytes) => self.handle_input(bytes, head),
                Deed::End => self.end(),
            }
        }
    }

    /// Kills everything. Nothing is begun any more.
    fn end(&mut self) {
        self.is_ending = true;
        self.spare.dismiss();
        for number in self.children.keys() {
            self.signal(*number, SIGKILL);
        }
    }

    /// Tries again what the kernel had no room for.
    fn retry(&mut self) {
        for (one, other) in std::mem::take(&mut self.postponed) {
            self.connect(one, other);
        }
        for number in std::mem::take(&mut self.refused) {
            self.flush(number);
        }
    }
}

/// How soon to ask again for what the kernel had no room for and will not announce.
const RETRY_AFTER: Duration = Duration::from_millis(10);
