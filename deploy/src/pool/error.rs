//! Why a call has no result.

use crate::spawn_error::SpawnError;
use deploy_wire::exit::ExitStatus;
use std::{fmt, time::Duration};

/// What a call on a pool comes to: what the function returned, or why there is nothing.
pub type DistributedResult<T> = Result<T, DistributionError>;

/// Why a call on a pool has no result.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum DistributionError {
    /// The worker that ran the call ended, and so did each one that the call was repeated on.
    Died {
        /// How the last of them ended.
        status: ExitStatus,
        /// How many of them ended.
        deaths: u32,
    },
    /// The connection to the worker that ran the call broke.
    Lost(String),
    /// The function panicked. It is not repeated.
    Panicked {
        /// The panic's words.
        message: String,
        /// The source file.
        file: String,
        /// The line in it.
        line: u32,
    },
    /// The function ran for longer than it may, and its worker was killed. It is not repeated.
    TimedOut(Duration),
    /// There is no worker, and none could be started.
    Refused(SpawnError),
    /// An argument or the result could not be encoded or decoded; the text is the codec's.
    Codec(String),
}

impl std::error::Error for DistributionError {}

impl fmt::Display for DistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DistributionError::Died {
                status,
                deaths: 0 | 1,
            } => write!(f, "the worker that ran it ended: {status}"),
            DistributionError::Died { status, deaths } => write!(
                f,
                "the worker that ran it ended: {status}; it was tried {deaths} times"
            ),
            DistributionError::Lost(why) => write!(f, "the worker that ran it is lost: {why}"),
            DistributionError::Panicked {
                message,
                file,
                line,
            } => write!(f, "it panicked at {file}:{line}: {message}"),
            DistributionError::TimedOut(limit) => write!(f, "it ran for more than {limit:?}"),
            DistributionError::Refused(why) => write!(f, "no worker could be started: {why}"),
            DistributionError::Codec(why) => write!(f, "it could not be coded: {why}"),
        }
    }
}
