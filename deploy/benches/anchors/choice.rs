//! What the person asked for. Nothing is run here.

use crate::workloads::{self, Workload};

/// The words of the command line.
pub struct Choice {
    pub rounds: usize,
    pub workloads: Vec<Workload>,
}

impl Choice {
    pub fn parse(words: &[&str]) -> Result<Choice, String> {
        let mut rounds = ROUNDS;
        let mut prefixes = Vec::new();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--bench" => {} // Cargo says so to every benchmark.
                "--rounds" => {
                    rounds = words
                        .next()
                        .and_then(|count| count.parse().ok())
                        .filter(|count| *count > 0)
                        .ok_or("--rounds wants a number, as in --rounds 5")?;
                }
                prefix => prefixes.push(prefix),
            }
        }
        let all = workloads::all();
        if let Some(unknown) = prefixes.iter().find(|p| !all.iter().any(|w| w.is(p))) {
            let names: Vec<&str> = all.iter().map(|workload| workload.name).collect();
            return Err(format!(
                "there is no workload {unknown:?}: there are {}",
                names.join(", ")
            ));
        }
        let chosen = |workload: &Workload| match prefixes.is_empty() {
            true => !workload.only_if_named,
            false => prefixes.iter().any(|prefix| workload.is(prefix)),
        };
        Ok(Choice {
            rounds,
            workloads: all.into_iter().filter(chosen).collect(),
        })
    }
}

/// Enough for a median that one disturbed round does not move.
const ROUNDS: usize = 5;
