//! What stands between a person's terminal and the processes of a job. No loop, no poll and no process here: whoever
//! watches the processes hands their events to a [`Terminal`] and asks it what to do next.
//!
//! ```text
//! Event -> Family                              who lives, the exit code in the end, and the last word
//!       -> Human, Json or Plain -> Write -> a writer  what is shown, where, and by which thread
//! ```
//!
//! [`Family`], [`Human`] and [`Json`] are folds without clock or file. [`Terminal`] owns one of each kind that it needs
//! and a thread for each destination, because standard output and error are the person's own descriptors: they must
//! not be made non-blocking, so somebody has to block on them.

mod family;
mod fold;
mod human;
mod json;
mod lane;
mod last_word;
mod nodes;
mod options;
mod plain;
mod sanitise;
mod style;
mod table;
mod terminal;
mod writer;

pub use family::Family;
pub use human::Human;
pub use json::Json;
pub use lane::Write;
pub use last_word::LastWord;
pub use nodes::{duration, node_table};
pub use options::{Destination, Format, Layout, Options, UnknownFormat};
pub use plain::Plain;
pub use sanitise::harmless;
pub use style::wants_colour;
pub use table::table;
pub use terminal::{Broken, Terminal, Verdict};
