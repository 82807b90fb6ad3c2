//! What the monitor says, and what follows from it: connections, ends, and answers (`answers.rs`).
//!
//! Deliberately absent: who listens.

use super::{Control, raise};
use crate::fatal;
use deploy_sys::{
    fd,
    packet::{self, Beside},
};
use deploy_wire::{control::Notice, pid::Pid, secret::Seal};
use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::TryLockError,
    time::{Duration, Instant},
};

impl Control {
    /// Takes in everything the monitor has said, unless somebody who asked listens.
    pub(crate) fn hear(&self) {
        let mut packet = match self.ear.try_lock() {
            Ok(packet) => packet,
            Err(TryLockError::Poisoned(packet)) => packet.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        while let Some(beside) = self.receive(packet::try_receive, &mut packet) {
            self.handle(&packet, beside);
        }
    }

    /// The next packet; none if there is none yet.
    pub(super) fn receive(&self, receive: Receive, packet: &mut Vec<u8>) -> Option<Beside> {
        match receive(self.socket(), packet) {
            Ok(Some(beside)) => Some(beside),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) if fd::is_not_ours(&error) => fatal::closed_ours(),
            // The monitor is gone, and with it every other process of the job.
            Ok(None) | Err(_) => std::process::abort(),
        }
    }

    /// What was said is done, or handed to whoever waits for it.
    pub(super) fn handle(&self, packet: &[u8], beside: Beside) {
        let notice = Notice::decode(packet).expect("the monitor runs the same image");
        let is_cut = beside.is_cut;
        let socket = beside.descriptors.into_iter().next().map(raise);
        match notice {
            Notice::Spawned {
                id,
                ref result,
                ref seal,
            } => {
                if let Ok(pid) = result {
                    match is_cut || socket.is_some() {
                        true => self.handle_connected(*pid, socket, seal.clone()),
                        false => self.links.expect(*pid), // It is on another machine.
                    }
                }
                self.answer(id, notice);
            }
            Notice::Connected { peer, seal } => {
                // From another machine it may come behind the word of the peer's end, which then found no connection to
                // tell it to. It is said again to whoever asks, and a peer that lives is connected once.
                if seal.is_some() && self.links.by_peer(peer).is_none() {
                    self.connect(peer);
                }
                self.handle_connected(peer, socket, seal);
            }
            Notice::Ended { peer, status } => {
                if let Some(link) = self.links.by_peer(peer) {
                    link.handle_fate(status);
                    link.let_retire();
                    if !link.has_ended() {
                        // Somebody else may hold the socket too, such as a forked child.
                        self.links.hub.set_alarm(Instant::now() + LINGER, link);
                    }
                }
            }
            Notice::Lives { peer } => {
                if let Some(link) = self.links.by_peer(peer) {
                    link.handle_severed();
                }
            }
            Notice::Cut { peer } => {
                if let Some(link) = self.links.by_peer(peer) {
                    link.handle_cut();
                }
            }
            Notice::Broken { peer } => {
                if self.links.by_peer(peer).is_none() {
                    self.connect(peer); // As above: the peer may have ended.
                }
                self.links.handle_broken(peer);
            }
            Notice::Waited { id, .. }
            | Notice::KillSent { id, .. }
            | Notice::Granted { id, .. } => self.answer(id, notice),
        }
    }

    /// The socket to `peer` came, or there was no number left for it.
    fn handle_connected(&self, peer: Pid, socket: Option<OwnedFd>, seal: Option<Seal>) {
        match socket {
            Some(socket) => drop(self.links.handle_connected(peer, socket, seal)),
            None => self.links.handle_unconnected(peer),
        }
    }
}

/// How to receive a packet: waiting for it or not.
type Receive = fn(BorrowedFd<'_>, &mut Vec<u8>) -> std::io::Result<Option<Beside>>;

/// How long the socket of a peer that ended may stay open.
const LINGER: Duration = Duration::from_secs(1);
