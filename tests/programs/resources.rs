//! Each process is told the resources that it asked for.

//= main: exits 0, out "main 1GiB 2 0\n"
//=   worker: exits 0, out "worker 256MiB 0.0625 0\n"
//=   worker: exits 0, out "worker 20MiB 0.25 0\n"
//=   worker: exits 0, out "worker 7B 3 0\n"

use deploy::*;

fn main() {
    init(Resources {
        mem: Mem::GIB,
        cpu: 2 * Cpu::CORE,
        ..Resources::default()
    });
    tell("main");
    let asked = [
        Resources::default(),
        Resources {
            mem: 20 * Mem::MIB,
            cpu: Cpu::CORE / 4,
            gpu: 0,
        },
        Resources {
            mem: Mem::B * 7u64,
            cpu: Cpu::CORE * 3,
            gpu: 0,
        },
    ];
    for resources in asked {
        spawn(worker, resources, resources).unwrap();
    }
}

fn worker(_: Pid, asked: Resources) {
    assert_eq!(resources(), asked);
    tell("worker");
}

fn tell(who: &str) {
    let Resources { mem, cpu, gpu } = resources();
    println!("{who} {mem} {cpu} {gpu}");
}
