//! Somebody in session with the master: a node, a node that fetches a program, a person's client, or one who is leaving.

use super::{cluster::ClientId, rights};
use crate::scheduler::NodeId;
use deploy_trust::{
    framing::Message,
    session::{SendError, Session, SessionError},
    subject::Role,
};
use deploy_wire::{
    bytes::Malformed,
    client::{Answer, Ask, CHUNK_BYTES_MAX},
    code::OwnCode,
    node::{Order, Report},
};
use std::{collections::VecDeque, fs::File, io::Read};

/// A session, and what it is for.
#[derive(Debug)]
pub struct Party {
    /// Its session.
    pub session: Box<Session>,
    purpose: Purpose,
    /// What the session has no room for yet.
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    /// Whether the clerk is busy for it: it has one errand at a time, so that nobody keeps the others from theirs.
    pub has_errand: bool,
    /// What leaves when nothing else waits: pieces of relayed connections, bounded by their windows.
    bulk: VecDeque<Message>,
}

#[derive(Debug)]
enum Purpose {
    /// A node by its certificate, known to the cluster once it has said hello.
    Node { name: String, id: Option<NodeId> },
    /// A program is being sent.
    Fetch { file: File, len: u64 },
    /// A person's.
    Client { id: ClientId },
    /// A node that was removed and told so: it kills what runs there, and then says goodbye.
    Removed { name: String, id: NodeId },
    /// It is told one last thing.
    Leaving,
}

/// What a party said.
#[derive(Debug)]
pub enum Heard {
    /// Nothing more for now.
    Nothing,
    /// Something that nobody heeds.
    Unheeded,
    /// A node's.
    Report(Report),
    /// A client's.
    Ask(ClientId, Ask),
    /// A client's, which it has no right to say.
    Forbidden(Ask),
    /// A client's, and not understood.
    Unknown(Malformed),
    /// Goodbye.
    Goodbye,
    /// Nothing any more, without goodbye.
    End,
}

impl Party {
    /// A node that has not said hello.
    pub fn node(session: Box<Session>, name: String) -> Party {
        Party::new(session, Purpose::Node { name, id: None })
    }

    /// A person's client.
    pub fn client(session: Box<Session>, id: ClientId) -> Party {
        Party::new(session, Purpose::Client { id })
    }

    /// One whose last message is on its way.
    pub fn leaving(session: Box<Session>) -> Party {
        Party::new(session, Purpose::Leaving)
    }

    fn new(session: Box<Session>, purpose: Purpose) -> Party {
        Party {
            session,
            purpose,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            has_errand: false,
            bulk: VecDeque::new(),
        }
    }

