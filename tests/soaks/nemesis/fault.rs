//! What is done to a cluster, and when: all of it follows from a seed. And a log of what was done, for the judge.
//!
//! Deliberately absent: how it is done (`stage.rs`).

use deploy_tests::soak::Lots;

/// A kind of blow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    KillProcess,
    StopProcess,
    KillWarden,
    StopWarden,
    KillDaemon,
    StopDaemon,
    KillMaster,
    StopMaster,
    KillClient,
    StopClient,
    /// `cargo deploy kill JOB`
    EndJob,
    /// The cable, for less than a node may be silent.
    Cut,
    /// The same, for so long that the node is lost.
    CutLong,
    CutLaptop,
    /// Between two, which everybody else still reaches.
    CutPair,
    /// The same, for so long that their processes are told.
    CutPairLong,
    /// From one to another, and not back.
    CutWay,
    Slow,
    PowerOff,
}

/// A blow to come.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at_ms: u64,
    pub fault: Fault,
    /// Whom it hits, of those who can be hit then.
    pub lot: u64,
    pub lasts_ms: u64,
}

/// All blows of so many milliseconds.
pub fn schedule(seed: u64, total_ms: u64, with_master: bool) -> Vec<Planned> {
    let mut lots = Lots::new(seed);
    let kinds = || {
        KINDS
            .iter()
            .filter(|kind| with_master || kind.0 != Fault::KillMaster)
    };
    let weight_sum = kinds().map(|kind| kind.1).sum();
    let (mut at_ms, mut all) = (1_000, Vec::new());
    while at_ms < total_ms {
        let mut lot = lots.below(weight_sum);
        let kind = kinds().find(|kind| {
            let is_it = lot < kind.1;
            lot = lot.saturating_sub(kind.1);
            is_it
        });
        let (fault, _, lasts) = kind.expect("the lot is below the sum");
        all.push(Planned {
            at_ms,
            fault: *fault,
            lot: lots.below(1 << 32),
            lasts_ms: lots.within(lasts.clone()),
        });
        at_ms += lots.within(200..1_500);
    }
    all
}

/// What was done, to whom, and from when to when.
#[derive(Clone, Debug)]
pub struct Struck {
    pub what: What,
    pub from_ms: u64,
    /// Nothing while it lasts.
    pub to_ms: Option<u64>,
}

/// To whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Killed, by its number.
    Process(u32),
    /// Killed, of the job whose warden this is on this node.
    Warden(String),
    /// Killed, or without power.
    Daemon(String),
    Master,
    /// It may be that its master does not hear it.
    Silent(String),
    /// These two do not reach each other, in one direction at least.
    Apart(String, String),
    /// Ended by a person.
    Job(String),
}

/// All of it.
#[derive(Default)]
pub struct Log(pub Vec<Struck>);

impl Log {
    /// Whether this was done before `to_ms`, and not over before `from_ms`.
    pub fn was(&self, from_ms: u64, to_ms: u64, is_it: impl Fn(&What) -> bool) -> bool {
        let mut struck = self.0.iter().filter(|struck| is_it(&struck.what));
        struck
            .any(|struck| struck.from_ms <= to_ms && struck.to_ms.is_none_or(|end| end >= from_ms))
    }

    /// For how long a node was silent at most, without a pause that its master would have noticed.
    pub fn silence_ms(&self, node: &str, from_ms: u64, to_ms: u64) -> u64 {
        let is_it = |what: &What| *what == What::Silent(node.to_string());
        self.longest_ms(is_it, from_ms, to_ms)
    }

    /// For how long this was done at most, without such a pause.
    pub fn longest_ms(&self, is_it: impl Fn(&What) -> bool, from_ms: u64, to_ms: u64) -> u64 {
        let mut spans: Vec<(u64, u64)> = (self.0.iter())
            .filter(|struck| is_it(&struck.what))
            .map(|struck| (struck.from_ms, struck.to_ms.unwrap_or(to_ms)))
            .filter(|(from, to)| *from <= to_ms && *to + FENCED_MS >= from_ms)
            .collect();
        spans.sort();
        let (mut longest, mut current) = (0, None);
        for (from, to) in spans {
            let (begin, end) = match current {
                Some((begin, end)) if from < end + PAUSE_MS => (begin, to.max(end)),
                _ => (from, to),
            };
            longest = longest.max(end - begin);
            current = Some((begin, end));
        }
        longest
    }
}

/// How often, compared with each other, and how long.
const KINDS: [(Fault, u64, std::ops::Range<u64>); 19] = [
    (Fault::KillProcess, 16, 1..2),
    (Fault::StopProcess, 8, 100..3_000),
    (Fault::KillWarden, 5, 1..2),
    (Fault::StopWarden, 5, 100..3_000),
    (Fault::KillDaemon, 4, 100..2_000),
    (Fault::StopDaemon, 5, 100..3_000),
    (Fault::KillMaster, 2, 100..1_000),
    (Fault::StopMaster, 3, 100..3_000),
    (Fault::KillClient, 6, 1..2),
    (Fault::StopClient, 4, 100..3_000),
    (Fault::EndJob, 3, 1..2),
    (Fault::Cut, 6, 300..3_500),
    (Fault::CutLong, 2, 13_000..15_000),
    (Fault::CutLaptop, 3, 500..10_000),
    (Fault::CutPair, 5, 300..6_000),
    (Fault::CutPairLong, 3, 13_000..17_000),
    (Fault::CutWay, 5, 300..4_000),
    (Fault::Slow, 4, 1_000..6_000),
    (Fault::PowerOff, 2, 500..4_000),
];
/// A silence that is interrupted for less is as good as one that is not: what was lost is sent again after that at most.
const PAUSE_MS: u64 = 4_000;
/// What a node had done to its jobs after this.
const FENCED_MS: u64 = 16_000;
