//! A program as a client sends it, piece by piece.
//!
//! Deliberately absent: whether it is wanted (`bridge.rs`), and changes of other programs.

use crate::bridge::Client;
use deploy_wire::client::{Answer, Ask};
use std::io::{self, Cursor, Read};

/// Who reads asks for the next piece when it has read the last one, and so unpacks each once: a program of a build without
/// optimisation has many.
pub struct Frame<'a> {
    client: &'a mut Client,
    piece: Option<Cursor<Vec<u8>>>,
}

impl Frame<'_> {
    pub fn of(client: &mut Client) -> Frame<'_> {
        Frame {
            client,
            piece: None,
        }
    }

    fn next(&mut self) -> Cursor<Vec<u8>> {
        if self.piece.take().is_some() {
            self.client.tell(&Answer::ImageTaken);
        }
        loop {
            match self.client.hear().expect("the client sends all of it") {
                Ask::Chunk { bytes } => return Cursor::new(bytes),
                Ask::Nodes => self.client.tell(&Answer::Nodes(Vec::new())),
                other => panic!("{other:?} comes too early"),
            }
        }
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = |piece: &Cursor<Vec<u8>>| piece.position() < piece.get_ref().len() as u64;
        if !self.piece.as_ref().is_some_and(left) {
            self.piece = Some(self.next());
        }
        self.piece.as_mut().expect("there is one").read(bytes)
    }
}

pub fn unpacked(frame: impl Read, len_max: u64) -> io::Result<Vec<u8>> {
    let mut program = Vec::new();
    deploy_parcel::unpack(frame, None::<&[u8]>, len_max, &mut program)?;
    Ok(program)
}
