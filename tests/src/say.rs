//! One word for each way a channel or a process ends, for programs that print what they saw.

use deploy::{ChannelError, ExitStatus};

/// `closed`, `exited 3`, `exited SIGKILL`, `lost`, ..
pub fn end(error: &ChannelError) -> String {
    match error {
        ChannelError::Closed => "closed".into(),
        ChannelError::Exited(status) => format!("exited {}", self::status(status)),
        ChannelError::Lost(..) => "lost".into(),
        ChannelError::TypeMismatch { .. } => "type mismatch".into(),
        other => format!("failed: {other}"),
    }
}

/// `3`, `SIGKILL`
pub fn status(status: &ExitStatus) -> String {
    match (status.code(), status.signal_name()) {
        (Some(code), _) => code.to_string(),
        (None, Some(name)) => name,
        (None, None) => "neither code nor signal".into(),
    }
}
