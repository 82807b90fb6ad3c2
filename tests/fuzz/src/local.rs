//! What other processes of the same machine say before they are known: who takes a node's leash, and who starts a program.

use crate::{Target, words};
use deploy_wire::{
    birth::{Cue, Expected},
    resources::{Cpu, Mem},
};
use fabric::own_node::{Reply, Terms, Word};

/// Between a master and the node beside it.
pub(crate) const LEASH: Target = Target {
    name: "leash",
    check: |input| {
        if let Ok(word) = Word::decode(input) {
            words::accepted();
            assert_eq!(Word::decode(&word.encode()), Ok(word));
        }
        if let Ok(reply) = Reply::decode(input) {
            words::accepted();
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
        if let Ok(terms) = Terms::decode(input) {
            words::accepted();
            assert_eq!(Terms::decode(&terms.encode()), Ok(terms));
        }
        48 * input.len() + 4096
    },
    seeds: || {
        let terms = Terms {
            cluster: "lab".to_string(),
            address: ([10, 0, 0, 1], 9999).into(),
            capacity: Some((Mem::GIB, Cpu::CORE)),
            labels: vec!["disk=ssd".to_string(), "gpu".to_string()],
        };
        let hello = Word::Hello {
            secret: vec![7; 32],
            terms: terms.encode(),
        };
        let words = [hello, Word::Connection(vec![1; 96]), Word::Stop];
        let replies = [
            Reply::Here("user".to_string()),
            Reply::Other,
            Reply::Over("no".to_string()),
        ];
        let words = words.iter().map(Word::encode);
        words
            .chain(replies.iter().map(Reply::encode))
            .chain([terms.encode()])
            .collect()
    },
    short: 100_000,
};

/// What stands in `DEPLOY_BIRTH`, which may be anybody's.
pub(crate) const CUE: Target = Target {
    name: "cue",
    check: |input| {
        let text = String::from_utf8_lossy(input);
        if let Some(cue) = Cue::read(&text) {
            words::accepted();
            // A monitor that cannot be is as good as none, and what would follow it is not read then.
            let is_whole = cue.monitor.is_some() || cue.expected.is_none();
            if is_whole {
                assert_eq!(Cue::read(&cue.to_string()), Some(cue));
            }
        }
        8 * input.len() + 1024
    },
    seeds: || {
        let expected = Expected {
            signals_blocked: 1 << 40,
            name: "worker, one".to_string(),
        };
        let cue = |monitor: Option<u32>, expected: Option<Expected>| Cue {
            number: 12,
            monitor,
            expected,
        };
        [
            cue(Some(4711), Some(expected)),
            cue(Some(1), None),
            cue(None, None),
        ]
        .map(|cue| cue.to_string().into_bytes())
        .to_vec()
    },
    short: 200_000,
};
