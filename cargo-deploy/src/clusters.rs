//! Which of the clusters that a person has logged in to a word means.
//!
//! Deliberately absent: how it is kept who a person is there (`saved.rs`).

use crate::{cli, failure::Failure, saved, session::Bridge, settings::Settings, words};
use deploy_sys::tell;
use deploy_trust::{
    client::ClientError,
    identity::Identity,
    insecure,
    join::{self, JoinError},
    session::SessionError,
    subject::{Name, Role},
    token::Token,
};
use deploy_wire::pid::Job;
use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    time::{Duration, SystemTime},
};

/// Where something is to run.
#[derive(Debug)]
pub struct Place {
    /// What people call it.
    pub name: String,
    /// Why there, if nobody has said so on the command line.
    pub why: Option<String>,
    /// Who we are there; nothing, if it is this machine.
    pub identity: Option<Identity>,
}

/// The place for a target: this machine, a saved name, or an address; without one, what the settings say, or the only cluster
/// there is.
pub fn place(target: Option<&str>, settings: &Settings) -> Result<Place, Failure> {
    let (name, why) = match (target, settings.target()) {
        (Some(target), _) => (target, None),
        (None, Some((target, path))) => (target, Some(as_said(path))),
        (None, None) => {
            let identity = only()?;
            return Ok(Place {
                name: identity.address.clone(),
                why: Some("the only cluster that you have logged in to".to_string()),
                identity: Some(identity),
            });
        }
    };
    let identity = match name {
        cli::LOCAL => None,
        name => Some(match &why {
            Some(why) => named(name, "").map_err(|failure| failure.because(why))?,
            None => named(name, &no_target(name))?,
        }),
    };
    let name = name.to_string();
    Ok(Place {
        name,
        why,
        identity,
    })
}

/// The identity for a target, where it has to be a cluster.
pub fn find(target: Option<&str>) -> Result<Identity, Failure> {
    if let Some(target) = target {
        return named(target, &no_cluster(target));
    }
    match Settings::find()?.target() {
        Some((target, path)) if target != cli::LOCAL => {
            named(target, "").map_err(|failure| failure.because(&as_said(path)))
        }
        _ => only(),
    }
}

fn as_said(path: &Path) -> String {
    format!("as {} says", path.display())
}

/// How a job is named so that commands find it in this cluster, wherever else the person has logged in to.
pub fn job_words(job: Job, identity: &Identity) -> String {
    let job = short(job);
    match find(None) {
        Ok(usual) if usual.address == identity.address => job,
        _ => format!("{job} {}", identity.address),
    }
}

/// As much of a name as a person types: nobody has so many jobs that two begin alike.
pub fn short(job: Job) -> String {
    job.to_string().chars().take(8).collect()
}

/// Who we already are in the cluster that a token is for, wherever else that was reached, for the address that it names.
pub fn of_token(token: &Token) -> Result<Option<Identity>, Failure> {
    let now = SystemTime::now();
    for name in [token.address.clone()].into_iter().chain(saved::names()?) {
        if let Some(mut identity) = saved::find(&name)?
            && identity.is_of(token)
            && identity.expires > now
        {
            identity.address.clone_from(&token.address);
            return Ok(Some(identity));
        }
    }
    Ok(None)
}

/// Joins as a user.
pub fn join(token: &Token) -> Result<Identity, Failure> {
    join::join(token, &own_name(), PATIENCE).map_err(not_joined)
}

/// What is saved for it. `otherwise` ends the sentence for a name under which nothing is.
fn named(target: &str, otherwise: &str) -> Result<Identity, Failure> {
    if let Some(identity) = saved::find(target)? {
        return Ok(identity);
    }
    // It may have been saved by a name only, or by another spelling: a host has a name, and the token an address.
    let is_address = target.contains(':');
    let addresses = match is_address {
        true => target.to_socket_addrs().map(Iterator::collect),
        false => Ok(Vec::new()),
    };
    let addresses: Vec<SocketAddr> = addresses.unwrap_or_default();
    for name in saved::names()? {
        if let Some(identity) = saved::find(&name)? {
            let is_meant = |address: &SocketAddr| address.to_string() == identity.address;
            if identity.address == target || addresses.iter().any(is_meant) {
                return Ok(identity);
            }
        }
    }
    match is_address {
        true => without_login(target, addresses),
        false => {
            // Hosts have dots in their names; what people save a cluster as seldom has.
            let port = match target.contains('.') {
                true => format!(" (an address has a port: `{target}:8888`)"),
                false => String::new(),
            };
            Err(Failure::setting(format!(
                "there is no cluster saved as `{target}`{port}: {HOW_TO}{}{otherwise}",
                known()?
            )))
        }
    }
}