    /// What the cluster knows this node as.
    pub fn node_id(&self) -> Option<NodeId> {
        match &self.purpose {
            Purpose::Node { id, .. } => *id,
            Purpose::Removed { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// What the cluster knows this client as.
    pub fn client_id(&self) -> Option<ClientId> {
        match &self.purpose {
            Purpose::Client { id } => Some(*id),
            _ => None,
        }
    }

    /// A node's name, by its certificate.
    pub fn name(&self) -> &str {
        match &self.purpose {
            Purpose::Node { name, .. } | Purpose::Removed { name, .. } => name,
            _ => "",
        }
    }

    /// Whether it is a node that is no member any more.
    pub fn is_removed(&self) -> bool {
        matches!(self.purpose, Purpose::Removed { .. })
    }

    /// The cluster knows this node now.
    pub fn set_node(&mut self, node: NodeId) {
        if let Purpose::Node { id, .. } = &mut self.purpose {
            *id = Some(node);
        }
    }

    /// The cluster knows this node no more.
    pub fn forget_node(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.bulk.clear();
        self.purpose = Purpose::Leaving;
    }

    /// This is the last that it is told.
    pub fn leave(&mut self, message: impl Into<Message>) {
        self.queue(message);
        self.purpose = Purpose::Leaving;
    }

    /// It has a new certificate.
    pub fn renewed(&mut self, certified: Vec<u8>) {
        self.queue(match &self.purpose {
            Purpose::Client { .. } => Answer::Renewed { certified }.encode(),
            _ => Order::Renewed { certified }.encode(),
        });
    }

    /// It is no member any more. It may hear why, but nobody waits for that; only a node's goodbye is waited for, and nothing
    /// else that it says is heard. Returns that node.
    pub fn dismiss(&mut self, why: String) -> Option<NodeId> {
        let code = OwnCode::Connection.number() as u8;
        self.queue(match &self.purpose {
            Purpose::Client { .. } => Answer::Refused { code, why }.encode(),
            _ => Order::Dismissed { why }.encode(),
        });
        if let Purpose::Node { name, id: Some(id) } = &self.purpose {
            let (name, id) = (name.clone(), *id);
            self.purpose = Purpose::Removed { name, id };
            return Some(id);
        }
        let _ = self.send();
        self.session.finish();
        let _ = self.session.flush();
        None
    }

    /// It wants the program in this frame, of so many bytes.
    pub fn send_file(&mut self, file: File, len: u64) {
        self.purpose = Purpose::Fetch { file, len };
    }

    /// The next thing that it says.
    pub fn hear(&mut self) -> Heard {
        let ready = self.session.handle_ready();
        let message = match ready.and_then(|()| self.session.poll_message()) {
            Ok(Some(message)) => message,
            Ok(None) => return Heard::Nothing,
            Err(SessionError::Closed) => return Heard::Goodbye,
            Err(_) => return Heard::End,
        };
        let role = self.role();
        match &self.purpose {
            Purpose::Node { .. } => match Report::decode(&message) {
                Ok(report) if rights::may_report(role, &report) => Heard::Report(report),
                _ => Heard::End,
            },
            Purpose::Client { id } => match Ask::decode(&message) {
                Ok(ask) if rights::may_ask(role, &ask) => Heard::Ask(*id, ask),
                Ok(ask) => Heard::Forbidden(ask),
                Err(why) => Heard::Unknown(why),
            },
            // It is read all the same: behind it may be the end, of which the kernel tells only once.
            Purpose::Fetch { .. } | Purpose::Removed { .. } | Purpose::Leaving => Heard::Unheeded,
        }
    }

    /// What it may be, by its certificate. A stranger, who has none, is only ever told something.
    fn role(&self) -> Role {
        let peer = self.session.peer();
        peer.map_or(Role::User, |peer| peer.subject.role)
    }

    /// Role and name by its certificate, and the address that it comes from.
    pub fn who(&self) -> (String, String) {
        let member = self.session.peer().map(|peer| &peer.subject);
        let member = member.map(|subject| format!("{} {}", subject.role, subject.name));
        let from = self.session.peer_address().map(|from| from.to_string());
        (member.unwrap_or_default(), from.unwrap_or_default())
    }

    /// Tells it something, as soon as there is room. Who is leaving is told nothing more: its session takes no message,
    /// and to wait for room there would be for ever.
    pub fn queue(&mut self, message: impl Into<Message>) {
        let message = message.into();
        if matches!(self.purpose, Purpose::Removed { .. } | Purpose::Leaving) {
            return;
        }
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
    }

    /// Tells it ahead of all that waits that this is still here.
    pub fn beat(&mut self, message: Vec<u8>) {
        if !matches!(self.purpose, Purpose::Removed { .. } | Purpose::Leaving) {
            let _ = self.session.send_ahead(message); // Where it has no room, another is due in a second.
        }
    }

    /// Tells it something as soon as nothing else waits, so that neither beats nor what is told of jobs wait behind it.
    pub fn queue_bulk(&mut self, message: Message) {
        if !matches!(self.purpose, Purpose::Removed { .. } | Purpose::Leaving) {
            self.bulk.push_back(message);
        }
    }

    /// Whether what is not in a hurry had better wait: its session takes no more for now.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() && !self.session.is_full()
    }

    /// Whether all that it is told has been handed to the kernel.
    pub fn is_flushed(&self) -> bool {
        self.waiting.is_empty() && self.bulk.is_empty() && self.session.is_flushed()
    }

    /// Sends what waits, as far as the session takes it: until nothing waits, or the stream takes no more and will say
    /// when it does.
    ///
    /// # Errors
    /// If the session is over, in good order or not, or the party does not read what it is told.
    pub fn send(&mut self) -> Result<(), SessionError> {
        loop {
            self.fill()?;
            if self.waiting.is_empty() && matches!(self.purpose, Purpose::Leaving) {
                self.session.finish();
            }
            self.session.flush()?;
            if self.waiting.is_empty()
                && self.session.is_flushed()
                && let Some(message) = self.bulk.pop_front()
            {
                self.queue(message);
                continue;
            }
            let has_more =
                !self.waiting.is_empty() || matches!(self.purpose, Purpose::Fetch { .. });
            if !has_more || self.session.is_full() {
                break;
            }
        }
        match self.waiting_bytes > WAITING_BYTES_MAX {
            true => Err(SessionError::Protocol("it does not read".to_string())),
            false => Ok(()),
        }
    }

    /// Gives the session what waits, as far as there is room.
    fn fill(&mut self) -> Result<(), SessionError> {
        while let Some(message) = self.next_message()? {
            self.waiting_bytes -= message.len();
            match self.session.send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.waiting_bytes += message.len();
                    self.waiting.push_front(message);
                    return Ok(());
                }
                Err(error @ SendError::TooLong(_)) => {
                    return Err(SessionError::Protocol(error.to_string()));
                }
            }
        }
        Ok(())
    }

    /// What waits; or, for one that fetches, the next piece, if there is room.
    fn next_message(&mut self) -> Result<Option<Message>, SessionError> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        let Purpose::Fetch { file, len } = &mut self.purpose else {
            return Ok(None);
        };
        if self.session.is_full() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(CHUNK_BYTES_MAX);
        let read = file.take(CHUNK_BYTES_MAX as u64).read_to_end(&mut bytes);
        read.map_err(SessionError::Cut)?;
        let message = Order::Chunk { len: *len, bytes }.encode();
        if message.len() < CHUNK_BYTES_MAX {
            self.purpose = Purpose::Leaving; // That was the last.
        }
        self.waiting_bytes += message.len();
        Ok(Some(message.into()))
    }
}

/// The longest argument a spawn may have, some times over: who lets that much pile up does not read any more.
const WAITING_BYTES_MAX: usize = 256 << 20;
