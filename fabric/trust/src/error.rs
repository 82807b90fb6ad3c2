//! What can go wrong with a session, in sentences for people.
//!
//! Nothing is done about it here: after any of these but a [`SendError`] a session is over.

use crate::{
    framing::Message,
    limits::{HANDSHAKE, MESSAGE_BYTES_MAX},
};
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::{io, time::Duration};

/// Why a session ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer said goodbye.
    #[error("the other side has ended the connection")]
    Closed,
    /// The connection ended without goodbye.
    #[error("the connection was cut: {0}")]
    Cut(io::Error),
    /// Nothing answers there.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// It took too long to say who it is.
    #[error("the other side did not say who it is within {} s", HANDSHAKE.as_secs())]
    TooSlow,
    /// Both speak, but not the same version.
    #[error(
        "this side speaks version {ours} (release {}), the other version {theirs} (release {release}): bring both to \
         the same release",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// Our version.
        ours: u32,
        /// Its version.
        theirs: u32,
        /// Its release.
        release: String,
    },
    /// We do not believe the peer's certificate.
    #[error("the other side cannot be trusted: {0}")]
    Untrusted(Distrust),
    /// The peer does not believe ours.
    #[error("the other side refuses: {0}")]
    Refused(Distrust),
    /// It speaks something else, or wrongly.
    #[error("the other side does not speak this protocol: {0}")]
    Protocol(String),
    /// More than is allowed.
    #[error(
        "the other side announced a message of {len} bytes, and at most {max} are allowed here"
    )]
    TooLong {
        /// As announced.
        len: u32,
        /// As allowed.
        max: u32,
    },
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// Another authority signed it.
    #[error("the certificate belongs to another cluster")]
    OtherCluster,
    /// Its time has not begun by the clock here: that one is behind, or the other side's was ahead.
    #[error(
        "by this machine's clock its certificate counts only in {}: set that clock, or the other side's",
        about(*.wait)
    )]
    TooEarly {
        /// How long that is.
        wait: Duration,
    },
    /// Its time is over by the clock here. A master's never is by its own.
    #[error(
        "by this machine's clock its certificate has ended {} ago: set that clock, or the other side's",
        about(*.since)
    )]
    TooLate {
        /// How long ago that was.
        since: Duration,
    },
    /// The other side says so of ours: its time is over, or one of the clocks is wrong.
    #[error(
        "the certificate has expired, or a clock is wrong: if the clocks are right, join again with a new token"
    )]
    Expired,
    /// The master took it back.
    #[error("the certificate was revoked: join again with a new token")]
    Revoked,
    /// It is for another role.
    #[error("the certificate is for another role")]
    OtherRole,
    /// It showed none, where strangers are not heard.
    #[error("no certificate was shown: join first")]
    NoCertificate,
    /// Anything else.
    #[error("the certificate is not valid")]
    Invalid,
}

/// A message that was not taken, because too much waits to be sent or it is too long.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Wait until [`Session::is_full`](crate::session::Session::is_full) says no.
    #[error("too much waits to be sent")]
    Full(Message),
    /// It never fits.
    #[error("a message has at most {MESSAGE_BYTES_MAX} bytes")]
    TooLong(Message),
}

impl From<TlsError> for SessionError {
    fn from(error: TlsError) -> SessionError {
        match error {
            TlsError::InvalidCertificate(reason) => SessionError::Untrusted(reason.into()),
            TlsError::NoCertificatesPresented => SessionError::Untrusted(Distrust::NoCertificate),
            TlsError::AlertReceived(alert) => match Distrust::told_by(alert) {
                Some(reason) => SessionError::Refused(reason),
                None => SessionError::Protocol(error.to_string()),
            },
            other => SessionError::Protocol(other.to_string()),
        }
    }
}

impl From<CertificateError> for Distrust {
    fn from(reason: CertificateError) -> Distrust {
        match reason {
            CertificateError::NotValidYetContext { time, not_before } => Distrust::TooEarly {
                wait: Duration::from_secs(not_before.as_secs().saturating_sub(time.as_secs())),
            },
            CertificateError::ExpiredContext { time, not_after } => Distrust::TooLate {
                since: Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs())),
            },
            CertificateError::Revoked => Distrust::Revoked,
            CertificateError::UnknownIssuer => Distrust::OtherCluster,
            CertificateError::ApplicationVerificationFailure => Distrust::OtherRole,
            _ => Distrust::Invalid,
        }
    }
}

impl Distrust {
    /// The reason behind an alert, as `verify.rs` gives it.
    fn told_by(alert: AlertDescription) -> Option<Distrust> {
        match alert {
            AlertDescription::CertificateExpired => Some(Distrust::Expired),
            AlertDescription::CertificateRevoked => Some(Distrust::Revoked),
            AlertDescription::UnknownCA => Some(Distrust::OtherCluster),
            AlertDescription::AccessDenied => Some(Distrust::OtherRole),
            AlertDescription::CertificateRequired => Some(Distrust::NoCertificate),
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnsupportedCertificate => Some(Distrust::Invalid),
            _ => None,
        }
    }
}

/// So much that a person sees what may be wrong with a clock: a summer time, a day, or all since 1970.
fn about(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
