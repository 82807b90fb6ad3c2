//! Nodes fetch programs: from here, or from another node that the master names.
//!
//! Deliberately absent: which other, which the cluster decides.

use super::Master;
use crate::master::cluster::Fetch;
use deploy_wire::node::Order;
use mio::Token;
use std::io::{Seek, SeekFrom};

impl Master {
    /// Begins to give a node what it asks for, or names somebody else who does.
    pub(super) fn give_program(
        &mut self,
        token: Token,
        name: &str,
        fetch: Fetch,
    ) -> Result<(), String> {
        if !self.cluster.may_fetch(name, &fetch.digest) {
            return Err("no job of yours runs this program".to_string());
        }
        let found = self.images.find_packed(&fetch.digest)?;
        let (len, mut frame) = found.ok_or("the master has no such program")?;
        let explain = |error| format!("the master cannot read the program: {error}");
        let bytes = frame.metadata().map_err(explain)?.len();
        let source = match bytes.saturating_sub(fetch.offset) < SPREAD_BYTES_MIN {
            true => None,
            false => self.cluster.source(name, &fetch, len),
        };
        frame.seek(SeekFrom::Start(fetch.offset)).map_err(explain)?;
        if let Some(party) = self.find(token) {
            match source {
                Some(source) => party.leave(source.encode()),
                None => party.send_file(frame, len),
            }
        }
        Ok(())
    }

    pub(super) fn refuse_fetch(&mut self, token: Token, why: String) {
        if let Some(party) = self.find(token) {
            party.leave(Order::Refused { why }.encode());
        }
    }
}

/// What is less is sent sooner than two nodes meet.
const SPREAD_BYTES_MIN: u64 = 1 << 20;
