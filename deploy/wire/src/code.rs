//! The exit codes that are Deploy's own, where no process of the program decided one.
//!
//! A program's own codes pass through, a signal N gives 128 + N, and 101 is a panic, or a build that failed.

/// Why Deploy itself ended a program, or did not start it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OwnCode {
    /// Something that should not happen, told on standard error.
    Internal = 70,
    /// The machine could not start or watch the initial process.
    Launch = 71,
    /// The initial process asks for more than any machine has: it never fits.
    NeverFits = 72,
    /// The initial process asks for more than is free now: later it may fit.
    NoRoom = 73,
    /// What the processes wrote could not be written on, for another reason than a reader that had seen enough.
    Output = 74,
    /// The cluster cannot be reached, or the connection to it broke while the job ran.
    Connection = 75,
    /// A setting, in the environment or on the command line, that says nothing we know.
    Setting = 78,
}

impl OwnCode {
    /// The number that the shell sees.
    pub const fn number(self) -> i32 {
        self as i32
    }
}
