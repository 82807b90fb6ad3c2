//! What a machine has to give.

use deploy_wire::resources::{Cpu, Mem, Resources};

/// What this machine has: the processors that this process may run on, and the memory.
pub fn measure() -> Resources {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = nix::sys::sysinfo::sysinfo().map_or(0, |about| about.ram_total());
    Resources {
        mem: Mem::B * memory,
        cpu: Cpu::CORE * cores as u64,
        gpu: 0,
    }
}

/// What to say where more is to be given than there is.
pub fn warning(given: Resources, measured: Resources) -> Option<String> {
    let is_more = given.mem > measured.mem || given.cpu > measured.cpu;
    is_more.then(|| format!("this machine gives {given}, as was said, but it only has {measured}"))
}

/// The less of each.
pub fn least(one: Resources, other: Resources) -> Resources {
    Resources {
        mem: one.mem.min(other.mem),
        cpu: one.cpu.min(other.cpu),
        gpu: one.gpu.min(other.gpu),
    }
}
