//! Man pages and shell completions of `cargo deploy` and `fabric`, made from what their command lines say, by the commands
//! themselves: so whoever packages them needs nothing else.
//!
//! Deliberately absent: where a system keeps them. Whoever installs them says that.

use clap::{Args, Command, Subcommand};
pub use clap_complete::Shell;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The subcommands by which a command gives them away.
#[derive(Subcommand, Debug)]
pub enum Manual {
    /// Print what a shell needs to complete this command.
    Completions {
        /// For which one.
        shell: Shell,
    },
    /// Write the man pages of this command and of all its subcommands.
    Man(Man),
}

/// Where to.
#[derive(Args, Debug)]
pub struct Man {
    /// A directory, which is made if there is none, such as ~/.local/share/man/man1.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Manual {
    /// Prints or writes it, for this command, which people call by its name in files (`cargo-deploy`).
    ///
    /// # Errors
    /// If that cannot be written; a reader that has seen enough is none.
    pub fn give(&self, mut command: Command) -> io::Result<()> {
        let name = command.get_name().to_string();
        // Cargo shows the two words; files have the one.
        command = command.bin_name(&name);
        match self {
            Manual::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut command, &name, &mut text);
                if (*shell, name.as_str()) == (Shell::Bash, BEHIND_CARGO) {
                    text = behind_cargo(&text);
                }
                match io::stdout().write_all(&text) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    written => written,
                }
            }
            Manual::Man(man) => pages(command, &man.dir),
        }
    }
}

fn pages(command: Command, dir: &Path) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(named)?;
    let version = command.get_version().unwrap_or_default();
    let source = format!("{} {version}", command.get_name());
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages_of(&command, &source, dir).map_err(named)
}

/// The page of a command and those of its subcommands, at whose foot stands what they are of.
fn pages_of(command: &Command, source: &str, dir: &Path) -> io::Result<()> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for subcommand in shown {
        pages_of(subcommand, source, dir)?;
    }
    let page = clap_mangen::Man::new(command.clone()).source(source);
    page.generate_to(dir).map(drop)
}

/// The script for bash, which begins with the name of its function, and what makes that cargo's too.
fn behind_cargo(script: &[u8]) -> Vec<u8> {
    // The generator takes the hyphen in the name for the end of a command at one place, and not at the other.
    let script = String::from_utf8_lossy(script).replace("cargo__subcmd__deploy", "cargo__deploy");
    let function = script.split('(').next().unwrap_or_default();
    let rest = BASH_BEHIND_CARGO.replace("FUNCTION", function);
    (script + &rest).into_bytes()
}

/// What cargo calls.
const BEHIND_CARGO: &str = "cargo-deploy";

/// Bash asks cargo's own completion for all that stands behind `cargo`, and that knows no other subcommands than its own.
/// So what stands behind `cargo deploy` is asked of ours; the rest goes where it went.
const BASH_BEHIND_CARGO: &str = r#"
_cargo_with_deploy() {
    if [[ ${COMP_WORDS[1]} == deploy && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=(cargo-deploy "${COMP_WORDS[@]:2}")
        COMP_CWORD=$((COMP_CWORD - 1))
        FUNCTION cargo-deploy "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        return
    fi
    if ! declare -F _cargo >/dev/null && declare -F _completion_loader >/dev/null; then
        _completion_loader cargo
        complete -o bashdefault -o default -F _cargo_with_deploy cargo
    fi
    if declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}
complete -o bashdefault -o default -F _cargo_with_deploy cargo
"#;
