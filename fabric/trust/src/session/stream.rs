//! Bytes from the stream to TLS and on, and back.
//!
//! Deliberately absent: when to read or write.

use super::Session;
use crate::{error::SessionError, limits::UNKNOWN_BYTES_MAX};
use std::{
    cell::RefCell,
    io::{self, BufRead, IoSlice, Read, Write},
};

impl Session {
    /// Reads once. False if there is nothing to be read now.
    pub(super) fn read(&mut self) -> Result<bool, SessionError> {
        READ.with_borrow_mut(|buffer| self.read_with(buffer))
    }

    pub(super) fn read_with(&mut self, buffer: &mut [u8]) -> Result<bool, SessionError> {
        // What follows the greeting may come with it, and is read when it is known who speaks.
        let allowed = match self.is_open() {
            true => READ_BYTES,
            false => READ_BYTES.min(UNKNOWN_BYTES_MAX - self.unknown_bytes),
        };
        if allowed == 0 {
            let reason = "it says too much before it is known";
            return Err(SessionError::Protocol(reason.into()));
        }
        let len = loop {
            match self.stream.read(&mut buffer[..allowed]) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SessionError::Cut(error)),
            }
        };
        if len == 0 {
            return Err(self.ended());
        }
        if !self.is_open() {
            self.unknown_bytes += len;
        }
        self.decrypt(&buffer[..len])?;
        Ok(true)
    }

    pub(super) fn decrypt(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        // What follows the greeting may be longer than that.
        let max = self.is_open().then(|| self.message_bytes_max());
        while !bytes.is_empty() {
            if self.tls.read_tls(&mut bytes).map_err(SessionError::Cut)? == 0 {
                // Behind a goodbye nothing counts.
                return Ok(());
            }
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert tells the peer why; if it cannot be sent, so be it.
                    let _ = self.write();
                    return Err(error.into());
                }
            };
            self.has_ended |= state.peer_has_closed();
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let mut reader = self.tls.reader();
                let plain = reader.fill_buf().map_err(SessionError::Cut)?;
                let len = plain.len();
                match max {
                    Some(max) => self.inbound.handle_bytes(plain, max),
                    None => self.inbound.keep_bytes(plain),
                }
                reader.consume(len);
                left = left.saturating_sub(len.max(1));
            }
        }
        Ok(())
    }

    pub(super) fn ended(&self) -> SessionError {
        if self.has_ended && !self.inbound.is_amid_message() {
            SessionError::Closed
        } else {
            SessionError::Cut(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Hands TLS more of what waits. False if there is nothing, or no room.
    pub(super) fn encrypt_some(&mut self) -> Result<bool, SessionError> {
        if !self.is_open() {
            return Ok(false);
        }
        if self.outbound.is_empty() {
            let is_goodbye = self.is_finishing && !self.has_said_goodbye;
            if is_goodbye {
                self.tls.send_close_notify();
                self.has_said_goodbye = true;
            }
            return Ok(is_goodbye);
        }
        let waiting = self.outbound.waiting();
        let slices: Vec<_> = waiting.iter().map(|slice| IoSlice::new(slice)).collect();
        let taken = self.tls.writer().write_vectored(&slices);
        let taken = taken.map_err(SessionError::Cut)?;
        self.outbound.took(taken);
        Ok(taken > 0)
    }

    /// Writes what TLS has ready, as far as the stream takes it.
    pub(super) fn write(&mut self) -> Result<(), SessionError> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(count) => self.flowed_bytes = self.flowed_bytes.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flowed_bytes = 0;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SessionError::Cut(error)),
            }
        }
        Ok(())
    }
}

thread_local! {
    /// What a thread reads into, of whichever session: nothing stays there.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// One read: several full TLS records.
const READ_BYTES: usize = 64 << 10;
