//! Daemons that a test starts, on an address of the loopback that nobody else has, with their state in a directory that
//! goes with them.

use deploy_tests::daemon::Daemon;
use deploy_trust::{
    authority::Authority,
    client::{Client, ClientError},
    endpoint::Connector,
    identity::Identity,
    state::StateDir,
    subject::{Name, Role},
};
use deploy_wire::client::{Answer, Ask, Digest, RunRequest, VERSION};
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;

/// A master with its own node, and a place for more.
pub struct Cluster {
    pub master: Daemon,
    pub node_token: String,
    pub user_token: String,
    host: String,
    dir: TempDir,
    /// Whom the daemons are to run as, if not as this test.
    user: Option<u32>,
}

impl Cluster {
    /// With a master that is ready.
    pub fn start() -> Cluster {
        Cluster::start_with("")
    }

    /// The same, with more words for `fabric master`.
    pub fn start_with(words: &str) -> Cluster {
        Cluster::start_as(None, words)
    }

    /// The same, of daemons that have no rights.
    pub fn start_unprivileged() -> Cluster {
        let is_root = nix::unistd::geteuid().is_root();
        Cluster::start_as(is_root.then_some(NOBODY), "")
    }

    fn start_as(user: Option<u32>, words: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        // The users of jobs have to get through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        chown(dir.path(), user, user).unwrap();
        let host = any_host();
        let all = format!("1GiB 1 bridge {host}:8888 {words}");
        let mut cluster = Cluster {
            master: master(&host, dir.path(), user, &all),
            node_token: String::new(),
            user_token: String::new(),
            host,
            dir,
            user,
        };
        let last = |line: String| line.split(' ').next_back().unwrap().to_string();
        cluster.node_token = last(cluster.master.expect("fabric join "));
        cluster.user_token = last(cluster.master.expect("cargo deploy login "));
        cluster.master.expect(" is up");
        cluster
    }

    /// The address of the master's door for nodes.
    pub fn nodes_door(&self) -> String {
        format!("{}:9999", self.host)
    }

    /// The address of the bridge.
    pub fn bridge(&self) -> String {
        format!("{}:8888", self.host)
    }

    /// Where a node's daemon listens.
    pub fn data_port(&self, node: u16) -> String {
        format!("{}:{}", self.host, 9000 + node)
    }

    /// The state directory of this daemon; the master's is `head`.
    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a state directory, as a daemon would.
    pub fn make_state(&self, name: &str) {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o711).create(self.state(name)).unwrap();
    }

    /// Starts a node with these words behind its state directory.
    pub fn serve(&self, name: &str, words: &[&str]) -> Daemon {
        Daemon::start_orderly(&mut fabric(&self.state(name), self.user, words))
    }

    /// Runs `fabric` on the head to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.run_at("head", words)
    }

    /// Runs `fabric` to its end where this daemon is.
    pub fn run_at(&self, name: &str, words: &[&str]) -> Output {
        fabric(&self.state(name), self.user, words)
            .output()
            .unwrap()
    }

    /// What `fabric` says on the head, if all is well.
    pub fn say(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What signs here.
    pub fn authority(&self) -> Authority {
        let dir = StateDir::open(&self.state("head").join("authority")).unwrap();
        Authority::open(&dir, SystemTime::now()).unwrap()
    }

    /// A member whose certificate was signed at this time.
    pub fn identity(&self, role: Role, name: &str, signed: SystemTime) -> Identity {
        let address = match role {
            Role::Node => self.nodes_door(),
            _ => self.bridge(),
        };
        let authority = self.authority();
        let name = Name::like(name);
        authority.identity(role, &name, &address, signed).unwrap()
    }

    /// Kills the master, and nothing else.
    pub fn kill_master(&mut self) {
        self.master.kill();
    }

    /// Starts it again, with these words behind the usual ones.
    pub fn start_master(&mut self, words: &str) {
        self.start_master_with("1GiB 1", words);
    }

    /// The same, and it is to give so much.
    pub fn start_master_with(&mut self, capacity: &str, words: &str) {
        let words = format!("{capacity} bridge {}:8888 {words}", self.host);
        self.master = master(&self.host, self.dir.path(), self.user, &words);
    }

    /// Has the next master be at another address.
    pub fn move_away(&mut self) {
        self.host = any_host();
    }

    /// What happened here, as the master has written it down.
    pub fn audit(&self) -> String {
        fs::read_to_string(self.state("head").join("audit.jsonl")).unwrap()
    }

    /// The first line about such an event there, once there is one: it is written while the daemons go on.
    pub fn audited(&self, event: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let audit = self.audit();
            let whole = audit
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
            if let Some(line) = lines.find(|line| line["event"] == event) {
                return line;
            }
            assert!(Instant::now() < deadline, "{event} is not in {audit}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A session of a client that has said hello.
pub fn greeted(identity: &Identity) -> Client {
    let mut client = connect(identity, &identity.address).unwrap();
    let answer = ask(&mut client, &Ask::Hello { version: VERSION }).unwrap();
    assert!(matches!(answer, Answer::Hello { .. }), "{answer:?}");
    client
}

/// A session with whoever listens there.
pub fn connect(identity: &Identity, address: &str) -> Result<Client, ClientError> {
    let connector = Connector::member(identity)?;
    Client::connect(address, &connector, Instant::now() + PATIENCE)
}

/// What a client wants run where it says no more of it: this program, with these words, its own name first.
pub fn request(image: Digest, words: &[&str]) -> RunRequest {
    RunRequest {
        image,
        worker: "test".to_string(),
        args: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: Vec::new(),
        resources: None,
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        is_detached: false,
        files: None,
        is_here: false,
    }
}

/// Asks and waits for the answer.
pub fn ask(client: &mut Client, ask: &Ask) -> Result<Answer, ClientError> {
    let deadline = Instant::now() + PATIENCE;
    client.send(ask.encode(), deadline)?;
    Ok(Answer::decode(&client.recv(deadline)?).unwrap())
}

/// The processes that this one has started.
pub fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let numbers = lists.iter().flat_map(|list| list.split_whitespace());
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// An address of the loopback that nobody else has.
fn any_host() -> String {
    let random = deploy_sys::random::bits().unwrap() as u32;
    let [a, b, c, _] = random.to_le_bytes();
    format!("127.{a}.{b}.{}", 1 + c % 254)
}

fn master(host: &str, dir: &Path, user: Option<u32>, words: &str) -> Daemon {
    let words = format!("master {host}:9999 {words}");
    let words: Vec<&str> = words.split_whitespace().collect();
    Daemon::start_orderly(&mut fabric(&dir.join("head"), user, &words))
}

fn fabric(state: &Path, user: Option<u32>, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fabric"));
    command.args(words).arg("--state").arg(state);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

/// A user that has nothing.
const NOBODY: u32 = 65_534;

/// What has not happened by now never will.
pub const PATIENCE: Duration = Duration::from_secs(20);
