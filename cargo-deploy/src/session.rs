//! A session with the bridge, as long as it is one question and one answer after the other.
//!
//! What happens while a job runs is not like that (`line.rs`).

use crate::{failure::Failure, saved};
use deploy_trust::{
    client::{Client, ClientError},
    endpoint::Connector,
    identity::{Certified, Identity},
    session::{Distrust, Session, SessionError},
};
use deploy_wire::client::{Answer, Ask, VERSION};
use std::time::{Duration, Instant, SystemTime};

/// Connected, and greeted.
#[derive(Debug)]
pub struct Bridge {
    client: Client,
    address: String,
}

impl Bridge {
    /// Connects as this member, and says hello.
    pub fn connect(identity: &Identity) -> Result<Bridge, Failure> {
        let address = identity.address.clone();
        let connector = Connector::member(identity).map_err(Failure::internal)?;
        let client = Client::connect(&address, &connector, Instant::now() + PATIENCE)
            .map_err(|error| failed(&address, &error))?;
        let mut bridge = Bridge { client, address };
        match bridge.ask(&Ask::Hello { version: VERSION })? {
            Answer::Hello { version, .. } if version.0 == VERSION.0 => {
                bridge.renew_if_due(identity)?;
                Ok(bridge)
            }
            Answer::Hello { version, .. } => Err(Failure::connection(format!(
                "this is version {}.{} of the protocol, and the cluster at {} speaks {}.{}: bring both to the same release",
                VERSION.0, VERSION.1, bridge.address, version.0, version.1
            ))),
            _ => Err(bridge.surprised()),
        }
    }

    /// Has a new certificate in good time, so that nobody has to log in again.
    fn renew_if_due(&mut self, identity: &Identity) -> Result<(), Failure> {
        if !identity.is_renewal_due(SystemTime::now()) {
            return Ok(());
        }
        let Answer::Renewed { certified } = self.ask(&Ask::Renew)? else {
            return Err(self.surprised());
        };
        let certified = Certified::from_bytes(&certified).map_err(Failure::connection)?;
        saved::renew(identity, &certified)
    }

    /// Asks, and waits for the answer. What is refused is an error.
    pub fn ask(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        self.tell(ask)?;
        self.answer()
    }

    /// Says something that is not answered.
    pub fn tell(&mut self, ask: &Ask) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let sent = self.client.send(ask.encode(), deadline);
        sent.map_err(|error| failed(&self.address, &error))
    }

    /// The next answer.
    pub fn answer(&mut self) -> Result<Answer, Failure> {
        let message = self.client.recv(Instant::now() + PATIENCE);
        let message = message.map_err(|error| failed(&self.address, &error))?;
        match Answer::decode(&message) {
            Ok(Answer::Refused { code, why }) => Err(Failure::refused(code, why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::connection(format!(
                "the cluster at {} says what is not understood here: {error}",
                self.address
            ))),
        }
    }

    /// For an answer to another question than was asked.
    pub fn surprised(&self) -> Failure {
        Failure::connection(format!(
            "the cluster at {} answers something else than was asked: is it of the same release?",
            self.address
        ))
    }

    /// Says goodbye.
    pub fn finish(self) {
        // Who is gone already needs none.
        let _ = self.client.finish(Instant::now() + PATIENCE);
    }

    /// For a loop of its own, with where it leads.
    pub fn into_session(self) -> Result<(Session, String), Failure> {
        let session = self.client.into_session().map_err(Failure::internal)?;
        Ok((session, self.address))
    }
}

fn failed(address: &str, error: &ClientError) -> Failure {
    let refused = match error {
        ClientError::Session(SessionError::Refused(Distrust::Expired)) => Some("has expired"),
        ClientError::Session(SessionError::Refused(Distrust::Revoked)) => Some("was revoked"),
        _ => None,
    };
    if let Some(what) = refused {
        // It stays so, however often it is tried.
        return Failure::setting(format!(
            "your certificate for the cluster at {address} {what}: log in again with a new token, \
             `cargo deploy login <USER TOKEN>`"
        ));
    }
    let what_to_do = match error {
        ClientError::Session(SessionError::Unreachable(_)) => ": is `fabric master` running there?",
        ClientError::Session(SessionError::Untrusted(Distrust::OtherCluster)) => {
            ": log in again with a token of the cluster that is there now"
        }
        ClientError::Session(SessionError::Refused(Distrust::OtherRole)) => {
            ": is this the port for nodes? The one for people stands behind `bridge`"
        }
        _ => "",
    };
    Failure::connection(format!(
        "the cluster at {address} cannot be asked: {error}{what_to_do}"
    ))
}

/// Longer than anything takes that is asked here, with a chunk of a program on a slow line in front of it.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::code::OwnCode;

    #[test]
    fn who_has_to_log_in_again_is_told_once_and_does_not_try_again() {
        let check = |distrust, code: OwnCode, expected: &str| {
            let error = ClientError::Session(SessionError::Refused(distrust));
            let failure = failed("lab:1", &error);
            assert_eq!(failure.code(), code.number(), "{failure}");
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(
                failure.to_string().matches("again").count() <= 1,
                "{failure}"
            );
        };
        check(Distrust::Revoked, OwnCode::Setting, "was revoked: log in");
        check(Distrust::Expired, OwnCode::Setting, "has expired: log in");
        check(
            Distrust::OtherRole,
            OwnCode::Connection,
            "the port for nodes",
        );
    }
}
