//! Machines, jobs and processes, as people see them.

use crate::{
    bytes::{Malformed, Reader, Writer},
    exit::ExitStatus,
    fields::{read_pid, read_resources, read_status, write_pid, write_resources, write_status},
    pid::{Job, Pid},
    resources::Resources,
    wait::Waits,
};

/// A machine, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeView {
    /// What it is called.
    pub name: String,
    /// Where its data port is.
    pub address: String,
    /// How it is: `up`, `suspected`, `draining`, `failing`, `lost`, `expected`.
    pub state: String,
    /// What it has.
    pub capacity: Resources,
    /// What of that is free.
    pub free: Resources,
    /// How many processes run there.
    pub processes: u32,
    /// What keeps its jobs apart from each other and from it.
    pub isolation: String,
    /// What else it goes by, such as `disk=ssd`.
    pub labels: Vec<String>,
    /// Its glibc, such as `2.36`; nothing if that is not known.
    pub glibc: String,
    /// For how many seconds it is lost; nothing if it is not.
    pub lost_seconds: Option<u64>,
}

/// A job, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct JobView {
    /// Which it is.
    pub job: Job,
    /// What its initial process runs.
    pub worker: String,
    /// Who started it.
    pub user: String,
    /// How many processes it has now.
    pub processes: u32,
    /// How long it has run, in seconds.
    pub seconds: u64,
    /// How it is: `runs`, `detached`, `left alone`, or how it ended.
    pub state: String,
}

/// A process, how it ended and why, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct LifeView {
    /// Who it is.
    pub pid: Pid,
    /// Who asked for it; nobody, for the initial process.
    pub parent: Option<Pid>,
    /// Where it runs or ran.
    pub node: String,
    /// The function.
    pub worker: String,
    /// What it was granted.
    pub resources: Resources,
    /// How it ended; nothing while it lives.
    pub status: Option<ExitStatus>,
    /// Who brought that about, where somebody did and it is known, in words that follow "by": `ada`, `process 3fecd01`.
    pub by: Option<String>,
    /// Whether the job's exit code comes from it.
    pub is_blamed: bool,
    /// What it has waited for, for longer than a moment.
    pub waits: Waits,
}

impl NodeView {
    pub(super) fn write(&self, w: &mut Writer) {
        w.text(&self.name).text(&self.address).text(&self.state);
        write_resources(w, self.capacity);
        write_resources(w, self.free);
        w.u32(self.processes).text(&self.isolation);
        w.list(&self.labels, |w, label| {
            w.text(label);
        });
        w.text(&self.glibc);
        w.option(self.lost_seconds, |w, seconds| {
            w.u64(seconds);
        });
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<NodeView, Malformed> {
        Ok(NodeView {
            name: r.text()?.to_string(),
            address: r.text()?.to_string(),
            state: r.text()?.to_string(),
            capacity: read_resources(r)?,
            free: read_resources(r)?,
            processes: r.u32()?,
            isolation: r.text()?.to_string(),
            labels: r.list(|r| Ok(r.text()?.to_string()))?,
            glibc: r.text()?.to_string(),
            lost_seconds: r.option(|r| r.u64())?,
        })
    }
}

impl JobView {
    pub(super) fn write(&self, w: &mut Writer) {
        w.u128(self.job.bits())
            .text(&self.worker)
            .text(&self.user)
            .u32(self.processes)
            .u64(self.seconds)
            .text(&self.state);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<JobView, Malformed> {
        Ok(JobView {
            job: Job::from_bits(r.u128()?),
            worker: r.text()?.to_string(),
            user: r.text()?.to_string(),
            processes: r.u32()?,
            seconds: r.u64()?,
            state: r.text()?.to_string(),
        })
    }
}

impl LifeView {
    pub(super) fn write(&self, w: &mut Writer) {
        write_pid(w, self.pid);
        w.option(self.parent, write_pid)
            .text(&self.node)
            .text(&self.worker);
        write_resources(w, self.resources);
        w.option(self.status, write_status)
            .option(self.by.as_ref(), |w, by| {
                w.text(by);
            })
            .bool(self.is_blamed);
        self.waits.write(w);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<LifeView, Malformed> {
        Ok(LifeView {
            pid: read_pid(r)?,
            parent: r.option(read_pid)?,
            node: r.text()?.to_string(),
            worker: r.text()?.to_string(),
            resources: read_resources(r)?,
            status: r.option(read_status)?,
            by: r.option(|r| Ok(r.text()?.to_string()))?,
            is_blamed: r.bool()?,
            waits: Waits::read(r)?,
        })
    }
}
