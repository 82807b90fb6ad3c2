//! `deploy.toml`: what a person does not want to say each time. The nearest one counts, of this directory and those above it,
//! so that one in a home directory is for all programs that have none of their own. What the command line says wins.
//!
//! ```toml
//! target = "lab"                     # where programs run if that is not said
//! env = ["RUST_LOG=info", "HOME"]    # as --env; and each of these as the flag of that name
//! files = ["data"]                   # as they lie below the directory of this file
//! mem = "2GiB"
//! cpu = 0.5
//! gpu = 1
//! format = "fold"
//! ```
//!
//! Deliberately absent: a second file that is merged with it, and flags of cargo, which has files of its own for them.

use crate::{
    cli::{self, FormatName, Given, Watched},
    failure::Failure,
    variable::Variable,
};
use deploy_wire::resources::{Cpu, Mem};
use serde::{
    Deserialize, Deserializer,
    de::{self, value::SeqAccessDeserializer},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::ErrorKind,
    marker::PhantomData,
    path::{Path, PathBuf},
};

/// What the file says; nothing, if there is none.
#[derive(Default, Debug)]
pub struct Settings {
    said: Said,
    /// Where it says that.
    path: PathBuf,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
struct Said {
    target: Option<String>,
    #[serde(default, deserialize_with = "variables")]
    env: Vec<Variable>,
    #[serde(default, deserialize_with = "list")]
    files: Vec<PathBuf>,
    #[serde(default, deserialize_with = "memory")]
    mem: Option<Mem>,
    #[serde(default, deserialize_with = "cores")]
    cpu: Option<Cpu>,
    #[serde(default, deserialize_with = "count")]
    gpu: Option<u32>,
    format: Option<FormatName>,
}

impl Settings {
    /// Looks for the file, from the directory that we are in upwards, and reads it.
    pub fn find() -> Result<Settings, Failure> {
        // Whoever is nowhere has none.
        let here = env::current_dir().unwrap_or_default();
        for directory in here.ancestors() {
            let path = directory.join(NAME);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Settings::read(&text, path),
                Err(error) if is_absence(error.kind()) => {}
                Err(error) => {
                    let why = format!("cannot read {}: {error}", path.display());
                    return Err(Failure::setting(why));
                }
            }
        }
        Ok(Settings::default())
    }

    fn read(text: &str, path: PathBuf) -> Result<Settings, Failure> {
        let said = toml::from_str(text).map_err(|error| {
            let why = error.to_string();
            Failure::setting(format!("{}: {}", path.display(), why.trim_end()))
        })?;
        Ok(Settings { said, path })
    }

    /// Where programs run if that is not said, and what says so.
    pub fn target(&self) -> Option<(&str, &Path)> {
        Some((self.said.target.as_deref()?, &self.path))
    }

    /// Adds what the command line leaves open.
    pub fn complete(&self, given: &mut Given) {
        let Said {
            env,
            files,
            mem,
            cpu,
            gpu,
            ..
        } = &self.said;
        let is_said = |name: &OsStr| given.env.iter().any(|variable| variable.name == name);
        let unsaid = env.iter().filter(|variable| !is_said(&variable.name));
        let unsaid: Vec<Variable> = unsaid.cloned().collect();
        given.env.splice(..0, unsaid);
        if given.files.is_empty() && !files.is_empty() {
            given.files = files.clone();
            given.files_root = self.path.parent().map(Path::to_path_buf);
        }
        let needs = &mut given.needs;
        needs.mem = needs.mem.or(*mem);
        needs.cpu = needs.cpu.or(*cpu);
        needs.gpu = needs.gpu.or(*gpu);
    }

    /// The word for how a job is shown: the flags', else the variable's, else the file's.
    pub fn format(&self, watched: &Watched) -> Option<OsString> {
        let own = || self.said.format.map(|format| format.word().into());
        watched.word().or_else(own)
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    // Above us there may be directories that only others can look into.
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

fn variables<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Variable>, D::Error> {
    let words: Vec<String> = list(from)?;
    let variable = |word: String| {
        Variable::parse(word.as_ref()).map_err(|why| de::Error::custom(format!("{word:?}: {why}")))
    };
    words.into_iter().map(variable).collect()
}

fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mem>, D::Error> {
    let text = amount(from)?;
    cli::memory(&text).map(Some).map_err(de::Error::custom)
}

fn cores<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cpu>, D::Error> {
    let text = amount(from)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let text = amount(from)?;
    let count = text.parse().map(Some);
    count.map_err(|_| de::Error::custom(format!("{text:?} is not a number of GPUs, as in 2")))
}

/// Words in brackets; whoever left those out reads what to write.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list of words, as in [\"one\", \"other\"]")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, words: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(words))
        }
    }
    from.deserialize_any(List(PhantomData))
}

