//! Where a newborn waits for its certificate, and what it is born with.
//!
//! A certificate is believed only where it comes from this process's own monitor. What is told of in the environment of a
//! program that one of ours has started is nothing to it.
//!
//! Deliberately absent: what becomes of a process that has its certificate (`born.rs`).

use crate::{drain, spin::Spin};
use deploy_sys::{
    code, exit, fd, fork, newborn,
    packet::{self, Beside},
    poller::Poller,
    process as os, tell,
};
use deploy_wire::{
    birth::{BIRTH_VARIABLE, Birth, Cue, Expected},
    bytes::Malformed,
    code::OwnCode,
};
use std::{
    env, io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

/// Where a newborn waits for its certificate.
pub(super) struct Cradle {
    socket: OwnedFd,
    /// The monitor that it is told of.
    monitor: Option<u32>,
    /// What it will be, most likely.
    pub(super) expected: Option<Expected>,
    prepared: io::Result<Prepared>,
}

impl Cradle {
    /// That of this process, if it is told of one.
    pub(super) fn find() -> Option<Cradle> {
        let variable = env::var_os(BIRTH_VARIABLE)?;
        // Whatever it says, it is not for our children: one that is not ours would make each of them a first process.
        newborn::remove_variable(BIRTH_VARIABLE);
        let cue = Cue::read(variable.to_str()?)?;
        let is_near = cue.monitor == Some(os::parent());
        let adopted = fd::adopt(cue.number);
        if adopted.is_err() && is_near {
            // To go on as a first process would be to start processes without end.
            tell!(
                "deploy: descriptor {} was closed before init: let init be the first statement of main",
                cue.number
            );
            std::process::exit(OwnCode::Setting.number())
        }
        Some(Cradle {
            socket: adopted.ok()?,
            monitor: cue.monitor,
            expected: cue.expected.filter(|_| is_near),
            // A spare waits after this, and has done by then what needs no certificate.
            prepared: prepare(),
        })
    }

    /// Whether the certificate is not there yet.
    pub(super) fn is_to_wait(&self) -> bool {
        !packet::is_waiting(self.socket.as_fd())
    }

    /// The poller of this process, unless there could be none.
    pub(super) fn poller(&self) -> Option<Arc<Poller>> {
        Some(self.prepared.as_ref().ok()?.poller.clone())
    }

    /// Waits for the certificate. Nothing, if it is not this process's own: a program that was started by one of ours, and
    /// uses this library too, is a first process.
    pub(super) fn receive(self) -> Option<Papers> {
        let socket = self.socket;
        let mut bytes = Vec::new();
        let Some(beside) = packet::receive(socket.as_fd(), &mut bytes).ok()? else {
            exit::vanish() // The monitor ended before it had a use for this process.
        };
        let birth = match Birth::decode(&bytes) {
            Ok(birth) => birth,
            // Its own, and it cannot read it. As a first process it would run the whole program here.
            Err(why) if self.monitor.is_some_and(os::is_ancestor) => cannot_read(why),
            Err(_) => return None,
        };
        let own = if birth.wrapped {
            os::is_ancestor(birth.monitor)
        } else {
            os::parent() == birth.monitor
        };
        if !own
            && matches!(
                packet::try_receive(socket.as_fd(), &mut Vec::new()),
                Ok(None)
            )
        {
            exit::vanish() // The monitor was killed just now: this is no first process, which would run everything anew.
        }
        own.then_some(Papers {
            socket,
            birth,
            beside,
            packet: bytes,
            prepared: self.prepared,
        })
    }
}

/// Ends this process, whose certificate says nothing to it.
fn cannot_read(why: Malformed) -> ! {
    let Malformed(why) = why;
    tell!(
        "deploy: the certificate of this process cannot be read: {why}; build this program and what starts it (`fabric`, on a \
         cluster) with the same release of deploy"
    );
    std::process::exit(OwnCode::Launch.number())
}

/// What any process of a job has. Where this is none, it does no harm.
fn prepare() -> io::Result<Prepared> {
    fork::watch()?;
    drain::prepare()?;
    code::find();
    Ok(Prepared {
        poller: Arc::new(Poller::new()?),
        spin: Spin::new(newborn::has_processors()),
    })
}

pub(super) struct Prepared {
    pub(super) poller: Arc<Poller>,
    pub(super) spin: Spin,
}

/// What a process is born with.
pub(super) struct Papers {
    pub(super) socket: OwnedFd,
    pub(super) birth: Birth,
    pub(super) beside: Beside,
    /// What the certificate came in: memory for other packets.
    pub(super) packet: Vec<u8>,
    pub(super) prepared: io::Result<Prepared>,
}

impl Papers {
    /// Whether they say what was expected.
    pub(super) fn are_of(&self, expected: &Expected) -> bool {
        let work = self.birth.work.as_ref();
        work.is_some_and(|work| work.name == expected.name)
    }
}
