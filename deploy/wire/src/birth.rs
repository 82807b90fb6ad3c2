//! The birth certificate: everything a new process has to know, in one message.
//!
//! A newborn has descriptors 0, 1, 2 and one more, a socket to its monitor, whose number stands in the environment
//! variable [`BIRTH_VARIABLE`], in a [`Cue`]. The first packet on it is the certificate. Beside the packet travel, in this order,
//! the connection to its parent, if that is on the same machine, and the file with its argument, if that is [`Argument::File`].

use crate::{
    bytes::{Malformed, Reader, Writer},
    control::{Argument, Function, SpawnRequest},
    fields::{read_pid, read_resources, write_pid, write_resources},
    pid::Pid,
    resources::Resources,
    secret::Seal,
};
use std::fmt;

/// The one environment variable between a monitor and a newborn; `init` removes it.
pub const BIRTH_VARIABLE: &str = "DEPLOY_BIRTH";

/// What stands in that variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cue {
    /// The number of the socket.
    pub number: i32,
    /// The kernel's process id of the monitor; the variable of somebody else may have none.
    pub monitor: Option<u32>,
    /// What the process will most likely be told.
    pub expected: Option<Expected>,
}

/// What a certificate will most likely say, told before there is one: a newborn makes itself ready for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// [`Birth::signals_blocked`], which is certain.
    pub signals_blocked: u64,
    /// [`Work::name`], which is a guess.
    pub name: String,
}

/// The version of the control protocol that this library speaks: a newer minor only adds fields at the end.
pub const VERSION: (u16, u16) = (0, 1);

/// What a process is born with.
#[derive(Clone, PartialEq, Debug)]
pub struct Birth {
    /// Who it is.
    pub pid: Pid,
    /// Who asked for it; nobody, for the initial process.
    pub parent: Option<Pid>,
    /// The kernel's process id of its monitor, which must be its parent or, if wrapped, an ancestor.
    pub monitor: u32,
    /// Whether a debugger or the like (`DEPLOY_WRAP`) stands between it and its monitor.
    pub wrapped: bool,
    /// The program that its function's offset belongs to.
    pub image: u128,
    /// What it runs with what; nothing, for the initial process, which goes on with its `main`.
    pub work: Option<Work>,
    /// What it was granted.
    pub resources: Resources,
    /// The signals that were blocked when the program was started, as a kernel mask: `init` blocks the same ones.
    pub signals_blocked: u64,
    /// Whether standard output ends at a terminal, for programs that colour what they print.
    pub stdout_is_terminal: bool,
    /// The same for standard error.
    pub stderr_is_terminal: bool,
    /// How the connection to its parent is made its own, where others might read or write it.
    pub seal: Option<Seal>,
}

/// A function and its argument.
#[derive(Clone, PartialEq, Debug)]
pub struct Work {
    /// What to run.
    pub function: Function,
    /// With what.
    pub argument: Argument,
    /// The name of the thread that runs it.
    pub name: String,
}

/// What the process runs that was asked for.
impl From<SpawnRequest> for Work {
    fn from(request: SpawnRequest) -> Work {
        Work {
            name: request
                .name
                .unwrap_or_else(|| request.function.name.clone()),
            function: request.function,
            argument: request.argument,
        }
    }
}

impl Cue {
    /// What this text says; nothing, if it comes from no monitor.
    pub fn read(text: &str) -> Option<Cue> {
        let mut words = text.splitn(4, ',');
        let number = words.next()?.parse().ok()?;
        let monitor = words.next().and_then(|word| word.parse().ok());
        let expected = Expected::read(words);
        Some(Cue {
            number,
            monitor,
            expected,
        })
    }
}

impl Expected {
    /// What the last words of a cue say, if they are there.
    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Expected> {
        Some(Expected {
            signals_blocked: words.next()?.parse().ok()?,
            name: words.next()?.to_string(),
        })
    }
}

impl fmt::Display for Cue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        if let Some(monitor) = self.monitor {
            write!(f, ",{monitor}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, ",{},{}", expected.signals_blocked, expected.name)?;
        }
        Ok(())
    }
}

impl Birth {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(u32::from(VERSION.0)).u32(u32::from(VERSION.1));
        write_pid(&mut w, self.pid);
        w.option(self.parent, write_pid)
            .u32(self.monitor)
            .bool(self.wrapped)
            .u128(self.image);
        w.option(self.work.as_ref(), |w, work| {
            work.function.write(w);
            work.argument.write(w);
            w.name(&work.name);
        });
        write_resources(&mut w, self.resources);
        w.u64(self.signals_blocked)
            .bool(self.stdout_is_terminal)
            .bool(self.stderr_is_terminal);
        w.option(self.seal.as_ref(), |w, seal| seal.write(w));
        w.finish()
    }

    /// The certificate in these bytes.
    pub fn decode(message: &[u8]) -> Result<Birth, Malformed> {
        let r = &mut Reader::new(message);
        let (major, _minor) = (r.u32()?, r.u32()?);
        if major != u32::from(VERSION.0) {
            return Err(Malformed("a monitor of another version wrote it"));
        }
        Ok(Birth {
            pid: read_pid(r)?,
            parent: r.option(read_pid)?,
            monitor: r.u32()?,
            wrapped: r.bool()?,
            image: r.u128()?,
            work: r.option(|r| {
                Ok(Work {
                    function: Function::read(r)?,
                    argument: Argument::read(r)?,
                    name: r.name()?.to_string(),
                })
            })?,
            resources: read_resources(r)?,
            signals_blocked: r.u64()?,
            stdout_is_terminal: r.bool()?,
            stderr_is_terminal: r.bool()?,
            seal: r.option(Seal::read)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pid::Job, secret::Secret};

    #[test]
    fn a_cue_comes_back_and_foreign_ones_are_read_as_far_as_they_go() {
        let check = |text: &str, cue: Option<Cue>| assert_eq!(Cue::read(text), cue, "{text}");
        let cue = |monitor, expected| {
            let number = 512;
            Some(Cue {
                number,
                monitor,
                expected,
            })
        };
        let expected = Expected {
            signals_blocked: 1 << 20,
            name: "hello::{closure}<(u8, u8)>".into(),
        };
        for cue in [cue(Some(7), None), cue(Some(7), Some(expected))] {
            check(&cue.as_ref().unwrap().to_string(), cue);
        }
        check("512", cue(None, None));
        check("512,x,1", cue(None, None));
        check("no number", None);
    }

    #[test]
    fn certificates_come_back_whole_and_never_cut() {
        let job = Job::from_bits(1 << 100);
        let work = Work {
            function: Function {
                offset: 4096,
                name: "hello::worker".into(),
            },
            argument: Argument::Inline(vec![1, 2, 3]),
            name: "worker".into(),
        };
        let birth = Birth {
            pid: Pid::new(job, 1),
            parent: Some(Pid::new(job, 0)),
            monitor: 4321,
            wrapped: false,
            image: 99,
            work: Some(work),
            resources: Resources::default(),
            signals_blocked: 1 << 12,
            stdout_is_terminal: true,
            stderr_is_terminal: false,
            seal: Some(
                Secret::from_bytes([5; 32])
                    .seals(Pid::new(job, 0), Pid::new(job, 1), true)
                    .1,
            ),
        };
        let bytes = birth.encode();
        assert_eq!(Birth::decode(&bytes), Ok(birth));
        assert!((0..bytes.len()).all(|cut| Birth::decode(&bytes[..cut]).is_err()));
    }
}
