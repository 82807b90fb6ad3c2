//! Why a call has no result.

use crate::error::{ExitStatus, SpawnError};
use std::time::Duration;
use thiserror::Error;

/// What a call on a pool comes to: what the function returned, or why there is nothing.
pub type DistributedResult<T> = Result<T, DistributionError>;

/// Why a call on a pool has no result.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// The worker that ran the call ended, and so did each one that the call was repeated on.
    #[error("the worker that ran it ended: {status}{}", times(*.deaths))]
    Died {
        /// How the last of them ended.
        status: ExitStatus,
        /// How many of them ended.
        deaths: u32,
    },
    /// The connection to the worker that ran the call broke.
    #[error("the worker that ran it is lost: {0}")]
    Lost(String),
    /// The function panicked. It is not repeated.
    #[error("it panicked at {file}:{line}: {message}")]
    Panicked {
        /// The panic's words.
        message: String,
        /// The source file.
        file: String,
        /// The line in it.
        line: u32,
    },
    /// The function ran for longer than it may, and its worker was killed. It is not repeated.
    #[error("it ran for more than {0:?}")]
    TimedOut(Duration),
    /// There is no worker, and none could be started.
    #[error("no worker could be started: {0}")]
    Refused(SpawnError),
    /// An argument or the result could not be encoded or decoded; the text is the codec's.
    #[error("it could not be coded: {0}")]
    Codec(String),
}

fn times(deaths: u32) -> String {
    match deaths {
        0 | 1 => String::new(),
        many => format!("; it was tried {many} times"),
    }
}
