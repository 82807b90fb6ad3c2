//! What the command line says. Deliberately absent: doing it.

mod address;

use address::{Wrong, resolve};
use clap::{Args, Parser, Subcommand, value_parser};
use deploy_manual::Manual;
use deploy_wire::resources::{Cpu, Mem};
use std::{iter::Peekable, net::SocketAddr, path::PathBuf};

/// The daemon of a Deploy cluster: a node on each machine, and the master on the head.
#[derive(Parser, Debug)]
#[command(
    name = "fabric",
    version,
    after_help = "A cluster in three lines:\n  \
        head$    fabric master 10.0.0.1:9999 bridge 10.0.0.1:8888\n  \
        node$    fabric join <NODE TOKEN>          (printed by the master)\n  \
        laptop$  cargo deploy login <USER TOKEN>   (printed by the master)"
)]
pub struct Cli {
    /// What to do; without it, serve as the node that this machine has joined as.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Serve as a node at this address, after `fabric join` was said once.
    #[command(flatten)]
    pub serve: Serve,
}

impl Cli {
    /// Makes sure that nothing stands before a command that would be forgotten.
    ///
    /// # Errors
    /// A sentence that says where it belongs.
    pub fn check(&self) -> Result<(), String> {
        let Serve {
            address,
            labels,
            insecure_no_auth,
            ..
        } = &self.serve;
        let is_nothing = address.is_none() && labels.labels.is_empty() && !insecure_no_auth;
        match self.command.is_none() || is_nothing {
            true => Ok(()),
            false => {
                Err("only --state may stand before a command: write the rest behind it".to_string())
            }
        }
    }
}

/// How to serve as a node.
#[derive(Args, Debug)]
pub struct Serve {
    /// Where other nodes reach this one's data port, such as 10.0.0.2:9999.
    #[arg(value_name = "ADDR", value_parser = address)]
    pub address: Option<SocketAddr>,
    /// How much memory it gives, such as 400GiB; measured, if left out.
    #[arg(value_name = "MEM", requires = "cpu")]
    pub mem: Option<Mem>,
    /// How many cores it gives, such as 34; measured, if left out.
    #[arg(value_name = "CPU")]
    pub cpu: Option<Cpu>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows them as the command's own help")]
    pub labels: Labels,
    /// Be a node of a cluster that everybody on this machine can use; refuses any address that is not of the loopback.
    #[arg(long)]
    pub insecure_no_auth: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows them as the command's own help")]
    pub state: State,
}

/// What else a node goes by than its name.
#[derive(Args, Clone, Debug)]
pub struct Labels {
    /// What programs may ask for in place of a node's name, such as gpu-box or disk=ssd; may be said several times. Like
    /// MEM and CPU it holds for this start.
    #[arg(long = "label", value_name = "NAME[=VALUE]", value_parser = label)]
    pub labels: Vec<String>,
}

/// Where the daemon keeps what it must not forget.
#[derive(Args, Clone, Debug)]
pub struct State {
    /// Where keys, certificates and programs are kept: /var/lib/fabric for root, else ~/.local/state/fabric. Give each
    /// its own, and several daemons can live on one machine.
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,
}

impl State {
    /// As it was said, to be repeated behind a command.
    pub fn said(&self) -> String {
        let dir = self.state.as_ref();
        dir.map_or(String::new(), |dir| format!(" --state {}", dir.display()))
    }
}

