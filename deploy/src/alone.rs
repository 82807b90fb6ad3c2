//! The program run alone: a fabric of one node, embedded in its first process.

use deploy_wire::resources::Resources;

pub(crate) fn run(_resources: Resources) -> ! {
    unimplemented!()
}
