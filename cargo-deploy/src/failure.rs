//! Why `cargo deploy` itself could not do what it was asked, and the exit code for it.

use deploy_wire::code::OwnCode;
use std::io;

/// A sentence for the person, and the code that the shell sees.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    code: i32,
    why: String,
    is_refusal: bool,
}

impl Failure {
    /// The command line, the environment or what is saved says nothing that can be done.
    pub fn setting(why: impl ToString) -> Failure {
        Failure::own(OwnCode::Setting, why)
    }

    /// The program cannot be started.
    pub fn launch(why: impl ToString) -> Failure {
        Failure::own(OwnCode::Launch, why)
    }

    /// The cluster cannot be reached, or no longer.
    pub fn connection(why: impl ToString) -> Failure {
        Failure::own(OwnCode::Connection, why)
    }

    /// What there is to show cannot be written.
    pub fn output(error: &io::Error) -> Failure {
        let why = format!("standard output could not be written: {error}");
        Failure::own(OwnCode::Output, why)
    }

    /// Something that should not happen.
    pub fn internal(why: impl ToString) -> Failure {
        Failure::own(OwnCode::Internal, why)
    }

    /// The cluster says no, with a code of its own.
    pub fn refused(code: u8, why: String) -> Failure {
        Failure {
            code: code.into(),
            why,
            is_refusal: true,
        }
    }

    /// The same, and what led to it.
    pub fn because(self, what: &str) -> Failure {
        Failure {
            why: format!("{} ({what})", self.why),
            ..self
        }
    }

    /// Whether the cluster said no to what it was asked, and goes on listening.
    pub fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// What to exit with.
    pub fn code(&self) -> i32 {
        self.code
    }

    fn own(code: OwnCode, why: impl ToString) -> Failure {
        Failure {
            code: code.number(),
            why: why.to_string(),
            is_refusal: false,
        }
    }
}
