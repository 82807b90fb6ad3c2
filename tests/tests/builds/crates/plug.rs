//! A shared library that starts a process of its own.

use deploy::*;

pub fn spawn_there() -> Result<Pid, SpawnError> {
    spawn(worker, (), Resources::default())
}

fn worker(_: Pid, (): ()) {}
