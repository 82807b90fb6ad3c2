//! A node: it is in session with the master, has a warden for each job that has processes here, and carries between them.
//!
//! Deliberately absent: any decision, and any look at what processes say to each other.
//!
//! # The story
//! 1. The node dials the master and says what it has. From then on it answers the master's beats.
//! 2. `Open` has it start a warden, once the job's program is here; until then the job's orders wait. What a warden
//!    reports goes to the master.
//! 3. A connection that arrives at the data port names its job, and is handed to that job's warden, which looks whether it
//!    may be believed; or it is for a program that another node takes from this one.
//! 4. When the session is cut, or silent, the node dials again, and the jobs go on: the master, or another that was started
//!    in its place, says which of them it still has, and both say again what the other has not got.
//! 5. When its lease is over (`lease.rs`), some 10 s after it was cut off, or the master says goodbye, all jobs here are
//!    killed, before the master tells everybody that they are lost: nothing may run twice. From then on it is a new
//!    incarnation.

mod dwelling;
mod fetch;
mod give;
mod lane;
mod lease;
mod shares;
mod tenants;
mod transit;
mod warden_link;

use crate::{
    capacity, head,
    own_node::{self, Leash},
};
use deploy_sys::{glibc, random, signal::Signals};
use deploy_trust::{
    door::{Arrival, Door, TOKENS},
    endpoint::Connector,
    framing::Message,
    identity::{Certified, Identity},
    session::{SendError, Session, SessionError},
    state::StateDir,
};
use deploy_wire::{
    hello,
    job::JobOrder,
    node::{NodeHello, Order, Report, VERSION},
    resources::Resources,
};
pub use dwelling::Estate;
pub(crate) use lease::LEASE;
use lease::Lease;
use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    time::{Duration, Instant, SystemTime},
};
pub use tenants::Tenants;

/// What a node is to serve.
#[derive(Debug)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Where that is kept.
    pub identity_dir: StateDir,
    /// Where the master is.
    pub master: SocketAddr,
    /// Where others reach its data port.
    pub address: SocketAddr,
    /// What it has.
    pub capacity: Resources,
    /// What else it goes by than its name.
    pub labels: Vec<String>,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    connector: Connector,
    poll: Poll,
    master: Option<Master>,
    dial_at: Instant,
    /// What was wrong the last time, so that it is said once.
    complaint: String,
    incarnation: u128,
    lease: Lease,
    /// When to ask for a new certificate again, if one is due.
    renew_at: Instant,
    /// Why this machine is no member of the cluster any more.
    dismissed: Option<String>,
    tenants: Tenants,
    /// The last to go: who sees its end sees that nothing is left of the node.
    data: Data,
}

/// Where connections for data come from.
#[derive(Debug)]
pub enum Data {
    /// A door of its own, the first of the poll's tokens.
    Door(Box<Door>),
    /// The master's, which hands them over.
    Leash(Box<Leash>),
}

#[derive(Debug)]
struct Master {
    session: Session,
    is_welcome: bool,
    /// When anything came.
    heard: Instant,
    /// When the hello was said.
    said: Instant,
    waiting: VecDeque<Message>,
    /// What leaves when nothing else waits: pieces of relayed connections, bounded by their windows.
    bulk: VecDeque<Message>,
}

impl Node {
    /// A node for these jobs, whose data comes from there.
    ///
    /// # Errors
    /// If its identity is of no use.
    pub fn new(
        config: Config,
        tenants: Tenants,
        poll: Poll,
        data: Data,
    ) -> Result<Node, SessionError> {
        Ok(Node {
            connector: Connector::member(&config.identity)?,
            config,
            tenants,
            poll,
            data,
            master: None,
            dial_at: Instant::now(),
            complaint: String::new(),
            incarnation: random::bits().map_err(SessionError::Cut)?,
            lease: Lease::default(),
            renew_at: Instant::now(),
            dismissed: None,
        })
    }

