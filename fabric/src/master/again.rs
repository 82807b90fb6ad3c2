//! What a master that is started again takes up from the one before it: the nodes that it knew, and the jobs that ran.
//!
//! Deliberately absent: jobs that are over, which the desk finds by itself.

use super::{
    cluster::Cluster,
    desk::{Desk, Retold, Unfinished},
    nodes_file::NodesFile,
};
use deploy_sys::tell;
use deploy_wire::bytes::Malformed;
use std::{
    io,
    time::{Instant, SystemTime},
};

/// Has the cluster and the desk go on with what was there. What cannot be read is lost, and said to be.
pub fn take_up(
    cluster: &mut Cluster,
    desk: &mut Desk,
    unfinished: Vec<Unfinished>,
    nodes: &NodesFile,
) {
    let now = Instant::now();
    let known = nodes.read().map_err(|error| error.to_string());
    let known = known.and_then(|known| {
        let known = known
            .as_deref()
            .map(|known| cluster.restore_nodes(known, now));
        known.unwrap_or(Ok(())).map_err(|error| error.to_string())
    });
    if let Err(why) = known {
        tell!("which nodes there were cannot be read, and what ran there is lost: {why}");
    }
    let count = unfinished.len();
    for job in unfinished {
        match tell_again(cluster, &job, now) {
            Ok(retold) => desk.go_on(job, retold),
            Err(why) => desk.give_up(job, &io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }
    cluster.begin_again(now);
    if count > 0 {
        let jobs = if count == 1 { "job" } else { "jobs" };
        tell!("going on with {count} {jobs} of the master before this one");
    }
}

/// Tells a job what it was told. Returns what it had told.
fn tell_again(
    cluster: &mut Cluster,
    unfinished: &Unfinished,
    now: Instant,
) -> Result<Retold, Malformed> {
    let earlier = &unfinished.earlier;
    let (mut retold, condensed) = match earlier.condensed() {
        None => (Retold::default(), None),
        Some(bytes) => {
            let (retold, condensed) = Retold::of_condensed(bytes)?;
            (retold, Some(condensed))
        }
    };
    let age = SystemTime::now().duration_since(earlier.since);
    cluster.restore_job(
        unfinished.job,
        earlier.about.clone(),
        (condensed, earlier.happenings()),
        |event, by| retold.handle(&event, by),
        now.checked_sub(age.unwrap_or_default()).unwrap_or(now),
    )?;
    Ok(retold)
}