/// Something else than serving.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the cluster's master on this machine, and a node beside it.
    Master(Master),
    /// Make this machine a node of the cluster, and serve.
    Join {
        /// What `fabric master` has printed; `-` reads it from standard input, where no other user sees it.
        token: String,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        serve: Serve,
    },
    /// Tokens by which nodes and users join; on the head.
    Token {
        #[command(subcommand)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        what: TokenCommand,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// List the cluster's nodes; on the head.
    Nodes {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// Place nothing more on a node; on the head.
    Drain {
        /// Its name, as `fabric nodes` shows it.
        node: String,
        /// Place on it again.
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// List the cluster's nodes and users, and how long their certificates are good for; on the head.
    Members {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// Take a node or a user out of the cluster: its sessions end, and it can only join anew; on the head.
    #[command(alias = "revoke")]
    Remove {
        /// Its name, as `fabric members` shows it.
        name: String,
        /// `node` or `user`, where both have that name.
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// Leave the cluster that this machine is a node of. Its daemon ends, if it runs.
    Leave {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows them as commands of their own")]
    Manual(Manual),
    /// What a master starts for its own machine.
    #[command(hide = true)]
    HeadNode {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap shows them as the command's own help")]
        state: State,
    },
    /// What a node starts for each job.
    #[command(hide = true)]
    Warden {
        /// A directory to keep the job out of, but for where it is started.
        hidden: Option<PathBuf>,
    },
}

/// The master's own words, in the order of the seed: ADDR [MEM CPU] [bridge ADDR] [NODE_ADDR [MEM CPU]]...
#[derive(Args, Debug)]
pub struct Master {
    /// ADDR [MEM CPU] [bridge ADDR] [NODE_ADDR [MEM CPU]]...: where nodes reach the master; what this machine gives
    /// (measured, if left out); where people's clients reach it (the next port, if left out); nodes that are expected, and
    /// the most that each gives (what it has, if left out).
    #[arg(value_name = "ADDR", required = true, num_args = 1..)]
    pub words: Vec<String>,
    /// Let everybody on this machine use the cluster, as any user, without a secret. For trials: refuses any address that
    /// is not of the loopback.
    #[arg(long)]
    pub insecure_no_auth: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows them as the command's own help")]
    pub labels: Labels,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap shows them as the command's own help")]
    pub state: State,
}

/// What to do with tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token, by which nodes or users join.
    New {
        /// `node` or `user`.
        role: String,
        /// How long it is good for, in hours.
        #[arg(long, default_value_t = 24, value_parser = value_parser!(u64).range(1..=HOURS_MAX))]
        hours: u64,
        /// It is good for one join only.
        #[arg(long)]
        once: bool,
    },
    /// List the tokens, and how long they are good for.
    List,
    /// Let nobody join by a token any more; who has joined by it stays.
    Revoke {
        /// Its name, as `list` shows it.
        id: String,
    },
}

/// `fabric master`, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct MasterPlan {
    /// Where nodes reach the master, and other nodes the head's own data port.
    pub address: SocketAddr,
    /// What the head gives, if that was said.
    pub capacity: Option<(Mem, Cpu)>,
    /// Where clients reach it.
    pub bridge: SocketAddr,
    /// Nodes that were announced, and the most that each gives, if that was said.
    pub expected: Vec<(SocketAddr, Option<(Mem, Cpu)>)>,
    /// What the head goes by.
    pub labels: Vec<String>,
    /// Everybody on this machine may use it.
    pub is_insecure: bool,
    /// What other commands on this machine have to repeat to find the master's state.
    pub state_said: String,
}

impl Master {
    /// Makes sense of the words.
    ///
    /// # Errors
    /// A sentence that names the word and says what stands there.
    pub fn plan(&self) -> Result<MasterPlan, String> {
        let mut words = self.words.iter().map(String::as_str).peekable();
        let address = read(words.next(), resolve, ADDRESS)?;
        let capacity = amounts(&mut words)?;
        let mut bridge = None;
        if words.next_if(|word| *word == BRIDGE).is_some() {
            bridge = Some(read(words.next(), resolve, ADDRESS)?);
        }
        let mut expected = Vec::new();
        while let Some(word) = words.next() {
            let node = read(Some(word), resolve, NODE_ADDRESS)?;
            expected.push((node, amounts(&mut words)?));
        }
        let next = address.port().checked_add(1);
        let beside = next.map(|port| SocketAddr::new(address.ip(), port));
        let bridge = bridge.or(beside).ok_or(NO_NEXT_PORT)?;
        if bridge == address {
            return Err(format!(
                "{address} is said twice: nodes and people need a port each"
            ));
        }
        Ok(MasterPlan {
            address,
            capacity,
            bridge,
            expected,
            labels: self.labels.labels.clone(),
            is_insecure: self.insecure_no_auth,
            state_said: self.state.said(),
        })
    }
}

/// Memory and cores, unless what follows is something else.
fn amounts<'a>(
    words: &mut Peekable<impl Iterator<Item = &'a str>>,
) -> Result<Option<(Mem, Cpu)>, String> {
    // Only addresses have a colon.
    let is_amount = |word: &&str| *word != BRIDGE && !word.contains(':');
    let Some(mem) = words.next_if(is_amount) else {
        return Ok(None);
    };
    let mem = read(Some(mem), |word| word.parse().or(Err(Wrong::Form)), MEMORY)?;
    let cpu = read(
        words.next(),
        |word| word.parse().or(Err(Wrong::Form)),
        CORES,
    )?;
    Ok(Some((mem, cpu)))
}

fn read<T>(
    word: Option<&str>,
    parse: impl Fn(&str) -> Result<T, Wrong>,
    what: &str,
) -> Result<T, String> {
    let Some(word) = word else {
        return Err(format!("{what}, is missing at the end"));
    };
    parse(word).map_err(|wrong| match wrong {
        Wrong::Form => format!("{word:?} stands where {what}, belongs"),
        Wrong::Because(why) => why,
    })
}

/// It stands where a command may stand, so whoever mistyped one reads this too.
fn address(word: &str) -> Result<SocketAddr, String> {
    resolve(word).map_err(|wrong| match wrong {
        Wrong::Form => {
            "it is neither a command nor an address with a port, such as 10.0.0.2:9999".to_string()
        }
        Wrong::Because(why) => why,
    })
}

/// Makes sure of a label.
///
/// # Errors
/// A sentence that says what one looks like.
pub fn label(word: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:+".contains(c);
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let is_label = !name.is_empty()
        && word.len() <= LABEL_BYTES_MAX
        && [name, value].iter().all(|part| part.chars().all(is_plain));
    match is_label {
        true => Ok(word.to_string()),
        false => Err(format!(
            "{word:?} is no label: say a name, or name=value, of letters, digits and -_./:+, of {LABEL_BYTES_MAX} bytes at most"
        )),
    }
}

/// Ten years, longer than which nobody means.
const HOURS_MAX: u64 = 10 * 366 * 24;
const BRIDGE: &str = "bridge";
/// A table shows it.
const LABEL_BYTES_MAX: usize = 64;
const ADDRESS: &str = "an address with a port, such as 10.0.0.1:9999";
const NODE_ADDRESS: &str = "the address of a node, such as 10.0.0.2:9999";
const MEMORY: &str = "an amount of memory with its unit, such as 400GiB";
const NO_NEXT_PORT: &str =
    "no port follows 65535: say `bridge` and the address where people's clients reach the master";
const CORES: &str = "a number of cores, such as 34";

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<MasterPlan, String> {
        let cli = Cli::try_parse_from(["fabric", "master"].into_iter().chain(words.split(' ')));
        match cli.unwrap().command {
            Some(Command::Master(master)) => master.plan(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_state_directory_may_stand_anywhere() {
        let cases = [
            "fabric --state X",
            "fabric 10.0.0.2:9999 --state X",
            "fabric --state X 10.0.0.2:9999",
            "fabric --state X nodes",
            "fabric nodes --state X",
            "fabric --state=X token list",
            "fabric token --state X list",
            "fabric token list --state X",
            "fabric --state X master 10.0.0.1:9999",
            "fabric --state X join TOKEN 10.0.0.2:9999",
            "fabric join TOKEN --state X",
        ];
        for words in cases {
            let cli = Cli::try_parse_from(words.split(' '));
            let cli = cli.unwrap_or_else(|error| panic!("{words}: {error}"));
            cli.check().unwrap();
            let state = match &cli.command {
                None => &cli.serve.state,
                Some(Command::Master(master)) => &master.state,
                Some(Command::Join { serve, .. }) => &serve.state,
                Some(Command::Token { state, .. } | Command::Nodes { state }) => state,
                Some(other) => panic!("{words} is no {other:?}"),
            };
            assert_eq!(state.state.as_deref(), Some("X".as_ref()), "{words}");
        }
        for words in [
            "--insecure-no-auth nodes",
            "--label a nodes",
            "10.0.0.2:9999 nodes",
        ] {
            let cli = Cli::try_parse_from(format!("fabric {words}").split(' '));
            let error = cli.map(|cli| cli.check());
            assert!(!matches!(error, Ok(Ok(()))), "{words}");
        }
    }

    #[test]
    fn every_form_of_the_masters_words_is_understood() {
        let short = plan("10.0.0.1:9999").unwrap();
        assert_eq!(short.bridge, "10.0.0.1:10000".parse().unwrap());
        assert_eq!((short.capacity, short.expected.len()), (None, 0));
        let seed = "10.0.0.1:9999 400GiB 34 bridge 10.0.0.1:8888 10.0.0.2:9999 400GiB 34 10.0.0.3:9999 200GiB 0.5";
        let long = plan(seed).unwrap();
        assert_eq!(long.capacity, Some((400 * Mem::GIB, Cpu::CORE * 34)));
        assert_eq!(long.bridge, "10.0.0.1:8888".parse().unwrap());
        let amounts = (200 * Mem::GIB, Cpu::CORE / 2);
        let last = ("10.0.0.3:9999".parse().unwrap(), Some(amounts));
        assert_eq!(long.expected[1], last);
        let no_amounts =
            plan("localhost:9999 bridge localhost:8888 10.0.0.2:9999 10.0.0.3:9999 1GiB 1")
                .unwrap();
        assert_eq!(no_amounts.address, "127.0.0.1:9999".parse().unwrap());
        assert_eq!(no_amounts.bridge, "127.0.0.1:8888".parse().unwrap());
        assert_eq!(no_amounts.capacity, None);
        let second = ("10.0.0.2:9999".parse().unwrap(), None);
        assert_eq!(no_amounts.expected[0], second);
        assert_eq!(no_amounts.expected.len(), 2);
    }

    #[test]
    fn a_wrong_word_is_named() {
        let cases = [
            ("head", "\"head\" stands where an address with a port"),
            (
                "10.0.0.1:9999 lots 34",
                "\"lots\" stands where an amount of memory",
            ),
            (
                "10.0.0.1:9999 400GiB",
                "a number of cores, such as 34, is missing",
            ),
            ("10.0.0.1:9999 bridge", "is missing at the end"),
            (
                "10.0.0.1:9999 bridge 10.0.0.1:9999",
                "10.0.0.1:9999 is said twice",
            ),
            ("10.0.0.1:65535", "say `bridge`"),
            ("10.0.0.1:9999 bridge 10.0.0.1:0", "has the port 0"),
            (
                "10.0.0.1:9999 bridge 10.0.0.1:8888 10.0.0.2:9999 node3",
                "\"node3\" stands where an amount of memory",
            ),
        ];
        for (words, sentence) in cases {
            let error = plan(words).unwrap_err();
            assert!(error.contains(sentence), "{words}: {error}");
        }
    }

    #[test]
    fn labels_are_names_with_or_without_a_value() {
        for word in ["gpu-box", "disk=ssd", "rack=7/b", "a="] {
            assert_eq!(label(word).as_deref(), Ok(word));
        }
        for word in ["", "=ssd", "a b", "a=b=c", "a,b", &"x".repeat(65)] {
            assert!(label(word).unwrap_err().contains("is no label"), "{word}");
        }
        let words = ["fabric", "join", "TOKEN", "--label", "gpu", "--label=a=b"];
        let Some(Command::Join { serve, .. }) = Cli::try_parse_from(words).unwrap().command else {
            panic!("it is a join");
        };
        assert_eq!(serve.labels.labels, ["gpu", "a=b"]);
    }

    #[test]
    fn a_node_needs_no_command() {
        let cli = Cli::try_parse_from(["fabric", "10.0.0.2:9999"]).unwrap();
        assert_eq!(cli.serve.address, Some("10.0.0.2:9999".parse().unwrap()));
        assert!(Cli::try_parse_from(["fabric", "10.0.0.2"]).is_err());
    }
}
