//! What this program's two streams are, and what the person wants to see on them.
//!
//! Deliberately absent: writing to them.

use crate::{failure::Failure, files};
use deploy_bridge::{Format, Options};
use deploy_sys::fd;
use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    os::fd::AsFd,
    path::PathBuf,
};

/// Both, and how they are to look.
pub struct Screen {
    /// The format, and how wide and colourful it is.
    pub options: Options,
    /// Whether standard output and standard error are terminals.
    pub terminals: (bool, bool),
    /// Below which what each process prints has files of its own, if anywhere.
    pub directory: Option<PathBuf>,
}

impl Screen {
    /// Looks at them. `format` is the word for human or JSON, if one was said.
    pub fn new(format: Option<OsString>) -> Result<Screen, Failure> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let terminals = (stdout.is_terminal(), stderr.is_terminal());
        let together = fd::same_file(stdout.as_fd(), stderr.as_fd());
        let look_up = |name: &str| match name {
            "DEPLOY_FORMAT" => format.clone(),
            name => env::var_os(name),
        };
        let options = Options::from_env(look_up, terminals.0, terminals.1, together)
            .map_err(Failure::setting)?;
        Ok(Screen {
            options,
            terminals,
            directory: None,
        })
    }

    /// The same, and what each process prints goes to files in this directory too, if there is one.
    pub fn with_files(mut self, directory: Option<PathBuf>) -> Result<Screen, Failure> {
        directory.as_deref().map_or(Ok(()), files::prepare)?;
        self.directory = directory;
        Ok(self)
    }

    /// The same, but that an ordinary program is shown to a person as if it ran here.
    pub fn for_ordinary(mut self) -> Screen {
        if self.options.format != Format::Json {
            self.options.format = Format::Plain;
        }
        self
    }

    /// Whether a person reads what goes to standard error, and not a program.
    pub fn is_for_a_person(&self) -> bool {
        self.terminals.1 && matches!(self.options.format, Format::Human | Format::Folded)
    }
}
