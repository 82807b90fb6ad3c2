//! Who belongs to the cluster: `fabric members`, `fabric remove`, `fabric leave`.
//!
//! The first two need no daemon: they read and write the master's tables, at which it looks twice a second.

use super::{PATIENCE, Result, authority, print};
use crate::{
    audit::{self, Audit},
    head,
};
use deploy_bridge::table;
use deploy_trust::{
    client::Client,
    endpoint::Connector,
    identity::Identity,
    members::MemberRow,
    state::{StateDir, StateError},
    subject::{Name, Role},
};
use deploy_wire::node::{Order, Report};
use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// Prints all members, by the certificate of each that ends last.
pub(super) fn list(state: &Path) -> Result<()> {
    let mut members: BTreeMap<(Role, Name), MemberRow> = BTreeMap::new();
    for row in authority(state)?.members().list()? {
        let latest = members.entry((row.role, row.name.clone()));
        let kept = latest.or_insert_with(|| row.clone());
        if (kept.is_revoked, row.expires) >= (row.is_revoked, kept.expires) {
            *kept = row;
        }
    }
    let now = SystemTime::now();
    let shown = |row: &MemberRow| {
        let left = row.expires.duration_since(now).unwrap_or(Duration::ZERO);
        let days = left.as_secs() / (24 * 60 * 60);
        let state = match row.is_revoked {
            true => "removed".to_string(),
            false => format!("{days} days left, renewed by itself"),
        };
        [row.role.to_string(), row.name.to_string(), state]
    };
    let rows = members.values().map(shown).collect();
    print(&table(["ROLE", "NAME", "CERTIFICATE"], rows))
}

/// Ends all certificates of a member.
pub(super) fn remove(name: &str, role: Option<&str>, state: &Path) -> Result<()> {
    let members = authority(state)?.members();
    let name: Name = name.parse()?;
    let is_meant = |row: &MemberRow| {
        let is_role = role.is_none_or(|role| row.role.name() == role);
        !row.is_revoked && row.name == name && row.role.is_joinable() && is_role
    };
    let mut roles: Vec<Role> = members
        .list()?
        .into_iter()
        .filter(is_meant)
        .map(|row| row.role)
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let [role] = roles[..] else {
        return Err(match roles.len() {
            0 => format!("there is no member {name}: `fabric members` lists them"),
            _ => format!("a node and a user are called {name}: add `--role node` or `--role user`"),
        }
        .into());
    };
    if role == Role::Node && own_node(state)?.is_some_and(|own| own.subject.name == name) {
        return Err(needed(&name).into());
    }
    members.revoke(role, &name, SystemTime::now())?;
    let who = format!("{role} {name}");
    Audit::open(state)?.add(&audit::line("removed", &[("who", &who)]));
    println!(
        "Removed the {who}. Its sessions end within a second; a token that it still has lets it join again."
    );
    Ok(())
}

/// Makes this machine no node any more, whether its daemon runs or not.
pub(super) fn leave(state: &Path) -> Result<()> {
    let place = head::place(state, Role::Node);
    let gone = "this machine is no node of a cluster";
    let identity = own_node(state)?.ok_or(gone)?;
    let master = head::place(state, Role::Master);
    if master.exists() && matches!(StateDir::open(&master)?.claim(), Err(StateError::InUse(_))) {
        return Err(needed(&identity.subject.name).into());
    }
    let told = tell_master(&identity);
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", place.display()).into());
        }
        _ => {}
    }
    let name = &identity.subject.name;
    match told {
        Ok(()) => {
            println!("This machine, {name}, has left the cluster. Its daemon ends, if it runs.")
        }
        Err(why) => println!(
            "This machine has forgotten the cluster, but the master could not be told ({why}): type there, \
             fabric remove {name}"
        ),
    }
    Ok(())
}

/// Which node this machine is, if it is one.
fn own_node(state: &Path) -> Result<Option<Identity>> {
    let place = head::place(state, Role::Node);
    match place.exists() {
        true => Ok(Identity::load(&StateDir::open(&place)?)?),
        false => Ok(None),
    }
}

/// With the node beside it the master would end, and the cluster with that.
fn needed(name: &Name) -> String {
    format!(
        "node {name} is the head's own, without which there is no master: `fabric drain {name}` keeps jobs off it, and Ctrl-C \
         on `fabric master` ends both"
    )
}

fn tell_master(identity: &Identity) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let connector = Connector::member(identity)?;
    let mut client = Client::connect(&identity.address, &connector, deadline)?;
    client.send(Report::Leave.encode(), deadline)?;
    match Order::decode(&client.recv(deadline)?)? {
        Order::Dismissed { .. } => Ok(()),
        Order::Refused { why } => Err(why.into()),
        other => Err(format!("it answers {other:?}").into()),
    }
}
