//! The way to hands in another process: orders go there, and reports come from there.
//!
//! Deliberately absent: that process itself, and what orders and reports mean.

use crate::far::ARGUMENT_BYTES_MAX;
use deploy_sys::{limit, memfd, packet};
use deploy_wire::job::{JobOrder, JobReport};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A report, and the file beside it.
pub type Reported = (JobReport, Option<Vec<u8>>);

/// A packet socket whose other end a [`Far`](crate::Far) has.
///
/// Nothing of it blocks.
#[derive(Debug)]
pub struct Tether {
    socket: OwnedFd,
    /// What the socket has no room for yet.
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    /// What reports are received into.
    packet: Vec<u8>,
}

impl Tether {
    /// By this socket.
    pub fn new(socket: OwnedFd) -> Tether {
        Tether {
            socket,
            waiting: VecDeque::new(),
            packet: Vec::new(),
        }
    }

    /// Orders something, with the argument's file or with what else travels beside it.
    ///
    /// # Errors
    /// If it cannot be told, in words.
    pub fn order(
        &mut self,
        order: JobOrder,
        file: Option<Vec<u8>>,
        mut beside: Vec<OwnedFd>,
    ) -> Result<(), String> {
        if let Some(bytes) = file {
            let file = memfd::sealed("deploy-argument", &bytes);
            beside.push(file.map_err(|error| explain(&error))?.into());
        }
        for packet in packets(order)? {
            self.waiting.push_back((packet, Vec::new()));
        }
        if let Some((_, last)) = self.waiting.back_mut() {
            *last = beside;
        }
        self.flush();
        Ok(())
    }

    /// The next that is reported, and the file beside it; nothing, if there is nothing now.
    ///
    /// # Errors
    /// If there is nobody to report any more, or what comes makes no sense, in words.
    pub fn hear(&mut self) -> Result<Option<Reported>, String> {
        self.flush();
        let beside = match packet::try_receive(self.socket.as_fd(), &mut self.packet) {
            Ok(Some(beside)) => beside,
            Ok(None) => return Err("the job's warden has ended unexpectedly".to_string()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(explain(&error)),
        };
        if beside.is_cut {
            return Err(explain(&limit::no_descriptor()));
        }
        let report = JobReport::decode(&self.packet).map_err(|error| error.to_string())?;
        let file = match beside.descriptors.into_iter().next() {
            None => None,
            Some(file) => {
                let file = File::from(file);
                let len = file.metadata().map_err(|error| explain(&error))?.len();
                if len > ARGUMENT_BYTES_MAX {
                    return Err("the job's warden hands on what it must refuse".to_string());
                }
                let bytes = memfd::read_all(&file).map_err(|error| explain(&error))?;
                Some(bytes)
            }
        };
        Ok(Some((report, file)))
    }

    /// Sends what there is room for.
    fn flush(&mut self) {
        while let Some((bytes, beside)) = self.waiting.front() {
            let descriptors: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
            match packet::try_send(self.socket.as_fd(), bytes, &descriptors) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It has ended, and `hear` says so.
                Err(_) => return self.waiting.clear(),
            }
        }
    }
}

impl AsFd for Tether {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An order as packets. Input may be cut anywhere.
fn packets(order: JobOrder) -> Result<Vec<Vec<u8>>, String> {
    if let JobOrder::Input { bytes } = &order
        && bytes.len() > INPUT_BYTES_MAX
    {
        let chunks = bytes.chunks(INPUT_BYTES_MAX).map(<[u8]>::to_vec);
        return Ok(chunks
            .map(|bytes| JobOrder::Input { bytes }.encode())
            .collect());
    }
    let packet = order.encode();
    match packet.len() > packet::PACKET_BYTES_MAX {
        false => Ok(vec![packet]),
        true => Err(format!(
            "the job's arguments and environment take {} KiB, and may take {}",
            packet.len() >> 10,
            packet::PACKET_BYTES_MAX >> 10
        )),
    }
}

fn explain(error: &io::Error) -> String {
    format!("the job's warden could not be told: {error}")
}

/// A packet holds it, with its head.
const INPUT_BYTES_MAX: usize = 128 << 10;
