//! Which frame may follow which, as the receiving end holds the sending end to it.
//!
//! No bytes and no counts: those are [`Inbound`](crate::inbound::Inbound)'s.

use crate::{
    bytes::Malformed,
    frame::{Header, Kind, Memory, Part},
};

/// Where the peer's senders stand.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The current or latest sender, counted from 1.
    generation: u32,
    stage: Stage,
    /// The last word about shared memory.
    memory: Option<Memory>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// No sender lives.
    #[default]
    Between,
    /// A sender lives, and no value is half sent.
    Open,
    /// A long value is half sent.
    Long,
    /// The process ends. Threads that it does not wait for may still send; nobody takes it.
    Over,
}

impl Order {
    /// Whether the process said that it ends: what still comes is nobody's, and may overrun the limit by the end itself.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The frame comes next.
    pub(crate) fn handle_frame(&mut self, header: &Header) -> Result<(), Malformed> {
        if let Kind::Memory(word) = header.kind {
            return self.handle_memory(word);
        }
        if self.is_over() {
            return Ok(());
        }
        self.stage = match header.kind {
            Kind::Ack | Kind::Ping | Kind::Stop(_) | Kind::Memory(_) => return Ok(()),
            Kind::Bye => Stage::Over,
            Kind::Open if self.stage != Stage::Between => {
                return Err(Malformed("a sender begins before the last one ended"));
            }
            Kind::Open if Some(header.generation) != self.generation.checked_add(1) => {
                return Err(Malformed("senders are not counted one by one"));
            }
            Kind::Open => {
                self.generation = header.generation;
                Stage::Open
            }
            _ if self.stage == Stage::Between || header.generation != self.generation => {
                return Err(Malformed("a frame belongs to no sender that lives"));
            }
            Kind::Data if self.stage == Stage::Long => {
                return Err(Malformed("a value comes in the middle of another"));
            }
            Kind::Data | Kind::Piece(Part::Last | Part::Cancelled) => Stage::Open,
            Kind::Piece(Part::More) => Stage::Long,
            Kind::Fin | Kind::Abort => Stage::Between,
        };
        Ok(())
    }

    /// These words concern the connection, and not its senders.
    fn handle_memory(&mut self, word: Memory) -> Result<(), Malformed> {
        let next = match self.memory {
            None => Some(Memory::Asked),
            Some(Memory::Asked) => Some(Memory::Given),
            Some(Memory::Given) => Some(Memory::Entered),
            Some(Memory::Entered) => None,
        };
        if next != Some(word) {
            return Err(Malformed("memory is shared in another order"));
        }
        self.memory = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Memory as Word, Stop as Why};

    fn check(frames: &[(Kind, u32)], expect: Result<(), &'static str>) {
        let mut order = Order::default();
        let (last, before) = frames.split_last().unwrap();
        for (kind, generation) in before {
            order
                .handle_frame(&Header::new(*kind, *generation))
                .unwrap();
        }
        let found = order.handle_frame(&Header::new(last.0, last.1));
        assert_eq!(found, expect.map_err(Malformed), "{frames:?}");
    }

    #[test]
    fn senders_come_one_after_another() {
        use Kind::*;
        let (more, last) = (Piece(Part::More), Piece(Part::Last));
        check(&[(Open, 1), (Data, 1), (Fin, 1), (Open, 2)], Ok(()));
        check(&[(Open, 1), (more, 1), (last, 1), (Data, 1)], Ok(()));
        check(&[(Open, 1), (more, 1), (Abort, 1)], Ok(()));
        check(
            &[(Stop(Why::Dropped), 7), (Ack, 0), (Ping, 0), (Open, 1)],
            Ok(()),
        );
        check(&[(Bye, 0)], Ok(()));
        let words = [Word::Asked, Word::Given, Word::Entered].map(|word| (Memory(word), 0));
        check(&words, Ok(()));
        check(&[(Bye, 0), words[0], words[1]], Ok(()));
        check(&[(Open, 1), (Bye, 1), (Data, 1), (Fin, 1)], Ok(()));
    }

    #[test]
    fn what_no_sender_sends_is_refused() {
        use Kind::*;
        let more = Piece(Part::More);
        check(
            &[(Open, 1), (Open, 2)],
            Err("a sender begins before the last one ended"),
        );
        check(&[(Open, 2)], Err("senders are not counted one by one"));
        check(
            &[(Open, 1), (Fin, 1), (Open, 1)],
            Err("senders are not counted one by one"),
        );
        check(&[(Data, 0)], Err("a frame belongs to no sender that lives"));
        let (asked, given) = (Memory(Word::Asked), Memory(Word::Given));
        for frames in [
            &[(given, 0)][..],
            &[(asked, 0), (asked, 0)],
            &[(Bye, 0), (given, 0)],
        ] {
            check(frames, Err("memory is shared in another order"));
        }
        check(
            &[(Open, 1), (Data, 2)],
            Err("a frame belongs to no sender that lives"),
        );
        check(
            &[(Open, 1), (Fin, 1), (Fin, 1)],
            Err("a frame belongs to no sender that lives"),
        );
        check(
            &[(Open, 1), (more, 1), (Data, 1)],
            Err("a value comes in the middle of another"),
        );
    }
}
