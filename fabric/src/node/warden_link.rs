//! A warden as its node sees it: a process of ours, and the socket that orders and reports travel on.

use super::dwelling::Dwelling;
use deploy_monitor::ARGUMENT_BYTES_MAX;
use deploy_sys::{limit, memfd, packet};
use deploy_wire::job::{JobOrder, JobReport};
use mio::{Interest, Registry, Token, unix::SourceFd};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Child, Command, Stdio},
};

/// A report, and the file beside it.
type Reported = (JobReport, Option<Vec<u8>>);

/// A warden that runs.
#[derive(Debug)]
pub(super) struct WardenLink {
    child: Child,
    socket: OwnedFd,
    /// What it is given first: the program, and the files that its job finds.
    kept: Vec<OwnedFd>,
    /// Where the job lives. It goes after all that lives in it.
    dwelling: Dwelling,
    /// What the socket has no room for yet.
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
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
            socket,
            kept: [program]
                .into_iter()
                .chain(files)
                .map(OwnedFd::from)
                .collect(),
            dwelling,
            waiting: VecDeque::new(),
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
        if let JobOrder::Open(open) = &mut order {
            self.dwelling.furnish(&mut open.env);
        }
        let beside = match (&order, file) {
            (JobOrder::Open(_), _) => std::mem::take(&mut self.kept),
            (_, Some(bytes)) => {
                let file = memfd::sealed("deploy-argument", &bytes);
                vec![file.map_err(|error| explain(&error))?.into()]
            }
            (_, None) => connection.into_iter().collect(),
        };
        for packet in packets(order)? {
            self.waiting.push_back((packet, Vec::new()));
        }
        if let Some((_, last)) = self.waiting.back_mut() {
            *last = beside;
        }
        self.flush();
        Ok(())
    }

    /// The next that it reports, and the file beside it.
    pub(super) fn hear(&mut self) -> Result<Option<Reported>, String> {
        self.flush();
        let mut bytes = Vec::new();
        let beside = match packet::try_receive(self.socket.as_fd(), &mut bytes) {
            Ok(Some(beside)) => beside,
            Ok(None) => return Err("the job's warden has ended unexpectedly".to_string()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(explain(&error)),
        };
        if beside.is_cut {
            return Err(explain(&limit::no_descriptor()));
        }
        let report = JobReport::decode(&bytes).map_err(|error| error.to_string())?;
        let file = match beside.descriptors.into_iter().next() {
            None => None,
            Some(file) => {
                let file = File::from(file);
                let len = file.metadata().map_err(|error| explain(&error))?.len();
                if len > ARGUMENT_BYTES_MAX {
                    return Err("the job's warden hands on what it must refuse".to_string());
                }
                let bytes = memfd::read_all(&file).map_err(|error| explain(&error))?;
                Some(bytes)
            }
        };
        Ok(Some((report, file)))
    }

    /// Kills it, and by that all that it has started.
    pub(super) fn end(mut self, registry: &Registry) {
        let raw = self.socket.as_raw_fd();
        let _ = registry.deregister(&mut SourceFd(&raw));
        // It is our child and not reaped, so neither fails in a way that matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn flush(&mut self) {
        while let Some((bytes, beside)) = self.waiting.front() {
            let descriptors: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
            match packet::try_send(self.socket.as_fd(), bytes, &descriptors) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It has ended, and `hear` says so.
                Err(_) => return self.waiting.clear(),
            }
        }
    }
}

/// An order as packets. Input may be cut anywhere.
fn packets(order: JobOrder) -> Result<Vec<Vec<u8>>, String> {
    if let JobOrder::Input { bytes } = &order
        && bytes.len() > INPUT_BYTES_MAX
    {
        let chunks = bytes.chunks(INPUT_BYTES_MAX).map(<[u8]>::to_vec);
        return Ok(chunks
            .map(|bytes| JobOrder::Input { bytes }.encode())
            .collect());
    }
    let packet = order.encode();
    match packet.len() > packet::PACKET_BYTES_MAX {
        false => Ok(vec![packet]),
        true => Err(format!(
            "the job's arguments and environment take {} KiB, and may take {}",
            packet.len() >> 10,
            packet::PACKET_BYTES_MAX >> 10
        )),
    }
}

fn explain(error: &io::Error) -> String {
    format!("the job's warden could not be started or told: {error}")
}

/// A packet holds it, with its head.
const INPUT_BYTES_MAX: usize = 128 << 10;
