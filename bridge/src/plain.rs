//! Events as nobody should notice them: the bytes of the processes, where and as they were written, and nothing else. So
//! an ordinary program looks as if it ran here.
//!
//! Deliberately absent: headers and notes; but an end that no program brings about by itself is told, in one line on
//! standard error.

use crate::lane::Write;
use deploy_wire::{
    event::{Event, Stream},
    exit::Reason,
};
use std::collections::VecDeque;

/// The formatter for programs that know nothing of a cluster.
#[derive(Default, Debug)]
pub struct Plain {
    writes: VecDeque<Write>,
}

impl Plain {
    /// Before the first event.
    pub fn new() -> Plain {
        Plain::default()
    }

    /// Takes in what became known.
    pub fn handle_event(&mut self, event: Event) {
        match event {
            Event::Output { stream, bytes, .. } if !bytes.is_empty() => {
                self.writes.push_back(Write { stream, bytes });
            }
            Event::Exited { status, .. }
                if matches!(
                    status.reason(),
                    Some(Reason::OutOfMemory(_) | Reason::NodeLost | Reason::Orphaned)
                ) =>
            {
                self.writes.push_back(Write {
                    stream: Stream::Stderr,
                    bytes: format!("exited: {status}\n").into_bytes(),
                });
            }
            _ => {}
        }
    }

    /// What to write next.
    pub fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{
        exit::{End, ExitStatus},
        pid::{Job, Pid},
        resources::Resources,
    };

    #[test]
    fn what_was_written_is_all_there_is() {
        let pid = Pid::new(Job::from_bits(7), 0);
        let mut plain = Plain::new();
        let spawned = Event::Spawned {
            pid,
            parent: None,
            node: "n1".into(),
            worker: "ls::main".into(),
            resources: Resources::default(),
        };
        plain.handle_event(spawned);
        let wrote = |stream, bytes: &[u8]| Event::Output {
            pid,
            stream,
            bytes: bytes.to_vec(),
        };
        plain.handle_event(wrote(Stream::Stdout, b"\x1b[2Jhalf a li"));
        plain.handle_event(wrote(Stream::Stderr, b"\xff"));
        let status = ExitStatus::new(End::Code(1));
        plain.handle_event(Event::Exited { pid, status });
        let shown: Vec<_> = std::iter::from_fn(|| plain.poll_write()).collect();
        let expected = |stream, bytes: &[u8]| Write {
            stream,
            bytes: bytes.to_vec(),
        };
        assert_eq!(
            shown,
            [
                expected(Stream::Stdout, b"\x1b[2Jhalf a li"),
                expected(Stream::Stderr, b"\xff")
            ]
        );
        let status = ExitStatus::new(End::Signal(9)).because(Reason::NodeLost);
        plain.handle_event(Event::Exited { pid, status });
        let told = plain.poll_write().unwrap();
        assert_eq!(told.bytes, b"exited: SIGKILL (lost with its node)\n");
    }
}
