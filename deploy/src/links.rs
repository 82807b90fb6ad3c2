//! The connections of this process: one to each process that it has a channel to, in either direction.
//!
//! A connection outlives its channels, since others may follow. It goes when its peer has ended and nothing of it is
//! left to tell: no channel, and no value that a receiver to come would find. Whoever makes a channel to that process
//! after this hears of its end from the monitor, or that its connection was lost before.

use crate::{error::Lost, hub::Hub, link::Link};
use deploy_wire::{pid::Pid, secret::Seal};
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) struct Links {
    pub(crate) hub: Arc<Hub<Link>>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_peer: HashMap<Pid, Arc<Link>>,
    by_token: HashMap<u64, Arc<Link>>,
    /// How many there ever were: no token names two.
    tokens: u64,
    /// Why those are gone that were lost before their peers ended: an end with 0 would say that nothing is missing.
    lost: HashMap<Pid, Lost>,
}

impl Links {
    pub(crate) fn new(hub: Arc<Hub<Link>>) -> Links {
        Links {
            hub,
            table: Mutex::new(Table::default()),
        }
    }

    /// The connection to `peer`; where there is none yet, `connect` asks for one.
    pub(crate) fn to(&self, peer: Pid, connect: impl FnOnce()) -> Arc<Link> {
        let (link, is_new) = self.find_or_make(peer);
        if is_new {
            connect();
        }
        link
    }

    /// The connection to `peer` comes without being asked for: nobody is to ask.
    pub(crate) fn expect(&self, peer: Pid) {
        self.find_or_make(peer);
    }

    /// The monitor hands over the socket to `peer`.
    pub(crate) fn handle_connected(
        &self,
        peer: Pid,
        socket: OwnedFd,
        seal: Option<Seal>,
    ) -> Arc<Link> {
        let link = self.find_or_make(peer).0;
        link.attach(socket, seal);
        link
    }

    /// The same, but this process had no number left for the socket.
    pub(crate) fn handle_unconnected(&self, peer: Pid) {
        self.find_or_make(peer).0.handle_lost(Lost::NoDescriptor);
    }

    /// The connection to `peer` broke, perhaps before its socket came: then no channel is to wait for that.
    pub(crate) fn handle_broken(&self, peer: Pid) {
        self.find_or_make(peer).0.handle_broken();
    }

    pub(crate) fn by_peer(&self, peer: Pid) -> Option<Arc<Link>> {
        self.table().by_peer.get(&peer).cloned()
    }

    pub(crate) fn by_token(&self, token: u64) -> Option<Arc<Link>> {
        self.table().by_token.get(&token).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.table().by_token.values().cloned().collect()
    }

    /// Forgets a connection if nothing of it is left to tell.
    pub(crate) fn retire(&self, link: &Arc<Link>) {
        if !link.has_ended() {
            return;
        }
        let mut table = self.table();
        if !link.is_over() || table.by_token.remove(&link.token).is_none() {
            return;
        }
        table.by_peer.remove(&link.peer);
        if let Some(why) = link.lost() {
            table.lost.insert(link.peer, why.clone());
        }
        drop(table);
        link.let_go();
    }

    fn find_or_make(&self, peer: Pid) -> (Arc<Link>, bool) {
        let mut table = self.table();
        if let Some(link) = table.by_peer.get(&peer) {
            return (link.clone(), false);
        }
        let token = table.tokens;
        table.tokens += 1;
        let link = Arc::new(Link::new(peer, self.hub.clone(), token));
        table.by_peer.insert(peer, link.clone());
        table.by_token.insert(token, link.clone());
        let lost = table.lost.get(&peer).cloned();
        drop(table);
        if let Some(why) = lost {
            link.handle_lost(why);
        }
        (link, true)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
