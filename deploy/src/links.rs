//! The connections of this process: one to each process that it ever had a channel to, in either direction.

use crate::{hub::Hub, link::Link};
use deploy_wire::pid::Pid;
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) struct Links {
    pub(crate) hub: Arc<Hub>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_peer: HashMap<Pid, Arc<Link>>,
    /// A link's token is its place here.
    by_token: Vec<Arc<Link>>,
}

impl Links {
    pub(crate) fn new(hub: Arc<Hub>) -> Links {
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

    /// The monitor hands over the socket to `peer`.
    pub(crate) fn handle_connected(&self, peer: Pid, socket: OwnedFd) -> Arc<Link> {
        let link = self.find_or_make(peer).0;
        link.attach(socket);
        link
    }

    pub(crate) fn by_peer(&self, peer: Pid) -> Option<Arc<Link>> {
        self.table().by_peer.get(&peer).cloned()
    }

    pub(crate) fn by_token(&self, token: u64) -> Option<Arc<Link>> {
        self.table()
            .by_token
            .get(usize::try_from(token).ok()?)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.table().by_token.clone()
    }

    fn find_or_make(&self, peer: Pid) -> (Arc<Link>, bool) {
        let mut table = self.table();
        if let Some(link) = table.by_peer.get(&peer) {
            return (link.clone(), false);
        }
        let link = Arc::new(Link::new(
            peer,
            self.hub.clone(),
            table.by_token.len() as u64,
        ));
        table.by_peer.insert(peer, link.clone());
        table.by_token.push(link.clone());
        (link, true)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
