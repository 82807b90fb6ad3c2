//! What the loop watches, and the number under which the poll knows it.
//!
//! Deliberately absent: what follows from an event, which is `run.rs`.

use deploy_wire::event::Stream;
use mio::Token;

/// One thing that the loop watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    /// What wakes the loop from another thread.
    Waker,
    /// Signals.
    Signals,
    /// The end of the spare.
    Spare,
    /// The socket to a head that is elsewhere.
    Head,
    /// The initial process's standard input.
    Input,
    /// A source of the process with this number.
    Process(u32, Source),
    /// A relayed connection, by its channel.
    Relay(u32),
    /// A connection that is being made, counted from the first one on.
    Greeting(usize),
    /// A line to another machine, counted in the same way.
    Line(usize),
}

/// What is read of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    /// Its end.
    Process,
    /// The socket on which it asks.
    Control,
    /// What it writes.
    Output(Stream),
}

impl Watched {
    /// What is watched under this token.
    pub(crate) fn of(token: Token) -> Watched {
        let Token(token) = token;
        if let Some(known) = ALONE.iter().find(|alone| alone.token() == Token(token)) {
            return *known;
        }
        match token {
            GREETINGS.. => Watched::Greeting(token - GREETINGS),
            RELAYS.. => Watched::Relay((token - RELAYS) as u32),
            LINES.. => Watched::Line(token - LINES),
            _ => {
                let number = u32::try_from(token / SOURCES.len());
                let number = number.expect("a token below the lines' is made from a number");
                Watched::Process(number, SOURCES[token % SOURCES.len()])
            }
        }
    }

    /// The token for it.
    pub(crate) fn token(self) -> Token {
        Token(match self {
            Watched::Waker => usize::MAX,
            Watched::Signals => usize::MAX - 1,
            Watched::Spare => usize::MAX - 2,
            Watched::Head => usize::MAX - 3,
            Watched::Input => usize::MAX - 4,
            Watched::Greeting(count) => GREETINGS + count,
            Watched::Line(count) => LINES + count,
            Watched::Relay(channel) => RELAYS + channel as usize,
            Watched::Process(number, source) => {
                let source = SOURCES.iter().position(|other| *other == source);
                number as usize * SOURCES.len() + source.expect("every source is in the list")
            }
        })
    }
}

/// Those of which there is one.
const ALONE: [Watched; 5] = [
    Watched::Waker,
    Watched::Signals,
    Watched::Spare,
    Watched::Head,
    Watched::Input,
];
const SOURCES: [Source; 4] = [
    Source::Process,
    Source::Control,
    Source::Output(Stream::Stdout),
    Source::Output(Stream::Stderr),
];
/// The first of the tokens of connections that are being made; behind them come those above.
const GREETINGS: usize = 1 << (usize::BITS - 1);
/// The first of the tokens of relayed connections.
const RELAYS: usize = 1 << (usize::BITS - 2);
/// The first of the tokens of lines. No process has so high a number.
const LINES: usize = 1 << (usize::BITS - 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_stands_for_one_thing() {
        let numbers = [0, 1, u32::MAX].into_iter();
        let processes = numbers
            .clone()
            .flat_map(|number| SOURCES.map(|source| Watched::Process(number, source)));
        let relays = numbers.map(Watched::Relay);
        let greetings = [0, 1, 1 << 40].map(Watched::Greeting);
        let lines = [0, 1, 1 << 40].map(Watched::Line);
        let all = processes.chain(relays).chain(greetings);
        let all = all.chain(lines).chain(ALONE);
        for watched in all {
            assert_eq!(Watched::of(watched.token()), watched);
        }
    }
}
