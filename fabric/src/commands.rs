//! What each command does.

mod members;

use crate::{
    cli::{Cli, Command, Serve, State, TokenCommand},
    confine, head,
    images::{Images, KEPT_BYTES_MAX},
    node::{self, Data, Estate, Node, Tenants},
    own_node, warden,
};
use clap::CommandFactory;
use deploy_bridge::node_table;
use deploy_sys::{fd, tell};
use deploy_trust::{
    authority::Authority,
    client::Client,
    door::Door,
    endpoint::Connector,
    identity::Identity,
    insecure, join, places,
    state::{Lock, StateDir, StateError},
    subject::{Name, Role},
    token::Token,
    tokens::TokenRow,
};
use deploy_wire::client::{Answer, Ask, VERSION};
use mio::Poll;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::{
    error::Error,
    fs::DirBuilder,
    io::{self, Write},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Does what the command line says. Daemons do not return.
///
/// # Errors
/// A sentence that says what to do about it.
pub fn run(cli: Cli) -> Result<()> {
    // Keys and certificates pass through this process; jobs may run as the same user.
    cli.check()?;
    if let Some(Command::Warden { .. }) = cli.command {
        confine::offer_memory();
    }
    confine::hide_memory()?;
    // What a shell has left open is not for jobs.
    fd::close_on_exec_from(3)?;
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Master(master)) => {
            let plan = master.plan()?;
            Ok(head::run(&plan, &state(&master.state)?)?)
        }
        Some(Command::Join { token, serve: how }) => join(&token, &how),
        Some(Command::Token { what, state }) => token(&what, &place(&state)?),
        Some(Command::Nodes { state }) => nodes(&place(&state)?),
        Some(Command::Drain { node, off, state }) => drain(&node, !off, &place(&state)?),
        Some(Command::Members { state }) => members::list(&place(&state)?),
        Some(Command::Remove { name, role, state }) => {
            members::remove(&name, role.as_deref(), &place(&state)?)
        }
        Some(Command::Leave { state }) => members::leave(&place(&state)?),
        Some(Command::Manual(manual)) => Ok(manual.give(Cli::command())?),
        Some(Command::HeadNode { state: given }) => Ok(own_node::serve(&place(&given)?)?),
        Some(Command::Warden { hidden }) => Ok(warden::run_at_stdin(hidden)?),
    }
}

/// Where a daemon's state is, or would be.
fn place(given: &State) -> Result<PathBuf> {
    let found = given.state.clone().or_else(places::daemon);
    Ok(found.ok_or("there is no home directory: say --state DIR")?)
}

/// The same, made for a daemon that begins.
fn state(given: &State) -> Result<PathBuf> {
    let state = place(given)?;
    // Jobs, which have users of their own, pass through it to their directories; what is secret lies deeper.
    let made = DirBuilder::new().recursive(true).mode(0o711).create(&state);
    made.map_err(|error| format!("{}: {error}; say --state DIR", state.display()))?;
    Ok(state)
}

/// Serves as a node; waits until this machine has joined.
fn serve(how: &Serve) -> Result<()> {
    let state = state(&how.state)?;
    let dir = StateDir::open(&head::place(&state, Role::Node))?;
    let claim = dir.claim_soon()?;
    serve_in(&state, dir, claim, how)
}

/// The same, in a directory that nobody else serves in.
fn serve_in(state: &Path, dir: StateDir, _claim: Lock, how: &Serve) -> Result<()> {
    let identity = match Identity::load(&dir)? {
        Some(identity) => identity,
        None => {
            println!(
                "This machine is no node of a cluster yet. Type here, in another terminal: fabric join <NODE TOKEN>{}\n\
                 `fabric master` has printed the token on the head; `fabric token new node` prints another.",
                how.state.said()
            );
            joined(&dir)?
        }
    };
    let master = resolve(&identity.address)?;
    let address = own_address(how, master)?;
    check_insecure(identity.is_insecure(), how)?;
    if how.insecure_no_auth {
        insecure::must_be_loopback(&address)?;
    }
    head::warn_if_unspecified(address);
    let poll = Poll::new()?;
    let door = Door::open(address, poll.registry(), 0, None, Some(head::DATA))
        .map_err(|error| cannot_listen(address, &error))?;
    let estate = Estate::open(&state.join("jobs"), &[])?;
    println!(
        "A node of the cluster at {master}; its data port is {address}.\nJobs: {}.",
        estate.isolation()
    );
    let config = node::Config {
        identity,
        identity_dir: dir,
        master,
        address,
        capacity: crate::capacity::given(how.mem.zip(how.cpu)),
        labels: how.labels.labels.clone(),
    };
    let images = Images::open(&state.join("node/images"), KEPT_BYTES_MAX)?;
    let tenants = Tenants::new(images, estate)?;
    let data = Data::Door(Box::new(door));
    Ok(Node::new(config, tenants, poll, data)?.run()?)
}

