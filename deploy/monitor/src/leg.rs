//! One end of a relayed connection, between a process's socket and the pieces that travel.
//!
//! A plain machine: it is told what came (`handle_*`) and asked what to do about it. Deliberately absent: the socket, the
//! way that the pieces take, and any look at the bytes.
//!
//! # How it ends
//! Each direction ends by itself: `End` from who wrote, when its process has closed the socket, or `Stop` from who read, when
//! its process reads no more. When both directions are over here and nothing waits for the process, the last word is `Over`.

use deploy_wire::{
    bytes::Malformed,
    relay::{PIECE_BYTES_MAX, Piece},
};
use std::collections::VecDeque;

/// Bytes and ends in both directions.
#[derive(Debug)]
pub(crate) struct Leg {
    window: u64,
    /// What waits for the process.
    incoming: VecDeque<u8>,
    /// How much of the window is unused: so much may still come.
    granted: u64,
    /// What the process has taken and nobody was told.
    taken: u64,
    /// No more bytes come.
    is_incoming_over: bool,
    /// The process reads no more.
    is_deaf: bool,
    /// How much may be sent.
    room: u64,
    /// No more bytes leave.
    is_outgoing_over: bool,
    owed: VecDeque<Piece>,
    is_over: bool,
    /// What was on its way is lost.
    is_broken: bool,
}

impl Leg {
    /// Each side may send so many bytes before it is granted more.
    pub(crate) fn new(window: u64) -> Leg {
        Leg {
            window,
            incoming: VecDeque::new(),
            granted: window,
            taken: 0,
            is_incoming_over: false,
            is_deaf: false,
            room: window,
            is_outgoing_over: false,
            owed: VecDeque::new(),
            is_over: false,
            is_broken: false,
        }
    }

    /// A piece came from the other end.
    ///
    /// # Errors
    /// If it is more than was granted.
    pub(crate) fn handle_piece(&mut self, piece: Piece) -> Result<(), Malformed> {
        match piece {
            _ if self.is_broken => {} // Said before, and overtaken by the word of that.
            Piece::Bytes(bytes) => {
                let len = bytes.len() as u64;
                let is_wanted = !self.is_incoming_over || self.is_deaf;
                if len > self.granted || !is_wanted {
                    return Err(Malformed("a relayed connection brings more than it may"));
                }
                self.granted -= len;
                if !self.is_deaf {
                    self.incoming.extend(bytes);
                }
            }
            Piece::Credit(bytes) => self.room = self.room.saturating_add(bytes).min(self.window),
            Piece::End => self.is_incoming_over = true,
            Piece::Stop => self.is_outgoing_over = true,
            Piece::Over | Piece::Broken => {
                self.is_broken = piece == Piece::Broken;
                self.is_incoming_over = true;
                self.is_outgoing_over = true;
            }
        }
        self.finish();
        Ok(())
    }

    /// Whether more may come from the other end.
    pub(crate) fn is_incoming(&self) -> bool {
        !self.is_incoming_over
    }

    /// How much may be read from the process now.
    pub(crate) fn readable(&self) -> usize {
        match self.is_outgoing_over {
            true => 0,
            false => self.room.min(PIECE_BYTES_MAX as u64) as usize,
        }
    }

