//! The fields that many messages have, as bytes: who a process is, what it needs, how it ended; an address, a file, a secret.
//!
//! Deliberately absent: messages.

use crate::{
    bytes::{Malformed, Reader, Writer},
    exit::{End, ExitStatus, Reason, Shortage},
    pid::{Job, Pid},
    resources::{Cpu, Mem, Resources},
    secret::{SECRET_BYTES, Secret},
};
use std::net::SocketAddr;

pub(crate) fn write_pid(w: &mut Writer, pid: Pid) {
    w.u128(pid.job().bits()).u32(pid.number());
}

pub(crate) fn read_pid(r: &mut Reader<'_>) -> Result<Pid, Malformed> {
    let (job, number) = (Job::from_bits(r.u128()?), r.u32()?);
    if number >= Pid::COUNT_MAX {
        return Err(Malformed("a process number has more than 28 bits"));
    }
    Ok(Pid::new(job, number))
}

pub(crate) fn write_resources(w: &mut Writer, resources: Resources) {
    w.u64(resources.mem.bytes())
        .u64(resources.cpu.millionths())
        .u32(resources.gpu);
}

pub(crate) fn read_resources(r: &mut Reader<'_>) -> Result<Resources, Malformed> {
    Ok(Resources {
        mem: Mem::B * r.u64()?,
        cpu: Cpu::from_millionths(r.u64()?),
        gpu: r.u32()?,
    })
}

pub(crate) fn write_status(w: &mut Writer, status: ExitStatus) {
    write_end(w, status.end());
    w.u8(match status.reason() {
        None => 0,
        Some(Reason::Killed) => 1,
        Some(Reason::Linked) => 2,
        Some(Reason::Interrupted) => 3,
        Some(Reason::OutOfMemory(_)) => 4,
        Some(Reason::NodeLost) => 5,
        Some(Reason::Orphaned) => 6,
    });
    if let Some(Reason::OutOfMemory(shortage)) = status.reason() {
        write_shortage(w, shortage);
    }
}

pub(crate) fn write_shortage(w: &mut Writer, shortage: Shortage) {
    w.u64(shortage.limit.bytes()).u64(shortage.peak.bytes());
}

pub(crate) fn read_shortage(r: &mut Reader<'_>) -> Result<Shortage, Malformed> {
    Ok(Shortage {
        limit: Mem::B * r.u64()?,
        peak: Mem::B * r.u64()?,
    })
}

pub(crate) fn write_end(w: &mut Writer, end: End) {
    match end {
        End::Code(code) => w.u8(0).i32(code),
        End::Signal(signal) => w.u8(1).i32(signal),
    };
}

pub(crate) fn read_status(r: &mut Reader<'_>) -> Result<ExitStatus, Malformed> {
    let status = ExitStatus::new(read_end(r)?);
    Ok(match r.u8()? {
        0 => status,
        1 => status.because(Reason::Killed),
        2 => status.because(Reason::Linked),
        3 => status.because(Reason::Interrupted),
        4 => status.because(Reason::OutOfMemory(read_shortage(r)?)),
        5 => status.because(Reason::NodeLost),
        6 => status.because(Reason::Orphaned),
        _ => return Err(Malformed("an unknown reason of an end")),
    })
}

pub(crate) fn read_end(r: &mut Reader<'_>) -> Result<End, Malformed> {
    match (r.u8()?, r.i32()?) {
        (0, code) => Ok(End::Code(code)),
        (1, signal) => Ok(End::Signal(signal)),
        _ => Err(Malformed("an unknown kind of end")),
    }
}

pub(crate) fn read_address(r: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    r.text()?
        .parse()
        .map_err(|_| Malformed("an address is not one"))
}

pub(crate) fn write_file(w: &mut Writer, file: &Option<Vec<u8>>) {
    w.option(file.as_ref(), |w, bytes| {
        w.bytes(bytes);
    });
}

pub(crate) fn read_file(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    r.option(|r| Ok(r.bytes()?.to_vec()))
}

pub(crate) fn read_secret(r: &mut Reader<'_>) -> Result<Secret, Malformed> {
    let bytes: Result<[u8; SECRET_BYTES], _> = r.bytes()?.try_into();
    let bytes = bytes.map_err(|_| Malformed("a secret of another length"))?;
    Ok(Secret::from_bytes(bytes))
}
