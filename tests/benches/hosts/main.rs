//! How fast a cluster is, beside what the same hosts allow in the same minutes.
//!
//! ```text
//! cargo bench -p deploy-tests --bench hosts -- [--rounds N] [WORKLOAD..]     rtt, spawn, stdout-forward, ..: by prefix
//! ```
//!
//! The hosts are network namespaces of this machine (a head, two nodes and a laptop), and so it needs root and iproute2.
//! On standard output there is one line for each row: `R`, workload, label, median over the rounds, unit, with tabs
//! between. On standard error there is what is to be reached.
//!
//! This one program is also what is deployed, told by its first word: `measure` has two processes measure, where it is
//! said; `print` prints.
//!
//! Deliberately absent: assertions. A slow machine fails no build.

mod floors;
mod ours;

use deploy_tests::{cluster::Cluster, run::Finished};
use std::{
    collections::BTreeMap,
    env,
    io::Read,
    process::{Command, Stdio},
    time::Instant,
};

fn main() {
    // Cargo adds a word of its own.
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["measure", task, here, there] => return ours::measure(task, here, there),
        ["print", kind] => return ours::print(kind),
        ["plain-lines"] => return ours::print_lines_plainly(),
        _ => {}
    }
    let mut rounds = 3;
    if let ["--rounds", number, ..] = words[..] {
        rounds = number.parse().expect("a number stands behind --rounds");
        words.drain(..2);
    }
    let Some(cluster) = Cluster::with_room(&["n1", "n2"], "400GiB 100") else {
        return;
    };
    cluster.login();
    let bench = Bench { cluster };
    for (workload, unit, rows, aims) in WORKLOADS {
        let is_meant = words.is_empty() || words.iter().any(|word| workload.starts_with(word));
        if is_meant {
            bench.run(workload, unit, rows, aims, rounds);
        }
    }
    bench.cluster.finish();
}