    /// The process wrote this; nothing: it has closed its end.
    pub(crate) fn handle_read(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.is_outgoing_over = true;
            self.owed.push_back(Piece::End);
        } else {
            self.room -= bytes.len() as u64;
            self.owed.push_back(Piece::Bytes(bytes));
        }
        self.finish();
    }

    /// What the process is to be given next.
    pub(crate) fn writable(&self) -> &[u8] {
        self.incoming.as_slices().0
    }

    /// It has taken so much of that.
    pub(crate) fn handle_written(&mut self, count: usize) {
        self.incoming.drain(..count);
        self.taken += count as u64;
        if self.taken >= self.window / 2 && !self.is_incoming_over {
            self.granted += self.taken;
            self.owed.push_back(Piece::Credit(self.taken));
            self.taken = 0;
        }
        self.finish();
    }

    /// The process takes nothing more.
    pub(crate) fn handle_deaf(&mut self) {
        self.discard();
        if !std::mem::replace(&mut self.is_deaf, true) && !self.is_incoming_over {
            self.owed.push_back(Piece::Stop);
            self.is_incoming_over = true;
        }
        self.finish();
    }

    /// Whether the process has got all that will ever come.
    pub(crate) fn is_all_written(&self) -> bool {
        self.is_incoming_over && self.incoming.is_empty()
    }

    /// Whether nothing of the process's is wanted any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_outgoing_over
    }

    /// The next piece for the other end.
    pub(crate) fn poll_piece(&mut self) -> Option<Piece> {
        self.owed.pop_front()
    }

    /// Whether it has come to its end, with the last piece.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over && self.owed.is_empty()
    }

    fn discard(&mut self) {
        self.incoming = VecDeque::new();
    }

    fn finish(&mut self) {
        if self.is_all_written() && self.is_outgoing_over && !self.is_over {
            self.is_over = true;
            self.owed.push_back(Piece::Over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: u64 = 100;

    /// Gives the process what there is, and returns it.
    fn write(leg: &mut Leg, most: usize) -> Vec<u8> {
        let bytes = leg.writable();
        let bytes = bytes[..bytes.len().min(most)].to_vec();
        leg.handle_written(bytes.len());
        bytes
    }

    fn carry(from: &mut Leg, to: &mut Leg) {
        while let Some(piece) = from.poll_piece() {
            to.handle_piece(piece).unwrap();
        }
    }

    #[test]
    fn both_ends_close_when_both_processes_have() {
        let (mut one, mut other) = (Leg::new(WINDOW), Leg::new(WINDOW));
        one.handle_read(b"last words".to_vec());
        one.handle_read(Vec::new());
        carry(&mut one, &mut other);
        assert!(!other.is_all_written());
        assert_eq!(write(&mut other, usize::MAX), b"last words");
        assert!(other.is_all_written() && !other.is_unread() && !other.is_over());
        // The process at the other end goes on, and hears at its next words that nobody reads them.
        other.handle_read(b"x".to_vec());
        carry(&mut other, &mut one);
        one.handle_deaf();
        carry(&mut one, &mut other);
        assert!(other.is_unread());
        carry(&mut other, &mut one);
        carry(&mut one, &mut other);
        assert!(one.is_over() && other.is_over());
    }

    #[test]
    fn an_end_that_is_gone_leaves_what_it_has_sent() {
        let (mut one, mut other) = (Leg::new(WINDOW), Leg::new(WINDOW));
        one.handle_read(b"before the cut".to_vec());
        carry(&mut one, &mut other);
        other.handle_piece(Piece::Over).unwrap();
        assert_eq!(other.readable(), 0);
        assert_eq!(write(&mut other, usize::MAX), b"before the cut");
        assert_eq!(other.poll_piece(), Some(Piece::Over));
        assert!(other.is_over());
        assert!(other.handle_piece(Piece::Bytes(vec![1])).is_err());
    }

    #[test]
    fn what_comes_behind_the_word_that_it_broke_is_not_wanted() {
        let mut leg = Leg::new(WINDOW);
        leg.handle_piece(Piece::Bytes(b"before the break".to_vec()))
            .unwrap();
        assert!(leg.is_incoming());
        leg.handle_piece(Piece::Broken).unwrap();
        assert!(!leg.is_incoming() && leg.readable() == 0);
        for late in [Piece::Bytes(vec![1]), Piece::End, Piece::Over] {
            leg.handle_piece(late).unwrap();
        }
        assert_eq!(write(&mut leg, usize::MAX), b"before the break");
        assert_eq!(leg.poll_piece(), Some(Piece::Over));
        assert!(leg.is_over());
    }

    #[test]
    fn nobody_sends_more_than_was_granted() {
        let mut leg = Leg::new(WINDOW);
        leg.handle_piece(Piece::Bytes(vec![0; 60])).unwrap();
        assert!(leg.handle_piece(Piece::Bytes(vec![0; 41])).is_err());
        write(&mut leg, 49);
        assert_eq!(leg.poll_piece(), None);
        write(&mut leg, 1);
        assert_eq!(leg.poll_piece(), Some(Piece::Credit(50)));
        leg.handle_read(vec![0; 100]);
        assert_eq!(leg.readable(), 0);
        leg.handle_piece(Piece::Credit(7)).unwrap();
        assert_eq!(leg.readable(), 7);
    }

    proptest! {
        /// In whatever order the two ends move, the bytes arrive whole, and what waits is bounded.
        #[test]
        fn bytes_arrive_whole(steps in proptest::collection::vec((0..4u8, 1..200usize), 1..300)) {
            let (mut one, mut other) = (Leg::new(WINDOW), Leg::new(WINDOW));
            let (mut sent, mut came) = (0u64, 0u64);
            for (step, amount) in steps {
                match step {
                    0 => {
                        let len = one.readable().min(amount);
                        let bytes: Vec<u8> = (sent..).take(len).map(|byte| byte as u8).collect();
                        sent += len as u64;
                        if len > 0 {
                            one.handle_read(bytes);
                        }
                    }
                    1 => carry(&mut one, &mut other),
                    2 => carry(&mut other, &mut one),
                    _ => {
                        for byte in write(&mut other, amount) {
                            prop_assert_eq!(byte, came as u8);
                            came += 1;
                        }
                    }
                }
                prop_assert!(sent - came <= WINDOW);
            }
            one.handle_read(Vec::new());
            while !other.is_all_written() {
                carry(&mut one, &mut other);
                came += write(&mut other, usize::MAX).len() as u64;
            }
            prop_assert_eq!(sent, came);
        }
    }
}
