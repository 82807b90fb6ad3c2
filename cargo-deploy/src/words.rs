//! What a word of the command line is taken for: the name of a command, or one that a cluster may be saved under.
//!
//! Deliberately absent: the grammar (`cli.rs`), which is asked for the commands.

use crate::cli::{Cli, LOCAL};
use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;

/// The command whose name is like this word, if there is one.
pub fn similar_command(word: &str) -> Option<String> {
    // Clap knows, but does not say so where a word may be a target.
    let alone = clap::Command::new("cargo-deploy")
        .no_binary_name(true)
        .subcommands(Cli::command().get_subcommands().cloned());
    let error = alone.try_get_matches_from([word]).err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        ContextValue::String(name) => Some(name.clone()),
        // The most similar is the last.
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}

/// A name for a cluster, by which a target can mean it.
pub fn cluster_name(word: &str) -> Result<String, String> {
    match word {
        LOCAL => Err(format!("`{LOCAL}` is this machine: take another name")),
        word if is_command(word) => Err(format!(
            "`{word}` is a command of cargo deploy: take another name"
        )),
        word => Ok(word.to_string()),
    }
}

/// The error about these words, which may be of arguments of a program that stand where none is expected.
pub fn advised(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let words = words.iter().take_while(|word| *word != "--");
    let is_run = !words.filter_map(|word| word.to_str()).any(is_command);
    if let (true, ErrorKind::UnknownArgument, Some(ContextValue::String(word))) = (
        is_run,
        error.kind(),
        error.get(ContextKind::InvalidArg).cloned(),
    ) && !word.starts_with('-')
    {
        let tip = format!("arguments of the program stand behind `--`, as in `-- {word}`");
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn is_command(word: &str) -> bool {
    let mut command = Cli::command();
    command.build(); // Only now there is `help`.
    command.find_subcommand(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_word_that_is_like_a_command_is_known() {
        let check = |word, expected: Option<&str>| {
            assert_eq!(similar_command(word).as_deref(), expected, "{word}");
        };
        check("psx", Some("ps"));
        check("hlep", Some("help"));
        check("atach", Some("attach"));
        check("two", None);
        check("input.txt", None);
    }

    #[test]
    fn arguments_that_stand_with_the_target_are_told_their_place() {
        let check = |line: &str, expected: bool| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = Cli::try_parse_from(&words).unwrap_err();
            let told = advised(error, &words[1..]).to_string();
            assert_eq!(told.contains("stand behind `--`"), expected, "{told}");
        };
        check("cargo-deploy lab:1 --bin x a b c", true);
        check("cargo-deploy --bin x a b c", true);
        check("cargo-deploy lab:1 a -- ps", true);
        check("cargo-deploy lab:1 --no-such-flag", false);
        check("cargo-deploy ps lab stray", false);
        check("cargo-deploy lab ps", false);
    }

    #[test]
    fn a_cluster_has_no_name_that_means_something_else() {
        for word in ["ps", "login", "man", "completions", "help"] {
            let why = cluster_name(word).unwrap_err();
            assert!(why.contains("is a command of cargo deploy"), "{why}");
        }
        let why = cluster_name("local").unwrap_err();
        assert!(why.contains("is this machine"), "{why}");
        for word in ["lab", "psx", "local-1"] {
            assert_eq!(cluster_name(word).as_deref(), Ok(word));
        }
    }
}
