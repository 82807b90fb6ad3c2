//! The connection to one worker, without waiting: what is on its way to it, and what it has said.
//!
//! Deliberately absent: what it is told and what its words mean (`crew.rs`).

use super::{
    broadcast::Sent,
    message::{Message, Reply},
    news::News,
    ticket::Job,
};
use crate::{
    error::{ChannelError, TryRecvError},
    link::{Link, Seat},
    process,
    receiver::Receiver,
    sender::Sender,
    sending::Sending,
};
use deploy_wire::pid::Pid;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

pub(crate) struct Hand {
    /// Nothing, once the worker may end.
    sender: Option<Sender<Message>>,
    replies: Receiver<Reply>,
    seat: Seat,
    /// What waits until there is room.
    outbox: VecDeque<Message>,
    sending: Option<(Option<u64>, Sending<Message>)>,
    /// Calls that could not be sent, and why: a long one needs a thread of its own.
    unsent: Vec<(u64, String)>,
    /// The broadcast values that it has.
    broadcasts: HashMap<u64, Weak<Sent>>,
    /// Whether a caller looks at the socket itself, or did: then the reactor does not.
    is_kept: bool,
    /// How often the socket had been read when such a caller last took all there was; nothing, if it left something.
    emptied_at: Option<u64>,
    pub(crate) news: Arc<News>,
    waker: Waker,
}

/// A word of the worker's, or how it ended.
pub(crate) type Heard = Result<Reply, ChannelError>;

fn heard(received: Result<Reply, TryRecvError>) -> Option<Heard> {
    match received {
        Ok(reply) => Some(Ok(reply)),
        Err(TryRecvError::Channel(end)) => Some(Err(end)),
        Err(TryRecvError::Empty) => None,
    }
}

impl Hand {
    /// For the worker at the other end of this connection.
    pub(crate) fn new(link: Arc<Link>, news: Arc<News>) -> Hand {
        Hand {
            sender: Some(Sender::on(link.clone()).patient()),
            replies: Receiver::on(link),
            seat: Seat::default(),
            outbox: VecDeque::new(),
            sending: None,
            unsent: Vec::new(),
            broadcasts: HashMap::new(),
            is_kept: false,
            emptied_at: None,
            waker: Waker::from(news.clone()),
            news,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.link().peer
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.replies.link
    }

    /// What the worker has said next; where it has said nothing, its next word will be news.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        if self.is_kept {
            return self.hear_kept();
        }
        // Whoever has read has woken us: there is nothing more to read.
        self.hear_arrived().or_else(|| {
            self.seat.listen(&self.replies.link, &self.waker, None);
            self.hear_arrived() // It came before the bell could ring.
        })
    }

    /// The same where the socket was left to callers: it may hold something.
    fn hear_kept(&mut self) -> Option<Heard> {
        self.is_kept = false;
        let mut context = Context::from_waker(&self.waker);
        match self.replies.poll_recv(&mut self.seat, &mut context, None) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        }
    }

    /// What it has said next, for a caller that looks again at once.
    pub(crate) fn hear_at_once(&mut self) -> Option<Heard> {
        let reads = self.link().reads();
        let heard = heard(self.replies.try_recv());
        self.emptied_at = heard.is_none().then_some(reads);
        heard
    }

    /// What it has said that was read already.
    pub(crate) fn hear_arrived(&self) -> Option<Heard> {
        heard(self.replies.take_arrived())
    }

    /// A caller looks at the socket itself from now on: what it reads is no news to anybody else.
    pub(crate) fn leave(&mut self) {
        self.seat = Seat::default();
        self.emptied_at = None;
    }

    /// It has looked, and the next one soon may. Says whether something may have arrived behind its last look, for which no
    /// bell rang: most often not, and then not even a lock has to be taken to know it.
    pub(crate) fn keep(&mut self) -> bool {
        self.is_kept = true;
        self.seat
            .listen_for_bell(&self.replies.link, &self.waker, None);
        let link = self.link();
        self.emptied_at != Some(link.reads()) || link.has_ended() || self.replies.slot.is_full()
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Hands it a call, and before it what the call names.
    pub(crate) fn call(&mut self, id: u64, job: &Job) {
        for sent in &job.named {
            if self.broadcasts.contains_key(&sent.name) {
                continue;
            }
            self.forget_broadcasts();
            if let Ok(value) = &sent.value {
                let (name, value) = (sent.name, value.clone());
                self.broadcasts.insert(name, Arc::downgrade(sent));
                self.tell(Message::Broadcast { name, value });
            }
        }
        self.tell(Message::Call {
            id,
            function: job.function,
            given: job.given.clone(),
        });
    }

    /// What nobody holds any more is forgotten.
    fn forget_broadcasts(&mut self) {
        let gone = |sent: &Weak<Sent>| sent.strong_count() == 0;
        for (name, _) in self.broadcasts.extract_if(|_, sent| gone(sent)) {
            self.outbox.push_back(Message::Forget { name });
        }
    }

    /// Tells it this, behind what it was told before.
    pub(crate) fn tell(&mut self, message: Message) {
        self.outbox.push_back(message);
        self.send();
    }

    /// As much leaves as there is room for.
    pub(crate) fn send(&mut self) {
        let Some(sender) = &self.sender else { return };
        let mut context = Context::from_waker(&self.waker);
        loop {
            if self.sending.is_none() {
                self.sending = self.outbox.pop_front().map(|message| {
                    let id = message.call();
                    (id, Sending::new(sender.outlet.clone(), message, None))
                });
            }
            let Some((id, sending)) = &mut self.sending else {
                return;
            };
            match (sending.poll(&mut context), *id) {
                (Poll::Pending, _) => return,
                (Poll::Ready(Err(ChannelError::Codec(why))), Some(id)) => {
                    self.unsent.push((id, why));
                }
                _ => {} // Another error is that of a worker that ended, which its silence tells.
            }
            self.sending = None;
        }
    }

    /// The calls that could not be sent, once.
    pub(crate) fn take_unsent(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.unsent)
    }

    /// It may end, when it has done what it was told.
    pub(crate) fn let_go(&mut self) {
        self.sending = None;
        self.sender = None;
    }

    /// It ends now.
    pub(crate) fn kill(&self) {
        process::current().control.kill_unheard(self.pid());
    }
}
