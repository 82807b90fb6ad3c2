//! `fabric master`: an authority, the master with its two doors, and a node like any other beside it.
//!
//! Deliberately absent: that node, which is a process of its own (`own_node.rs`).

use crate::{
    audit::Audit,
    cli::MasterPlan,
    images::{ImageError, Images, KEPT_BYTES_MAX},
    master::{
        again,
        cluster::Cluster,
        desk::Desk,
        membership::Membership,
        nodes_file::NodesFile,
        rights,
        serve::{Books, Master},
    },
    own_node::{OwnNode, OwnNodeError, Terms},
};
use deploy_sys::{signal::Signals, tell};
use deploy_trust::{
    authority::{Authority, AuthorityError},
    door::{DataHello, Door, TOKENS},
    identity::Identity,
    insecure,
    session::SessionError,
    state::{StateDir, StateError},
    subject::{Name, Role},
    token::Token,
};
use deploy_wire::hello;
use mio::Poll;
use nix::sys::signal::Signal;
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Why a head cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Another program is there, or the address is not this machine's.
    #[error("cannot listen at {address}: {source}; give an address of this machine that is free")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What it must not forget cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// It cannot vouch for anybody.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its own certificates are of no use.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Programs cannot be kept.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// There is no node beside it.
    #[error(transparent)]
    OwnNode(#[from] OwnNodeError),
    /// The kernel fails it.
    #[error("the master cannot go on: {0}")]
    Kernel(#[from] io::Error),
}

/// Serves until somebody stops it, by Ctrl-C or SIGTERM. What people are to type next is printed first.
///
/// # Errors
/// If it cannot begin, or the kernel fails it.
pub fn run(plan: &MasterPlan, state: &Path) -> Result<(), HeadError> {
    let signals = Signals::catch(&STOPPING)?;
    let master_dir = StateDir::open(&place(state, Role::Master))?;
    let _claim = master_dir.claim_soon()?;
    let dir = StateDir::open(&authority(state))?;
    let authority = match plan.is_insecure {
        true => insecure::authority(&dir, &[plan.address, plan.bridge], SystemTime::now())?,
        false => Authority::open(&dir, SystemTime::now())?,
    };
    let master = identity(&authority, state, Role::Master, "master", plan.address)?;
    let mut cluster = Cluster::new(authority.cluster().to_string());
    let membership = Membership::new(authority, master, master_dir);
    for address in [plan.address, plan.bridge] {
        warn_if_unspecified(address);
    }
    let poll = Poll::new()?;
    let (nodes, people) = doors(&poll, plan, &membership)?;
    // Only where it can serve is this machine a node.
    let authority = membership.authority();
    identity(authority, state, Role::Node, &machine(), plan.address)?;
    identity(
        authority,
        state,
        Role::Administrator,
        &machine(),
        plan.bridge,
    )?;

    let node_token = token(authority, plan, Role::Node, plan.address)?;
    let user_token = token(authority, plan, Role::User, plan.bridge)?;

    let terms = Terms {
        cluster: authority.cluster().to_string(),
        address: plan.address,
        capacity: plan.capacity,
        labels: plan.labels.clone(),
    };
    for (address, most) in &plan.expected {
        cluster.expect(address.to_string(), *most);
    }
    let (mut desk, unfinished) = Desk::open(&state.join("records"))?;
    let nodes_file = NodesFile::new(state.join("nodes"));
    again::take_up(&mut cluster, &mut desk, unfinished, &nodes_file);
    let books = Books {
        audit: Audit::open(state)?,
        images: Images::open(&state.join("images"), KEPT_BYTES_MAX)?,
        desk,
        nodes_file,
    };
    let node_dir = StateDir::open(&place(state, Role::Node))?;
    let (own_node, isolation) = OwnNode::find_or_begin(node_dir, state, &terms)?;
    let doors = vec![nodes, people];
    let own = (own_node, signals);
    let master = Master::new(poll, doors, membership, cluster, books, own)?;
    println!(
        "{}\nJobs on this machine: {isolation}.",
        next_steps(plan, &node_token, &user_token)
    );
    Ok(master.run()?)
}

/// The member of this kind that the head is itself, kept below the state directory.
fn identity(
    authority: &Authority,
    state: &Path,
    role: Role,
    name: &str,
    address: SocketAddr,
) -> Result<Identity, HeadError> {
    let dir = StateDir::open(&place(state, role))?;
    let (name, now) = (Name::like(name), SystemTime::now());
    Ok(authority.own_identity(&dir, role, &name, &address.to_string(), now)?)
}

/// Where the head keeps what signs certificates.
pub fn authority(state: &Path) -> PathBuf {
    state.join("authority")
}

fn token(
    authority: &Authority,
    plan: &MasterPlan,
    role: Role,
    address: SocketAddr,
) -> Result<Token, AuthorityError> {
    if plan.is_insecure {
        return insecure::token(role, address);
    }
    let now = SystemTime::now();
    authority.new_token(role, &address.to_string(), DAY, false, now)
}

/// Where the head keeps its own member of this kind.
pub fn place(state: &Path, role: Role) -> PathBuf {
    state.join(match role {
        Role::Master => "master",
        Role::Node => "node",
        Role::User | Role::Administrator => "administrator",
    })
}

fn doors(
    poll: &Poll,
    plan: &MasterPlan,
    membership: &Membership,
) -> Result<(Door, Door), HeadError> {
    let listen = |address, first_token, acceptor, data| {
        let door = Door::open(address, poll.registry(), first_token, Some(acceptor), data);
        door.map_err(|source| HeadError::Listen { address, source })
    };
    let nodes = listen(
        plan.address,
        0,
        membership.acceptor(rights::AT_THE_NODES_DOOR)?,
        Some(DATA),
    )?;
    let people = listen(
        plan.bridge,
        TOKENS,
        membership.acceptor(rights::AT_THE_BRIDGE)?,
        None,
    )?;
    Ok((nodes, people))
}

/// Says so where an address is none that anybody could dial from elsewhere.
pub fn warn_if_unspecified(address: SocketAddr) {
    if address.ip().is_unspecified() {
        tell!(
            "warning: {address} is not an address that other machines can dial, and it is the one that they are told: \
             say the one by which they reach this machine"
        );
    }
}

/// What this machine is called.
pub fn machine() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "node".to_string())
}