/// Waits until somebody has joined here, by another command.
fn joined(dir: &StateDir) -> Result<Identity> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC)?;
    changes.add_watch(dir.path(), AddWatchFlags::IN_MOVED_TO)?;
    loop {
        if let Some(identity) = Identity::load(dir)? {
            return Ok(identity);
        }
        changes.read_events()?;
    }
}

/// Whether a cluster without authentication was asked for, if it is one.
fn check_insecure(is_insecure: bool, how: &Serve) -> Result<()> {
    match (is_insecure, how.insecure_no_auth) {
        (true, false) => Err("this is a cluster that everybody on its machine can use: add --insecure-no-auth if that is meant".into()),
        (false, true) => Err("this cluster has authentication: leave out --insecure-no-auth".into()),
        _ => Ok(()),
    }
}

/// Where other nodes reach this one.
fn own_address(how: &Serve, master: SocketAddr) -> Result<SocketAddr> {
    match how.address {
        Some(address) => Ok(address),
        None => beside(master),
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    format!("cannot listen at {address}: {error}; give an address of this machine that is free")
}

/// The address from which this machine reaches the master, with the port that nodes have if nothing else is said.
fn beside(master: SocketAddr) -> Result<SocketAddr> {
    let any: SocketAddr = match master {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(master)?; // Sends nothing; the kernel says which way it would go.
    Ok(SocketAddr::new(socket.local_addr()?.ip(), NODE_PORT))
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let found = address
        .to_socket_addrs()
        .map_err(|error| format!("{address}: {error}"))?
        .next();
    found.ok_or_else(|| format!("{address} has no address").into())
}

/// Joins and serves. Where a daemon waits for just that, it is the one that serves.
fn join(token: &str, how: &Serve) -> Result<()> {
    let token = read_token(token)?.for_role(Role::Node)?;
    let state = state(&how.state)?;
    let dir = StateDir::open(&head::place(&state, Role::Node))?;
    // Kept until it serves: between the two nobody else begins to.
    let claim = match dir.claim() {
        Err(StateError::InUse(_)) => None,
        claimed => Some(claimed?),
    };
    if claim.is_some() {
        // Who joins and then cannot serve would be a member that nobody ever sees.
        let address = own_address(how, resolve(&token.address)?)?;
        TcpListener::bind(address).map_err(|error| cannot_listen(address, &error))?;
    }
    join_as_node(&token, how, &dir)?;
    let Some(claim) = claim else {
        println!(
            "This machine has joined; the fabric that runs here already serves. A second one beside it needs a \
             directory and an address of its own: fabric join <NODE TOKEN> ADDR --state DIR"
        );
        return Ok(());
    };
    serve_in(&state, dir, claim, how)
}

fn read_token(word: &str) -> Result<Token> {
    if word != "-" {
        return Ok(word.parse()?);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().parse()?)
}

fn join_as_node(token: &Token, how: &Serve, dir: &StateDir) -> Result<()> {
    check_insecure(token.is_insecure(), how)?;
    if let Some(own) = Identity::load(dir)?
        && own.expires > SystemTime::now()
    {
        let (name, address) = (own.subject.name.as_str(), &own.address);
        if !own.is_of(token) {
            return Err(format!(
                "this machine is a node of the cluster at {address}: stop its fabric and say `fabric leave` first"
            )
            .into());
        }
        let state = how.state.said();
        println!(
            "This machine has joined before, as {name}. To join anew, say `fabric leave{state}` first."
        );
        return Ok(());
    }
    join::join_into(dir, token, &Name::like(&head::machine()), PATIENCE)?;
    Ok(())
}

fn token(what: &TokenCommand, state: &Path) -> Result<()> {
    let authority = authority(state)?;
    match what {
        TokenCommand::New { role, hours, once } => {
            let role = Role::from_name(role)
                .filter(|role| role.is_joinable())
                .ok_or_else(|| format!("{role:?} is no role: say node or user"))?;
            let own = match role {
                Role::Node => Role::Master, // It knows where nodes go.
                _ => Role::Administrator,
            };
            let address = member(state, own)?.address;
            let lifetime = Duration::from_secs(hours * 60 * 60);
            let made = authority.new_token(role, &address, lifetime, *once, SystemTime::now())?;
            println!("{made}");
            let command = match role {
                Role::Node => "fabric join",
                _ => "cargo deploy login",
            };
            let id = made.id();
            let within = match hours {
                1 => "an hour".to_string(),
                hours => format!("{hours} hours"),
            };
            tell!(
                "This goes behind `{command}`, within {within}. `fabric token revoke {id}` takes it back."
            );
        }
        TokenCommand::List => {
            let rows = authority.tokens().list()?;
            print(&rows.iter().map(show).collect::<String>())?;
        }
        TokenCommand::Revoke { id } => {
            if !authority.tokens().revoke(id.parse()?, SystemTime::now())? {
                return Err(
                    format!("there is no token {id}: `fabric token list` lists them").into(),
                );
            }
        }
    }
    Ok(())
}

fn show(row: &TokenRow) -> String {
    let left = row.expires.duration_since(SystemTime::now());
    let state = match (row.is_revoked, left) {
        (true, _) => "revoked".to_string(),
        (false, Err(_)) => "expired".to_string(),
        (false, Ok(left)) => format!("{} min left", left.as_secs() / 60),
    };
    format!("{}  {:4}  {state}\n", row.id, row.role)
}

fn authority(state: &Path) -> Result<Authority> {
    let place = head::authority(state);
    if !place.exists() {
        return Err(no_master(state)); // Opened, it would be made.
    }
    let dir = StateDir::open(&place)?;
    match Authority::exists(&dir)? {
        true => Ok(Authority::open_any(&dir, SystemTime::now())?),
        false => Err(no_master(state)),
    }
}

fn member(state: &Path, role: Role) -> Result<Identity> {
    let place = head::place(state, role);
    if !place.exists() {
        return Err(no_master(state));
    }
    let dir = StateDir::open(&place)?;
    Identity::load(&dir)?.ok_or_else(|| no_master(state))
}

fn no_master(state: &Path) -> Box<dyn Error> {
    let state = state.display();
    format!(
        "no `fabric master` has ever run with {state}: type this on the head, or say --state DIR"
    )
    .into()
}

fn nodes(state: &Path) -> Result<()> {
    match ask(state, &Ask::Nodes)? {
        Answer::Nodes(nodes) => print(&node_table(&nodes)),
        other => Err(format!("the master answers {other:?}").into()),
    }
}

fn drain(node: &str, on: bool, state: &Path) -> Result<()> {
    let node = node.to_string();
    match ask(state, &Ask::Drain { node, on })? {
        Answer::Done => Ok(()),
        Answer::Refused { why, .. } => Err(why.into()),
        other => Err(format!("the master answers {other:?}").into()),
    }
}

/// Asks the master on this machine, as its administrator.
fn ask(state: &Path, ask: &Ask) -> Result<Answer> {
    let mut identity = member(state, Role::Administrator)?;
    if identity.is_renewal_due(SystemTime::now()) {
        let dir = StateDir::open(&head::place(state, Role::Administrator))?;
        let (role, now) = (Role::Administrator, SystemTime::now());
        let (name, address) = (&identity.subject.name, &identity.address);
        identity = authority(state)?.own_identity(&dir, role, name, address, now)?;
    }
    let deadline = Instant::now() + PATIENCE;
    let connector = Connector::member(&identity)?;
    let mut client = Client::connect(&identity.address, &connector, deadline).map_err(|error| {
        let address = &identity.address;
        format!("no master answers at {address}: {error}; is `fabric master` running?")
    })?;
    client.send(Ask::Hello { version: VERSION }.encode(), deadline)?;
    match Answer::decode(&client.recv(deadline)?)? {
        Answer::Hello { .. } => {}
        Answer::Refused { why, .. } => return Err(why.into()),
        other => return Err(format!("the master answers {other:?}").into()),
    }
    client.send(ask.encode(), deadline)?;
    Ok(Answer::decode(&client.recv(deadline)?)?)
}

/// A list; a reader that has seen enough of it is a quiet end.
fn print(list: &str) -> Result<()> {
    match io::stdout().write_all(list.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// How long a master may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The port of a node's data, as in every example.
const NODE_PORT: u16 = 9999;
