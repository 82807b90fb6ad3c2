//! Who belongs to the cluster while its master serves: its own certificate is renewed, the revoked are found.
//!
//! `fabric token` and `fabric remove` write the same tables from other processes; so they are looked at twice a second.
//! Deliberately absent: sessions, which are the loop's to end; and whatever a member asks for, which the clerk writes down.

use deploy_trust::{
    authority::{Authority, AuthorityError},
    endpoint::Acceptor,
    identity::Identity,
    members::Revocations,
    session::{Peer, SessionError},
    state::StateDir,
    subject::Role,
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// The authority, as its master uses it.
#[derive(Debug)]
pub struct Membership {
    authority: Arc<Authority>,
    revocations: Revocations,
    /// The version of the table that all open sessions have been held against.
    version: u64,
    /// The master's own, and where that is kept.
    own: Identity,
    own_dir: StateDir,
    look_at: Instant,
}

/// What a look at the tables has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Some session's member may have been revoked.
    pub is_somebody_out: bool,
    /// The master has a new certificate: doors need new acceptors.
    pub is_master_renewed: bool,
}

impl Membership {
    /// Of a master with this identity, kept in this directory.
    pub fn new(authority: Authority, own: Identity, own_dir: StateDir) -> Membership {
        let revocations = authority.revocations();
        Membership {
            version: revocations.versions(),
            authority: Arc::new(authority),
            revocations,
            own,
            own_dir,
            look_at: Instant::now() + LOOK_EVERY,
        }
    }

    /// What signs and knows tokens.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// What lets members of these roles in through a door.
    ///
    /// # Errors
    /// If the master's own certificate is of no use.
    pub fn acceptor(&self, roles: &'static [Role]) -> Result<Acceptor, SessionError> {
        Acceptor::new(&self.own, roles, self.revocations.clone(), true)
    }

    /// When to [look](Membership::look) again.
    pub fn deadline(&self) -> Instant {
        self.look_at
    }

    /// Looks whether anything has changed, if it is time to. Blocks for the disk.
    ///
    /// # Errors
    /// If the master's certificate ends before long and cannot be renewed.
    pub fn look(&mut self, now: Instant, time: SystemTime) -> Result<Changes, AuthorityError> {
        let mut changes = Changes {
            is_somebody_out: false,
            is_master_renewed: false,
        };
        if now < self.look_at {
            return Ok(changes);
        }
        self.look_at = now + LOOK_EVERY;
        let version = self.revocations.versions();
        changes.is_somebody_out = version != self.version;
        self.version = version;
        if self.own.is_renewal_due(time) {
            let (name, address) = (&self.own.subject.name, &self.own.address);
            self.own =
                self.authority
                    .own_identity(&self.own_dir, Role::Master, name, address, time)?;
            changes.is_master_renewed = true;
        }
        Ok(changes)
    }

    /// Whether this member was revoked.
    pub fn is_revoked(&self, peer: &Peer) -> bool {
        self.revocations.is_revoked(peer.serial)
    }
}

/// So long may the session of somebody revoked go on.
const LOOK_EVERY: Duration = Duration::from_millis(500);
