//! A warden as its node sees it: a process of ours, and the socket that orders and reports travel on.

use super::dwelling::Dwelling;
use deploy_monitor::{Reported, Tether};
use deploy_sys::packet;
use deploy_wire::job::JobOrder;
use mio::{Interest, Registry, Token, unix::SourceFd};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Child, Command, Stdio},
};

/// A warden that runs.
#[derive(Debug)]
pub(super) struct WardenLink {
    child: Child,
    tether: Tether,
    /// What it is given first: the program, and the files that its job finds.
    kept: Vec<OwnedFd>,
    /// Where the job lives. It goes after all that lives in it.
    dwelling: Dwelling,
}

impl WardenLink {
    /// Starts a warden for a job that runs this program, finds these files and lives there.
    pub(super) fn start(
        program: File,
        files: Option<File>,
        dwelling: Dwelling,
        registry: &Registry,
        token: Token,
    ) -> Result<WardenLink, String> {
        let (socket, theirs) = packet::pair().map_err(|error| explain(&error))?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(crate::warden::WORD)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null());
        dwelling.settle(&mut command);
        let child = command.spawn().map_err(|error| explain(&error))?;
        // It waits for its first order, and has started nothing yet.
        dwelling
            .take_in(child.id())
            .map_err(|error| explain(&error))?;
        let raw = socket.as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        let link = WardenLink {
            child,
            tether: Tether::new(socket),
            kept: [program]
                .into_iter()
                .chain(files)
                .map(OwnedFd::from)
                .collect(),
            dwelling,
        };
        registry
            .register(&mut SourceFd(&raw), token, both)
            .map_err(|error| explain(&error))?;
        Ok(link)
    }

    /// Orders it something, with what travels beside it.
    pub(super) fn order(
        &mut self,
        mut order: JobOrder,
        file: Option<Vec<u8>>,
        connection: Option<OwnedFd>,
    ) -> Result<(), String> {
        let mut beside: Vec<OwnedFd> = connection.into_iter().collect();
        if let JobOrder::Open(open) = &mut order {
            self.dwelling.furnish(&mut open.env);
            beside = std::mem::take(&mut self.kept);
        }
        self.tether.order(order, file, beside)
    }

    /// Gives the job this share of the processors, in millionths of one.
    pub(super) fn share(&self, cpu_millionths: u64) {
        self.dwelling.share(cpu_millionths);
    }

    /// The next that it reports, and the file beside it.
    pub(super) fn hear(&mut self) -> Result<Option<Reported>, String> {
        self.tether.hear()
    }

    /// Kills it and all that it has started, and waits for none of them.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill(); // It is our child and not reaped, so this does not fail in a way that matters.
        self.dwelling.kill();
    }

    /// Kills it, and by that all that it has started, and waits for that.
    pub(super) fn end(mut self, registry: &Registry) {
        let raw = self.tether.as_fd().as_raw_fd();
        let _ = registry.deregister(&mut SourceFd(&raw));
        self.kill();
        let _ = self.child.wait();
    }
}

fn explain(error: &io::Error) -> String {
    format!("the job's warden could not be started: {error}")
}