/// A label, and how its value comes about.
type Row = (&'static str, Way);

/// What is to be reached by the first row, against the second.
type Aim = (&'static str, &'static str, Bound);

#[derive(Clone, Copy)]
enum Way {
    /// Two processes of a program that runs alone.
    Alone(&'static str),
    /// Two processes on the cluster, on these hosts.
    OnHosts(&'static str, &'static str, &'static str),
    /// The same, on two nodes that cannot dial each other; and on one, with the other process at the laptop.
    Relayed(&'static str),
    FromHere(&'static str),
    /// Plain sockets between two hosts.
    Floor(fn(&Cluster) -> f64),
    /// What the program prints, through a pipe; and text of this kind through the cluster, where it matters what it is.
    Pipe,
    Forwarded(&'static str),
}

#[derive(Clone, Copy)]
enum Bound {
    /// No more than so much more.
    MoreMax(f64),
    TimesMax(f64),
    TimesMin(f64),
    /// So much, whatever the floor is.
    Min(f64),
}

const WORKLOADS: [(&str, &str, &[Row], &[Aim]); 6] = [
    (
        "spawn+first-msg",
        "us",
        &[
            ("alone", Way::Alone("spawn")),
            ("same host", Way::OnHosts("spawn", "n1", "n1")),
            ("other host", Way::OnHosts("spawn", "n1", "n2")),
        ],
        &[("other host", "alone", Bound::MoreMax(2_000.0))],
    ),
    (
        "spawn-300+all-msgs",
        "ms",
        &[
            ("alone", Way::Alone("spawn-300")),
            (
                "three hosts",
                Way::OnHosts("spawn-300", "head", "n1,n2,head"),
            ),
        ],
        &[("three hosts", "alone", Bound::TimesMax(3.0))],
    ),
    (
        "rtt/8B",
        "us",
        &[
            (
                "floor: TCP spinning",
                Way::Floor(floors::round_trip_spinning),
            ),
            ("other host", Way::OnHosts("rtt", "n1", "n2")),
            ("relayed", Way::Relayed("rtt")),
            ("--here", Way::FromHere("rtt")),
            (
                "floor: TCP blocking",
                Way::Floor(floors::round_trip_blocking),
            ),
        ],
        &[("other host", "floor: TCP spinning", Bound::TimesMax(1.25))],
    ),
    (
        "stream/8B",
        "msg/s",
        &[
            (
                "floor: TCP, 64KiB batches",
                Way::Floor(floors::stream_small),
            ),
            ("other host", Way::OnHosts("stream-8", "n1", "n2")),
        ],
        &[("other host", "floor: TCP, 64KiB batches", Bound::Min(10e6))],
    ),
    (
        "stream/1MiB",
        "GB/s",
        &[
            ("floor: TCP", Way::Floor(floors::stream_large)),
            ("other host", Way::OnHosts("stream-1MiB", "n1", "n2")),
            ("relayed", Way::Relayed("stream-1MiB")),
            ("--here", Way::FromHere("stream-1MiB")),
        ],
        &[("other host", "floor: TCP", Bound::TimesMin(0.5))],
    ),
    (
        "stdout-forward",
        "MB/s",
        &[
            ("floor: one pipe", Way::Pipe),
            // The workload of the peers: lines of 64 bytes, alike, in writes of 64 KiB.
            ("cluster", Way::Forwarded("same")),
            ("cluster, numbered lines", Way::Forwarded("numbered")),
            ("cluster, log lines", Way::Forwarded("log")),
            ("cluster, noise", Way::Forwarded("noise")),
        ],
        &[
            ("cluster", "floor: one pipe", Bound::TimesMin(0.3)),
            (
                "cluster, numbered lines",
                "floor: one pipe",
                Bound::TimesMin(0.3),
            ),
        ],
    ),
];

struct Bench {
    cluster: Cluster,
}

impl Bench {
    fn run(&self, workload: &str, unit: &str, rows: &[Row], aims: &[Aim], rounds: usize) {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..rounds {
            for (label, way) in rows {
                values.entry(label).or_default().push(self.measure(*way));
            }
        }
        let median = |label: &str| {
            let mut values = values[label].clone();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        for (label, _) in rows {
            println!("R\t{workload}\t{label}\t{:.2}\t{unit}", median(label));
        }
        for (label, floor, bound) in aims {
            let (value, floor_value) = (median(label), median(floor));
            let (is, aim, is_met) = match bound {
                Bound::MoreMax(most) => {
                    let more = value - floor_value;
                    (
                        format!("{more:+.0} {unit}"),
                        format!("<= {most} {unit}"),
                        more <= *most,
                    )
                }
                Bound::TimesMax(most) => {
                    let times = value / floor_value;
                    (
                        format!("{times:.2} x"),
                        format!("<= {most} x"),
                        times <= *most,
                    )
                }
                Bound::Min(least) => {
                    let times = value / floor_value;
                    (
                        format!("{times:.2} x"),
                        format!(">= {least} {unit}"),
                        value >= *least,
                    )
                }
                Bound::TimesMin(least) => {
                    let times = value / floor_value;
                    (
                        format!("{times:.2} x"),
                        format!(">= {least} x"),
                        times >= *least,
                    )
                }
            };
            let verdict = if is_met { "met" } else { "MISSED" };
            eprintln!("# {workload}: {label} is {is} of {floor}; {aim} {verdict}");
        }
    }

    fn measure(&self, way: Way) -> f64 {
        match way {
            Way::Floor(floor) => floor(&self.cluster),
            Way::Alone(task) => {
                let mut command = itself();
                command.args(["measure", task, "local", "local"]);
                let output = command.output().expect("this program starts again");
                let why = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{task}: {why}");
                number(&output.stdout)
            }
            Way::OnHosts(task, here, there) => {
                let words = ["measure", task, here, there].map(str::to_string);
                number(&self.deploy(&words).out)
            }
            Way::Relayed(task) => {
                self.cluster.hosts.cut_pair("n1", "n2");
                let value = self.measure(Way::OnHosts(task, "n1", "n2"));
                self.cluster.hosts.heal_pair("n1", "n2");
                value
            }
            Way::FromHere(task) => {
                let words = ["measure", task, ours::HERE, "n2"].map(str::to_string);
                number(&self.deploy(&words).out)
            }
            Way::Pipe => megabytes_a_second(itself().arg("plain-lines")),
            Way::Forwarded(kind) => {
                let exe = env::current_exe().expect("it has a file");
                let words = ["print", kind].map(str::to_string);
                let mut command = self.cluster.deploy(&exe, &words, &[]);
                let laptop = self.cluster.hosts.host("laptop");
                laptop.within(|| megabytes_a_second(&mut command))
            }
        }
    }

    fn deploy(&self, words: &[String]) -> Finished {
        let exe = env::current_exe().expect("it has a file");
        let mut command = match words.contains(&ours::HERE.to_string()) {
            true => self.cluster.deploy_here(&exe, words),
            false => self.cluster.deploy(&exe, words, &[]),
        };
        let finished = self.cluster.finish_deploy(&mut command, b"");
        let finished = finished.unwrap_or_else(|why| panic!("{words:?}: {why}"));
        assert_eq!(finished.code, 0, "{words:?}: {}", finished.err_text());
        finished
    }
}

fn itself() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null());
    command
}

fn number(printed: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(printed);
    let number = text.trim().parse();
    number.unwrap_or_else(|_| panic!("this is no figure: {text:?}"))
}

/// How fast the lines of a program come out of its pipe.
fn megabytes_a_second(command: &mut Command) -> f64 {
    let start = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let (mut buffer, mut count) = (vec![0; 64 << 10], 0);
    loop {
        match stdout.read(&mut buffer).expect("a pipe can be read") {
            0 => break,
            read => count += read,
        }
    }
    assert!(child.wait().expect("it is ours").success());
    assert_eq!(count, ours::LINES_BYTES, "every line arrived");
    count as f64 / 1e6 / start.elapsed().as_secs_f64()
}
