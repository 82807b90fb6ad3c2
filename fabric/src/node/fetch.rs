//! A program on its way from the master, over a session of its own.

use crate::images::{Images, Incoming};
use deploy_trust::{endpoint::Connector, session::Session};
use deploy_wire::{
    client::Digest,
    node::{Order, Report},
};
use mio::{Registry, Token, net::TcpStream};
use std::{net::SocketAddr, time::Instant};

/// One program, until it is here.
#[derive(Debug)]
pub(super) struct Fetch {
    session: Session,
    images: Images,
    digest: Digest,
    incoming: Option<Incoming>,
}

impl Fetch {
    /// Asks the master for a program.
    pub(super) fn begin(
        connector: &Connector,
        master: SocketAddr,
        images: &Images,
        digest: Digest,
        registry: &Registry,
        token: Token,
    ) -> Result<Fetch, String> {
        let stream = TcpStream::connect(master).map_err(|error| error.to_string())?;
        let mut session = connector
            .connect(stream, Instant::now())
            .map_err(|error| error.to_string())?;
        session
            .register(registry, token)
            .map_err(|error| error.to_string())?;
        // A new session has room.
        let _ = session.send(Report::Fetch { digest }.encode());
        Ok(Fetch {
            session,
            images: images.clone(),
            digest,
            incoming: None,
        })
    }

    /// Takes in what has come. True once the program is here.
    pub(super) fn handle_ready(&mut self, now: Instant) -> Result<bool, String> {
        let words = |error: &dyn std::fmt::Display| format!("fetching the program failed: {error}");
        self.session
            .handle_timeout(now)
            .and_then(|()| self.session.handle_ready())
            .map_err(|error| words(&error))?;
        while let Some(message) = self.session.poll_message().map_err(|error| words(&error))? {
            match Order::decode(&message).map_err(|error| words(&error))? {
                Order::Chunk { len, bytes } => {
                    if self.take_in(len, &bytes)? {
                        return Ok(true);
                    }
                }
                Order::Refused { why } => return Err(words(&why)),
                _ => return Err(words(&"the master sends something else")),
            }
        }
        Ok(false)
    }

    fn take_in(&mut self, len: u64, bytes: &[u8]) -> Result<bool, String> {
        let mut incoming = match self.incoming.take() {
            Some(incoming) => incoming,
            None => self.images.begin(self.digest, len)?,
        };
        incoming.write(bytes)?;
        if incoming.is_whole() {
            incoming.finish()?;
            return Ok(true);
        }
        self.incoming = Some(incoming);
        Ok(false)
    }
}
