//! A socket that is full, whose peer takes what it will: who hears of room, and of what comes meanwhile.
//!
//! Real sockets, and no reactor: what it would be told is read off its poller.

use crate::{hub::Hub, link::Link, links::Links, sender::Sender, share::Sharing, spin::Spin};
use deploy_sys::{
    fd,
    poller::{Events, Poller},
    stream,
};
use deploy_wire::pid::{Job, Pid};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// The reactor saw a connection that nobody listened to, and was held up before it asked for room; meanwhile a task had the
/// connection handed over. What comes is told all the same.
#[test]
fn who_asks_for_room_too_late_takes_nothing_from_a_task() {
    let Full { link, peer, .. } = Full::new();
    link.lease();
    link.take_back();
    link.await_room();
    told(&link);
    take(&peer);
    assert!(link.unblock(), "there is room for the rest");
    told(&link);
    stream::write(peer.as_fd(), b"x", b"").unwrap();
    assert!(told(&link), "something has come");
}

/// A connection whose socket takes no more.
struct Full {
    link: Arc<Link>,
    peer: OwnedFd,
    _sender: Sender<Vec<u8>>,
}

impl Full {
    fn new() -> Full {
        let hub = Hub::new(
            1 << 30,
            Spin::new(true),
            Sharing::Never,
            Arc::new(Poller::new().unwrap()),
        );
        let links = Links::new(Arc::new(hub));
        let (one, peer) = fd::socketpair_stream().unwrap();
        let link = links.handle_connected(Pid::new(Job::from_bits(1), 1), one, None);
        stream::enlarge_send_buffer(link.socket().unwrap(), 4 << 10);
        let sender = Sender::<Vec<u8>>::on(link.clone());
        while !link.is_blocked() {
            sender.try_send(vec![7; VALUE_BYTES]).unwrap();
            link.flush_dirty();
        }
        Full {
            link,
            peer,
            _sender: sender,
        }
    }
}

/// Whether the reactor would be told anything of the connection now.
fn told(link: &Link) -> bool {
    let mut events = Events::with_capacity(8);
    let poller = &link.hub.poller;
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    events.tokens().any(|token| token == link.token)
}

/// Takes what there is.
fn take(peer: &OwnedFd) {
    let mut bytes = vec![0; 1 << 20];
    while stream::read(peer.as_fd(), &mut bytes).is_ok() {}
}

/// A few of them fill the socket, which takes each by itself.
const VALUE_BYTES: usize = 500;