    /// Serves until somebody stops it, by Ctrl-C or SIGTERM. Then nothing is left of it or of the jobs here.
    ///
    /// # Errors
    /// If the kernel fails the poll.
    pub fn run(mut self) -> io::Result<()> {
        let mut signals = Signals::catch(&head::STOPPING)?;
        let raw = signals.as_raw_fd();
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&raw), SIGNALS, Interest::READABLE)?;
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut is_called_off = false;
        while signals.take().is_none() && self.dismissed.is_none() && !is_called_off {
            let now = Instant::now();
            let timeout = self.poll_timeout().saturating_duration_since(now) + ROUNDED_UP;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                self.handle_ready(event.token(), now);
            }
            self.take_data(now);
            self.tenants.share_out();
            self.look_after_master(now);
            if let Err(error) = self.send() {
                self.lose_master(&error, now);
            }
            if self.lease.end().is_some_and(|end| end <= now) {
                self.fence("it was silent for 10 s")?;
            }
            is_called_off = matches!(&self.data, Data::Leash(leash) if leash.is_over(now));
        }
        self.stop();
        if let Data::Leash(leash) = &self.data {
            leash.say_over(
                self.dismissed
                    .as_deref()
                    .unwrap_or("somebody has stopped it"),
            );
        }
        self.dismissed
            .map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Kills what runs here, and then says goodbye: by that the master knows that nothing runs on.
    fn stop(&mut self) {
        self.tenants.end_all(self.poll.registry());
        if let Some(master) = &mut self.master {
            master.session.finish();
            // Whoever is not told finds out by waiting.
            let _ = master.session.flush();
        }
    }

    fn poll_timeout(&self) -> Instant {
        let door = match &self.data {
            Data::Door(door) => door.deadline(),
            Data::Leash(leash) => leash.deadline(),
        };
        let master = match &self.master {
            None => self.dial_at,
            Some(master) => master
                .session
                .deadline()
                .unwrap_or(master.heard + SILENT_AFTER),
        };
        let others = door.into_iter().chain(self.lease.end());
        others.fold(master, Instant::min)
    }

    fn handle_ready(&mut self, token: Token, now: Instant) {
        match token {
            SIGNALS => {}
            MASTER => {
                if let Err(error) = self.hear_master(now) {
                    self.lose_master(&error, now);
                }
            }
            token if token.0 < TOKENS || own_node::TOKENS.contains(&token) => {
                match &mut self.data {
                    Data::Door(door) => door.handle_ready(token, now),
                    Data::Leash(leash) => {
                        leash.handle_ready(token, self.poll.registry(), now);
                        // Its master has not been dialed yet, which hears of it by the hello.
                        if let Some(terms) = leash.poll_changed() {
                            self.config.capacity = capacity::given(terms.capacity);
                            self.config.labels = terms.labels;
                        }
                    }
                }
            }
            token => self.tenants.handle_ready(token, self.poll.registry()),
        }
    }

    /// Dials if there is no session, and ends one that is too slow or silent.
    fn look_after_master(&mut self, now: Instant) {
        let Some(master) = &self.master else {
            if self.dial_at <= now {
                self.dial(now);
            }
            return;
        };
        if let Err(error) = master.session.handle_timeout(now) {
            self.lose_master(&error, now);
        } else if master.session.is_open() && now >= master.heard + SILENT_AFTER {
            // What the network has lost is said again later and later in this session, and at once in another.
            let why = format!("nothing has come for {} s", SILENT_AFTER.as_secs());
            self.lose_master(&SessionError::Cut(io::Error::other(why)), now);
        }
    }

    fn dial(&mut self, now: Instant) {
        self.dial_at = now + self.pause();
        let dialed = TcpStream::connect(self.config.master)
            .map_err(SessionError::Unreachable)
            .and_then(|stream| self.connector.connect(stream, now))
            .and_then(|mut session| {
                let registered = session.register(self.poll.registry(), MASTER);
                registered.map_err(SessionError::Cut)?;
                Ok(session)
            });
        match dialed {
            Err(error) => self.complain(&error.to_string()),
            Ok(session) => {
                self.master = Some(Master {
                    session,
                    is_welcome: false,
                    heard: now,
                    said: now,
                    waiting: VecDeque::new(),
                    bulk: VecDeque::new(),
                });
            }
        }
    }

    fn hear_master(&mut self, now: Instant) -> Result<(), SessionError> {
        loop {
            let Some(master) = &mut self.master else {
                return Ok(());
            };
            let was_open = master.session.is_open();
            master.session.handle_ready()?;
            if !was_open && master.session.is_open() {
                (master.heard, master.said) = (now, now);
                let hello = self.hello();
                self.report(&Report::Hello(Box::new(hello)));
                continue;
            }
            let Some(message) = master.session.poll_message()? else {
                return Ok(());
            };
            master.heard = now;
            let order = Order::decode(&message)
                .map_err(|malformed| SessionError::Protocol(malformed.to_string()))?;
            self.handle_order(order, now)?;
            if self.dismissed.is_some() {
                return Ok(()); // It ends now, and says goodbye when nothing runs here any more.
            }
        }
    }

    fn hello(&self) -> NodeHello {
        NodeHello {
            version: VERSION,
            address: self.config.address,
            capacity: self.config.capacity,
            incarnation: self.incarnation,
            arch: std::env::consts::ARCH.to_string(),
            isolation: self.tenants.isolation(),
            labels: self.config.labels.clone(),
            glibc: glibc::version().unwrap_or_default(),
            held: self.tenants.held(),
            secret: self.tenants.secret().clone(),
        }
    }

    fn handle_order(&mut self, order: Order, now: Instant) -> Result<(), SessionError> {
        let master = self.master.as_mut().expect("it has just spoken");
        match order {
            Order::Welcome { name, held, .. } => {
                master.is_welcome = true;
                self.lease.begin(master.said);
                self.complaint.clear();
                eprintln!("in the cluster as {name}");
                for job in self.tenants.resume(&held, self.poll.registry()) {
                    eprintln!("killed the processes of job {job}, which the master does not know");
                }
            }
            Order::Beat { sequence, heard } => {
                self.lease.handle_heard(heard);
                self.lease.handle_answer(sequence, now);
                // Behind what jobs have printed it might come too late on a slow line.
                let answer = Report::Beat { sequence }.encode();
                let _ = master.session.send_ahead(answer); // Where it has no room, another is due in a second.
                for taken in self.tenants.poll_taken(true) {
                    self.report(&taken);
                }
                self.ask_for_renewal(now);
            }
            Order::Taken { job, reports } => {
                self.tenants
                    .handle_taken(job, reports, self.poll.registry());
            }
            Order::Forget { job } => self.tenants.forget(job, self.poll.registry()),
            Order::Renewed { certified } => self.renew(&certified)?,
            Order::Dismissed { why } => self.dismissed = Some(why),
            Order::Refused { why } => return Err(SessionError::Protocol(why)),
            Order::Chunk { .. } | Order::Source { .. } => {
                let why = "the master sends what nobody fetches".to_string();
                return Err(SessionError::Protocol(why));
            }
            Order::Job {
                job,
                sequence,
                order,
                image,
                file,
                files,
            } => {
                let is_relayed = matches!(order, JobOrder::Relayed { .. }); // It has no number.
                match is_relayed
                    .then_some(true)
                    .or_else(|| self.tenants.is_next(job, sequence))
                {
                    Some(true) => {}
                    Some(false) => return Ok(()),
                    None => {
                        let why = "an order before this one is missing".to_string();
                        return Err(SessionError::Protocol(why));
                    }
                }
                let registry = self.poll.registry();
                if let (JobOrder::Open(_), Some(image)) = (&order, image) {
                    let from = (&self.connector, self.config.master);
                    self.tenants
                        .open(job, (image, files.map(|files| *files)), from, registry);
                }
                self.tenants.order(job, order, file, registry);
            }
        }
        Ok(())
    }

    /// Asks for a new certificate in good time. Each beat is an occasion to look at the clock.
    fn ask_for_renewal(&mut self, now: Instant) {
        let is_due = self.config.identity.is_renewal_due(SystemTime::now());
        if is_due && self.renew_at <= now {
            self.renew_at = now + RENEW_EVERY;
            self.report(&Report::Renew);
        }
    }

    /// Has a new certificate, for this session's successors.
    fn renew(&mut self, certified: &[u8]) -> Result<(), SessionError> {
        let words = |error: &dyn std::fmt::Display| SessionError::Protocol(error.to_string());
        let certified = Certified::from_bytes(certified).map_err(|error| words(&error))?;
        let (identity, dir) = (&mut self.config.identity, &self.config.identity_dir);
        if !identity.renew(certified) {
            return Err(words(&"it sends the certificate of somebody else"));
        }
        if let Err(error) = identity.save(dir) {
            eprintln!("the new certificate cannot be kept: {error}");
        }
        self.connector = Connector::member(identity)?;
        eprintln!("the certificate was renewed");
        Ok(())
    }

    /// Connections for data go to the wardens of their jobs.
    fn take_data(&mut self, now: Instant) {
        loop {
            let arrived = match &mut self.data {
                Data::Leash(leash) => leash.poll_connection(),
                Data::Door(door) => {
                    door.handle_timeout(now);
                    door.poll_arrival().and_then(|arrival| match arrival {
                        Arrival::Data(stream, first) => Some((stream.into(), first)),
                        _ => None,
                    })
                }
            };
            let Some((stream, first)) = arrived else {
                return;
            };
            if let Some(job) = hello::job_of(&first) {
                self.tenants.accept(job, first, stream);
            }
        }
    }

    fn report(&mut self, report: &Report) {
        if let Some(master) = &mut self.master {
            master.waiting.push_back(report.encode().into());
        }
    }

    fn send(&mut self) -> Result<(), SessionError> {
        if let Some(master) = self.master.as_mut().filter(|master| master.is_welcome) {
            while let Some((report, is_bulk)) = self.tenants.poll_report() {
                let queue = match is_bulk {
                    true => &mut master.bulk,
                    false => &mut master.waiting,
                };
                queue.push_back(report.into());
            }
            for taken in self.tenants.poll_taken(false) {
                self.report(&taken);
            }
        }
        let Some(master) = &mut self.master else {
            return Ok(());
        };
        loop {
            while let Some(message) = master.waiting.pop_front() {
                match master.session.send(message) {
                    Ok(()) => {}
                    Err(SendError::Full(message)) => {
                        master.waiting.push_front(message);
                        break;
                    }
                    Err(error @ SendError::TooLong(_)) => {
                        return Err(SessionError::Protocol(error.to_string()));
                    }
                }
            }
            master.session.flush()?;
            if master.waiting.is_empty() && master.session.is_flushed() {
                match master.bulk.pop_front() {
                    Some(message) => master.waiting.push_back(message),
                    None => return Ok(()),
                }
            } else if master.waiting.is_empty() || master.session.is_full() {
                return Ok(());
            }
        }
    }

    /// There is no session any more. The jobs here go on for now, but where the master has said goodbye.
    fn lose_master(&mut self, error: &SessionError, now: Instant) {
        self.complain(&format!("{error}; trying again"));
        self.master = None;
        self.tenants.part(self.poll.registry());
        self.dial_at = now + self.pause();
        if matches!(error, SessionError::Closed)
            && let Err(error) = self.fence("it has said goodbye")
        {
            self.complain(&error.to_string());
        }
    }

    /// Whatever runs here must not run on.
    fn fence(&mut self, why: &str) -> io::Result<()> {
        self.lease.handle_killed();
        self.master = None;
        eprintln!("master {}: {why}", self.config.master);
        for job in self.tenants.end_all(self.poll.registry()) {
            eprintln!(
                "killed the processes of job {job}, which the master cannot know of any more"
            );
        }
        self.incarnation = random::bits()?;
        Ok(())
    }

    /// Says what is wrong with the master, once.
    fn complain(&mut self, what: &str) {
        if self.complaint != what {
            eprintln!("master {}: {what}", self.config.master);
            self.complaint = what.to_string();
        }
    }

    /// How soon to dial again: soon, where jobs wait for it.
    fn pause(&self) -> Duration {
        match self.tenants.is_empty() {
            true => DIAL_EVERY,
            false => DIAL_IN_HASTE_EVERY,
        }
    }
}

const MASTER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 3);
/// Four beats.
const SILENT_AFTER: Duration = Duration::from_secs(4);
/// An answer is due within seconds. Who gets none has weeks left.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How often to dial a master that is not there.
const DIAL_EVERY: Duration = Duration::from_secs(1);
/// The same, while jobs here wait for it.
const DIAL_IN_HASTE_EVERY: Duration = Duration::from_millis(200);
/// A poll waits for whole milliseconds, and would come back a little early.
const ROUNDED_UP: Duration = Duration::from_millis(1);
/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 1024;