fn next_steps(plan: &MasterPlan, node: &Token, user: &Token) -> String {
    let state = &plan.state_said;
    let (flag, login, lifetime) = match plan.is_insecure {
        true => (
            " --insecure-no-auth",
            "If you like, once:     ",
            "EVERYBODY on this machine can use this cluster, as any user: nobody has to log in."
                .to_string(),
        ),
        false => (
            "",
            "On each laptop, once:  ",
            format!("Both are good for 24 hours; `fabric token new{state}` makes others."),
        ),
    };
    format!(
        "The master serves nodes at {} and people at {}.\n\n\
         On each node, once:    fabric join{flag} {node}\n\
         {login}cargo deploy login {user}\n\
         Then, in a crate:      cargo deploy {} --release\n\n\
         {lifetime} `fabric nodes{state}` shows who has come. Ctrl-C stops the \
         master, and with it what runs here; what other machines run goes on if it is started again within 10 s.",
        plan.address, plan.bridge, plan.bridge
    )
}

/// How a connection for data begins.
pub const DATA: DataHello = DataHello {
    first_byte: hello::FIRST_BYTE,
    len: hello::FIRST_BYTES,
};
/// A terminal that goes away stops it too, unless it was started with `nohup`.
pub const STOPPING: [i32; 3] = [
    Signal::SIGINT as i32,
    Signal::SIGTERM as i32,
    Signal::SIGHUP as i32,
];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
