//! What processes ask of a roster: to be connected, to wait for one another, to end one another, whether somebody lives.
//!
//! Deliberately absent: what follows when one of them ends, which is the roster's own story.

use super::{Action, Roster};
use deploy_wire::{
    bytes::Malformed,
    control::{Notice, Request},
    exit::Reason,
    pid::Pid,
};

impl Roster {
    /// A process asks for something else than a process. What it wants a person to know is not for the roster.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn handle_request(&mut self, from: u32, request: &Request) -> Result<(), Malformed> {
        match *request {
            Request::Connect { peer } => return self.handle_connect(from, peer),
            Request::Wait { id, pid } => self.handle_wait(from, id, pid),
            Request::Kill { id, pid } => self.handle_kill(from, id, pid),
            Request::Doubt { peer } => self.handle_doubt(from, peer),
            Request::Withdraw { id, of: Some(pid) } => self.handle_withdrawn_wait(from, id, pid),
            Request::Spawn(_)
            | Request::Waits(_)
            | Request::Need { .. }
            | Request::Withdraw { of: None, .. } => {
                return Err(Malformed("it is not about who is who"));
            }
        }
        Ok(())
    }

    /// A process wants to be connected to another.
    pub(super) fn handle_connect(&mut self, from: u32, peer: Pid) -> Result<(), Malformed> {
        let Some(other) = self.known(peer) else {
            self.tell(from, Notice::Ended { peer, status: None });
            return Ok(());
        };
        if other == from {
            return Err(Malformed("a process asks to be connected to itself"));
        }
        let asks = self.members.get_mut(&from);
        if asks.is_none_or(|asks| asks.peers.contains(&other)) {
            return Ok(());
        }
        let Some(found) = self.members.get_mut(&other) else {
            let status = self.ended(other);
            self.tell(from, Notice::Ended { peer, status });
            return Ok(());
        };
        found.peers.insert(from);
        let asks = self.members.get_mut(&from);
        asks.expect("it was found just now").peers.insert(other);
        self.actions.push_back(Action::Connect(from, other));
        Ok(())
    }

    /// A process wants to know how another ends.
    pub(super) fn handle_wait(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        let Some(awaited) = number.and_then(|number| self.members.get_mut(&number)) else {
            let status = number.and_then(|number| self.ended(number));
            return self.tell(from, Notice::Waited { id, status });
        };
        awaited.waiters.push((from, id));
        if let Some(waiter) = self.members.get_mut(&from) {
            waiter.awaited.insert(pid.number());
        }
    }

    /// A process wants to know no more how another ends.
    fn handle_withdrawn_wait(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        if let Some(awaited) = number.and_then(|number| self.members.get_mut(&number)) {
            awaited.waiters.retain(|waiter| *waiter != (from, id));
            if !awaited.waiters.iter().any(|(waiter, _)| *waiter == from) {
                self.forget_wait(from, pid.number());
            }
        }
    }

    /// A process wants another to end.
    pub(super) fn handle_kill(&mut self, from: u32, id: u64, pid: Pid) {
        let number = self.known(pid);
        if let Some(number) = number {
            self.doom(number, Reason::Killed);
        }
        let known = number.is_some();
        self.tell(from, Notice::KillSent { id, known });
    }

    /// A process has lost the connection to another and wants to know whether that lives. If it has ended, word of that
    /// comes as always; and it may have without our knowing yet.
    pub(super) fn handle_doubt(&mut self, from: u32, peer: Pid) {
        let number = self.known(peer);
        if let Some(number) = number.filter(|number| self.is_alive(*number)) {
            self.actions.push_back(Action::Vouch(number, from));
        }
    }
}
