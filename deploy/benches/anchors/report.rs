//! What was measured, in lines for programs on standard output and in a table for people on standard error.

use crate::{
    samples::median,
    workloads::{Aim, Bound, Results, Workload},
};
use std::process::ExitCode;

/// The table, kept to the end so that nothing is between its lines.
#[derive(Default)]
pub struct Report {
    lines: Vec<[String; 7]>,
    /// A row has no value at all.
    incomplete: bool,
}

impl Report {
    /// Prints the rows of a workload, and keeps what is to be said of them.
    pub fn add(&mut self, workload: &Workload, results: &Results) {
        let Workload { name, unit, .. } = workload;
        for row in &workload.rows {
            match results.get(row.label).and_then(|values| Range::of(values)) {
                Some(Range { median, .. }) => {
                    println!("R\t{name}\t{}\t{median:.6}\t{unit}", row.label)
                }
                None => self.incomplete = true,
            }
        }
        for aim in &workload.aims {
            self.lines.push(line(workload, aim, results));
        }
    }

    /// Prints the table. A row that could not be measured is a failure; an aim that was not reached is none.
    pub fn finish(self) -> ExitCode {
        let titles = [
            "workload",
            "row",
            "median (min..max)",
            "floor",
            "median (min..max)",
            "ratio",
            "aim",
        ];
        let mut lines = vec![titles.map(str::to_string)];
        lines.extend(self.lines);
        let widths = |column: usize| lines.iter().map(|line| line[column].len()).max();
        let widths: Vec<usize> = (0..titles.len()).filter_map(widths).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths);
            let text: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            eprintln!("{}", text.join("  ").trim_end());
        }
        match self.incomplete {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}

/// A line of the table.
fn line(workload: &Workload, aim: &Aim, results: &Results) -> [String; 7] {
    let range = |label| {
        results
            .get(label)
            .and_then(|values: &Vec<f64>| Range::of(values))
    };
    let ours = range(aim.ours);
    // Where more is better the best floor is the highest; only workloads where less is better have more than one.
    let floor = aim
        .floors
        .iter()
        .filter_map(|label| Some((*label, range(label)?)));
    let floor = floor.min_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    let ratio = ours
        .as_ref()
        .zip(floor.as_ref())
        .map(|(ours, (_, floor))| ours.median / floor.median);
    let show = |range: &Range| format!("{} {}", range.show(), workload.unit);
    [
        workload.name.to_string(),
        aim.ours.to_string(),
        ours.as_ref().map_or("failed".to_string(), show),
        floor
            .as_ref()
            .map_or("", |(label, _)| label.trim_start_matches("floor: "))
            .to_string(),
        floor
            .as_ref()
            .map_or(String::new(), |(_, range)| show(range)),
        ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
        verdict(aim.bound, ours.map(|ours| ours.median), ratio),
    ]
}

/// What was to be reached, and whether it was.
fn verdict(bound: Bound, ours: Option<f64>, ratio: Option<f64>) -> String {
    let (aim, met) = match bound {
        Bound::TimesFloorMax(times) => (format!("<= {times} x"), ratio.map(|ratio| ratio <= times)),
        Bound::TimesFloorAndMax(times, more) => (
            format!("<= {times} x + {more}"),
            // The ratio says what the floor was.
            ours.zip(ratio)
                .map(|(ours, ratio)| ours <= ours / ratio * times + more),
        ),
        Bound::TimesFloorMin(times) => (format!(">= {times} x"), ratio.map(|ratio| ratio >= times)),
        Bound::Max(value) => (
            format!("<= {}", figure(value)),
            ours.map(|ours| ours <= value),
        ),
        Bound::Min(value) => (
            format!(">= {}", figure(value)),
            ours.map(|ours| ours >= value),
        ),
        Bound::None => return String::new(),
    };
    match met {
        Some(true) => format!("{aim}  met"),
        Some(false) => format!("{aim}  MISSED"),
        None => aim,
    }
}

/// The values of a row over the rounds.
struct Range {
    median: f64,
    min: f64,
    max: f64,
}

impl Range {
    fn of(values: &[f64]) -> Option<Range> {
        let mut values = values.to_vec();
        (!values.is_empty()).then(|| Range {
            median: median(&mut values), // Which sorts them.
            min: values[0],
            max: values[values.len() - 1],
        })
    }

    fn show(&self) -> String {
        format!(
            "{} ({}..{})",
            figure(self.median),
            figure(self.min),
            figure(self.max)
        )
    }
}

/// Three digits or so: more would be noise.
fn figure(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{:.2}M", value / 1e6),
        1e4.. => format!("{:.1}k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
