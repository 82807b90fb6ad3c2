//! The way back to a job whose connection was lost: another connection, tried for as long as the job may still be there.
//!
//! Deliberately absent: what is shown of it.

use crate::{failure::Failure, session::Bridge};
use deploy_trust::{identity::Identity, session::Session};
use deploy_wire::{
    client::{Answer, Ask, GONE_AFTER, GRACE, Position},
    code::OwnCode,
    pid::Job,
};
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A job on a cluster, and what this client is to it.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Who we are there, and where that is.
    pub identity: Arc<Identity>,
    /// The job.
    pub job: Job,
    /// Whether we have it, or only look on.
    pub is_owner: bool,
    /// Whether it goes on without us.
    pub is_detached: bool,
}

/// Attached again.
#[derive(Debug)]
pub struct Back {
    /// Where the events come.
    pub session: Box<Session>,
    /// How many bytes of standard input have arrived.
    pub input: u64,
}

impl Errand {
    /// How a session begins that goes on from there.
    pub fn ask(&self, from: Position) -> Ask {
        let job = self.job.to_string();
        match self.is_owner {
            true => Ask::Attach { job, from },
            false => Ask::Logs {
                job,
                from,
                follow: true,
            },
        }
    }

    /// Starts a thread that tries to go on from there, and tells what came of it in the end.
    pub fn go_back(
        self,
        from: Position,
        tell: impl FnOnce(Result<Back, Failure>) + Send + 'static,
    ) -> io::Result<()> {
        let run = move || tell(self.try_often(from));
        thread::Builder::new().name("back".into()).spawn(run)?;
        Ok(())
    }

    /// For how long the job may still be there: whoever has lost it notices last.
    pub fn patience(&self) -> Duration {
        GRACE + GONE_AFTER
    }

    fn try_often(&self, from: Position) -> Result<Back, Failure> {
        let deadline = Instant::now() + self.patience();
        let mut pause = PAUSE_MIN;
        loop {
            match self.try_once(from) {
                Err(failure)
                    if failure.code() == OwnCode::Connection.number()
                        && Instant::now() + pause < deadline =>
                {
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                done => return done,
            }
        }
    }

    fn try_once(&self, from: Position) -> Result<Back, Failure> {
        let mut bridge = Bridge::connect(&self.identity)?;
        let Answer::Attached { input, .. } = bridge.ask(&self.ask(from))? else {
            return Err(bridge.surprised());
        };
        let (session, _) = bridge.into_session()?;
        let session = Box::new(session);
        Ok(Back { session, input })
    }
}

/// A switch that was restarted, or a master, is soon back; and a laptop that wakes has its network some seconds later.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(4);