/// An amount as people write it: a number, or a text with a unit.
fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    struct Amount;
    impl de::Visitor<'_> for Amount {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an amount, such as \"2GiB\" or 0.5")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_string())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E>(self, number: f64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    from.deserialize_any(Amount)
}

/// What it is called, wherever it lies.
pub const NAME: &str = "deploy.toml";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn read(text: &str) -> Result<Settings, String> {
        let path = "/home/ada/hello/deploy.toml".into();
        Settings::read(text, path).map_err(|failure| failure.to_string())
    }

    fn given(words: &str) -> Given {
        let words = ["cargo-deploy"].into_iter().chain(words.split_whitespace());
        Cli::parse_from(words).run.given
    }

    #[test]
    fn what_the_command_line_says_wins() {
        let text = "target = \"lab\"\nenv = [\"A=file\", \"B=file\", \"HOME\"]\nfiles = [\"data\"]\nmem = \"2GiB\"\ncpu = 0.5\ngpu = 1\nformat = \"fold\"\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.target().unwrap().0, "lab");
        let mut all = given("");
        settings.complete(&mut all);
        let names = |given: &Given| {
            let shown = |v: &Variable| format!("{:?}={:?}", v.name, v.value);
            given.env.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(&all),
            "\"A\"=Some(\"file\") \"B\"=Some(\"file\") \"HOME\"=None"
        );
        assert_eq!(all.files, [Path::new("data")]);
        assert_eq!(all.files_root.as_deref(), Some("/home/ada/hello".as_ref()));
        let resources = all.needs.resources().unwrap();
        assert_eq!((resources.mem, resources.gpu), (2 * Mem::GIB, 1));
        assert_eq!(resources.cpu, Cpu::CORE / 2);
        let mut some = given("lab --env B=flag --mem 1GiB --files other");
        settings.complete(&mut some);
        assert_eq!(
            names(&some),
            "\"A\"=Some(\"file\") \"HOME\"=None \"B\"=Some(\"flag\")"
        );
        assert_eq!((some.files.len(), some.files_root), (1, None));
        assert_eq!(some.needs.resources().unwrap().mem, Mem::GIB);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let check = |text: &str, expected: &[&str]| {
            let why = read(text).unwrap_err();
            for part in expected {
                assert!(why.contains(part), "{text}: {why}");
            }
        };
        check(
            "target = \"lab\"\n\nmemory = \"2GiB\"\n",
            &["/home/ada/hello/deploy.toml", "line 3", "`memory`", "`mem`"],
        );
        check("mem = \"lots\"\n", &["line 1", "lots"]);
        check("mem = 5\n", &["line 1", "\"5\" is not", "MiB"]);
        check("mem = \"5KiB\"\n", &["line 1", "5KiB", "at least 1MiB"]);
        check("cpu = true\n", &["line 1", "an amount"]);
        check(
            "gpu = 1.5\n",
            &["line 1", "\"1.5\" is not a number of GPUs"],
        );
        check("gpu = -1\n", &["line 1", "\"-1\" is not a number of GPUs"]);
        check(
            "\nenv = \"A=1\"\n",
            &["line 2", "expected a list of words, as in [\"one\""],
        );
        check(
            "files = \"data\"\n",
            &["line 1", "expected a list of words"],
        );
        check("files = [1]\n", &["line 1", "expected path string"]);
        check("format = \"xml\"\n", &["line 1", "`fold`"]);
        check("env = [\"1A=x\"]\n", &["line 1", "1A=x"]);
        check("env = [\"DEPLOY_BIRTH=3\"]\n", &["line 1", "Deploy's own"]);
        check("target = \n", &["line 1"]);
    }
}