/// What the first word behind `cargo deploy` may be meant as, if not as a target.
fn no_target(word: &str) -> String {
    match words::similar_command(word) {
        Some(command) => format!("; or is `cargo deploy {command}` meant?"),
        None => format!("; an argument of the program stands behind `--`, as in `-- {word}`"),
    }
}

/// What the word behind a job may be meant as, if not as a cluster.
fn no_cluster(word: &str) -> String {
    let is_like_job = word.len() >= JOB_DIGITS_MIN && word.bytes().all(|b| b.is_ascii_hexdigit());
    match is_like_job {
        true => "; if it is a job: a command takes one, and behind it the cluster".to_string(),
        false => String::new(),
    }
}

/// Whom a cluster without authentication makes of us, if there is one at one of these addresses: on the loopback it takes
/// whoever asks.
fn without_login(target: &str, addresses: Vec<SocketAddr>) -> Result<Identity, Failure> {
    let mut is_silent = false;
    for address in addresses {
        let Ok(token) = insecure::token(Role::User, address) else {
            continue;
        };
        match join::join(&token, &own_name(), PATIENCE) {
            Ok(identity) => {
                // What is saved would be tried before any other, also if it is of the wrong port.
                Bridge::connect(&identity)?.finish();
                saved::save(&identity, &identity.address)?;
                tell!(
                    "cargo deploy: the cluster at {address} has no authentication: everybody on its machine can use it"
                );
                return Ok(identity);
            }
            Err(JoinError::OtherCluster(_)) => {
                is_silent = false;
                break;
            }
            Err(JoinError::Client {
                error: ClientError::Session(SessionError::Unreachable(_)),
                ..
            }) => is_silent = true,
            Err(error) => return Err(not_joined(error)),
        }
    }
    let known = known()?;
    Err(match is_silent {
        true => Failure::connection(format!(
            "nothing listens at {target}: is `fabric master` running there, and is this its second port?{known}"
        )),
        false => Failure::setting(format!(
            "you have not logged in to {target}: {HOW_TO}{known}"
        )),
    })
}

/// The login name here; the cluster makes it unique.
fn own_name() -> Name {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let name = user.ok().flatten().map(|user| user.name);
    Name::like(&name.unwrap_or_else(|| "user".into()))
}

fn not_joined(error: JoinError) -> Failure {
    match error {
        JoinError::Client { .. } => Failure::connection(error),
        _ => Failure::setting(error),
    }
}

fn only() -> Result<Identity, Failure> {
    let mut found: Vec<Identity> = Vec::new();
    for name in saved::names()? {
        let Some(identity) = saved::find(&name)? else {
            continue;
        };
        // One cluster may be saved twice, by its address and by a name.
        if !found.iter().any(|other| other.address == identity.address) {
            found.push(identity);
        }
    }
    match found.len() {
        0 => Err(Failure::setting(format!(
            "you have not logged in to a cluster: {HOW_TO}"
        ))),
        1 => Ok(found.remove(0)),
        _ => Err(Failure::setting(format!("say which cluster{}", known()?))),
    }
}

/// The end of a sentence that asks for one of them.
pub fn known() -> Result<String, Failure> {
    let mut names = Vec::new();
    for name in saved::names()? {
        // A login that could not be written to the end has left a directory, and saved nothing.
        if saved::find(&name)?.is_some() {
            names.push(name);
        }
    }
    Ok(match names.is_empty() {
        true => String::new(),
        false => format!(" (saved: {})", names.join(", ")),
    })
}

const HOW_TO: &str =
    "ask whoever runs it for a user token, and type `cargo deploy login <USER TOKEN>`";
/// Fewer digits of a job are seldom typed, and many words are like them.
const JOB_DIGITS_MIN: usize = 6;
/// Longer than any cluster takes that is there.
const PATIENCE: Duration = Duration::from_secs(15);
