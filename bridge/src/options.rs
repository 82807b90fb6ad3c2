//! What the person chose, read once from plain values: no environment is read here and no descriptor looked at.

use crate::style::wants_colour;
use std::ffi::OsString;

/// How a job is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// For people or for programs.
    pub format: Format,
    /// What the two descriptors are.
    pub layout: Layout,
}

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Headers, lines and notes.
    Human,
    /// The same without headers, identical lines of several processes shown once.
    Folded,
    /// One JSON object a line, on standard output.
    Json,
    /// What processes write, and nothing else.
    Plain,
}

/// What standard output and standard error are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// They are the same terminal or file.
    pub together: bool,
    /// Standard output.
    pub stdout: Destination,
    /// Standard error.
    pub stderr: Destination,
}

/// What one of them is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destination {
    /// A terminal, rather than a pipe or a file.
    pub terminal: bool,
    /// Headers and notes on it are coloured.
    pub colour: bool,
}

impl Options {
    /// What `DEPLOY_FORMAT`, `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`, looked up by `get`, say about
    /// descriptors 1 and 2 that are terminals or not, and one and the same file or not.
    pub fn from_env(
        get: impl Fn(&str) -> Option<OsString>,
        stdout_terminal: bool,
        stderr_terminal: bool,
        together: bool,
    ) -> Result<Options, UnknownFormat> {
        let format = match get("DEPLOY_FORMAT") {
            None => Format::Human,
            Some(word) if word.is_empty() || word == "human" => Format::Human,
            Some(word) if word == "fold" => Format::Folded,
            Some(word) if word == "json" => Format::Json,
            Some(word) => return Err(UnknownFormat { word }),
        };
        let is_dumb = get("TERM").is_some_and(|term| term == "dumb");
        let destination = |terminal| Destination {
            terminal,
            colour: wants_colour(
                get("NO_COLOR").as_deref(),
                get("CLICOLOR").as_deref(),
                get("CLICOLOR_FORCE").as_deref(),
                terminal && !is_dumb,
            ),
        };
        let layout = Layout {
            together,
            stdout: destination(stdout_terminal),
            stderr: destination(stderr_terminal),
        };
        Ok(Options { format, layout })
    }
}

/// `DEPLOY_FORMAT` holds a word that we do not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "DEPLOY_FORMAT is {word:?}: set it to \"human\" (which it is if not set), to \"fold\" (identical lines once) or to \"json\" (one object a line)"
)]
pub struct UnknownFormat {
    word: OsString,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<Options, UnknownFormat> {
        let get = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Options::from_env(get, true, false, false)
    }

    #[test]
    fn the_environment_chooses() {
        let plain = options(&[]).unwrap();
        assert_eq!(plain.format, Format::Human);
        assert!(plain.layout.stdout.colour && !plain.layout.stderr.colour);
        let json = options(&[("DEPLOY_FORMAT", "json"), ("NO_COLOR", "1")]).unwrap();
        assert_eq!(json.format, Format::Json);
        assert!(!json.layout.stdout.colour);
        assert_eq!(options(&[("DEPLOY_FORMAT", "human")]).unwrap(), plain);
        let dumb = options(&[("TERM", "dumb")]).unwrap();
        assert!(!dumb.layout.stdout.colour && dumb.layout.stdout.terminal);
        let forced = options(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]).unwrap();
        assert!(forced.layout.stdout.colour);
        let folded = options(&[("DEPLOY_FORMAT", "fold")]).unwrap();
        assert_eq!(folded.format, Format::Folded);
    }

    #[test]
    fn an_unknown_format_is_told_what_there_is() {
        let error = options(&[("DEPLOY_FORMAT", "xml")])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("DEPLOY_FORMAT is \"xml\": set it to \"human\""),
            "{error}"
        );
    }
}
