//! How much is felt of a program's way to a cluster, as people use it: a crate is built, sent and run, nothing or one line of it
//! is changed, and it is run again.
//!
//! ```text
//! cargo bench -p deploy-tests --bench upload -- [--rounds N]
//! ```
//!
//! The hosts are network namespaces of this machine (a head and a laptop), and so it needs root and iproute2. On standard
//! output there is one line for each row: `R`, what was done, what is counted, median over the rounds, unit, with tabs
//! between. On standard error there is what is to be reached. Times are from the end of `cargo build` to the first byte of
//! output.
//!
//! Deliberately absent: assertions, and programs on their way from node to node (`tests/spread.rs` says how long that takes).

use deploy_tests::{cluster::Cluster, commands};
use std::{
    env,
    fs::{self, File},
    io::Read,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn main() {
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let rounds = match &words[..] {
        [flag, number] if flag == "--rounds" => number.parse().expect("a number stands there"),
        _ => 5,
    };
    let Some(cluster) = Cluster::with_room(&[], "400GiB 100") else {
        return;
    };
    cluster.login();
    let laptop = Laptop::new(cluster);
    laptop.write(0, 0);
    laptop.run(false);
    let unchanged = (0..rounds).map(|_| laptop.run(false));
    tell("nothing changed", unchanged.collect(), Some(150.0), None);
    let changed = |symbols: bool, numbers: Range<usize>, lines: Range<usize>| {
        let run = |round| {
            laptop.write(
                numbers.start + round % numbers.len(),
                lines.start + round % lines.len(),
            );
            laptop.run(symbols)
        };
        (0..rounds).map(run).collect()
    };
    let (numbers, lines) = (1..1 + rounds, 1..1 + rounds);
    tell(
        "a number changed",
        changed(false, numbers, 0..1),
        None,
        Some(50.0),
    );
    tell("a line more", changed(false, 0..1, lines), None, Some(50.0));
    laptop.run(true);
    let numbers = 1 + rounds..1 + 2 * rounds;
    tell(
        "a number changed, with symbols",
        changed(true, numbers, rounds..rounds + 1),
        None,
        None,
    );
    laptop.send_large();
    laptop.cluster.finish();
}

/// What came of one run.
struct Sample {
    ms: f64,
    /// What `-v` says was sent.
    kib: f64,
}

fn tell(what: &str, samples: Vec<Sample>, ms_max: Option<f64>, kib_max: Option<f64>) {
    let counts = [
        (
            "until the first output",
            "ms",
            ms_max,
            samples.iter().map(|sample| sample.ms).collect(),
        ),
        (
            "sent",
            "KiB",
            kib_max,
            samples
                .iter()
                .map(|sample| sample.kib)
                .collect::<Vec<f64>>(),
        ),
    ];
    for (label, unit, aim, mut values) in counts {
        values.sort_by(f64::total_cmp);
        let (median, most) = (values[values.len() / 2], values[values.len() - 1]);
        println!("R\t{what}\t{label}\t{median:.0}\t{unit}");
        if let Some(aim) = aim {
            let verdict = if most <= aim { "met" } else { "MISSED" };
            eprintln!("# {what}: {label}: at most {most:.0} {unit}; <= {aim:.0} {unit} {verdict}");
        }
    }
}

/// A person with a crate at the laptop of a cluster.
struct Laptop {
    cluster: Cluster,
    directory: PathBuf,
}

impl Laptop {
    fn new(cluster: Cluster) -> Laptop {
        let directory = cluster.hosts.host("laptop").disk().to_path_buf();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let manifest = format!(
            "[package]\nname = \"greeter\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             deploy = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
            deploy.join("deploy")
        );
        let laptop = Laptop { cluster, directory };
        laptop.file("Cargo.toml", &manifest);
        let lock = fs::read_to_string(deploy.join("Cargo.lock")).expect("the workspace has a lock");
        laptop.file("Cargo.lock", &lock);
        // Cargo, and when it ended.
        let script = format!(
            "#!/bin/sh\n{} \"$@\"\ncode=$?\ndate +%s%N >\"$ENDED\"\nexit $code\n",
            env!("CARGO")
        );
        let cargo = laptop.file("cargo.sh", &script);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(cargo, executable).expect("it is ours");
        laptop
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().expect("it lies below")).expect("the disk is ours");
        fs::write(&path, text).expect("the disk is ours");
        path
    }

    /// The README's program, with a number that is greater by so much, and so many lines more.
    fn write(&self, number: usize, lines: usize) {
        let line = |line| format!("    println!(\"line {line} of {{total}}\");\n");
        let more: String = (0..lines).map(line).collect();
        let text = PROGRAM.replace(LAST, &format!("{LAST}{more}"));
        assert!(PROGRAM.contains(LAST), "the lines have their place");
        let number = format!("* {});", 100 + number);
        self.file("src/main.rs", &text.replace("* 100);", &number));
    }

    /// 200 MiB, of which something has moved in every one.
    fn send_large(&self) {
        let mut noise = vec![0; 200 << 20];
        let random =
            File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut noise));
        random.expect("the kernel has it");
        let program = fs::read("/bin/sh").expect("every system has it");
        let path = self.directory.join("large");
        for more in [&b""[..], b"a few bytes more"] {
            let parts = noise.chunks(1 << 20).flat_map(|part| [more, part]);
            let bytes: Vec<u8> = [&program[..]]
                .into_iter()
                .chain(parts)
                .flatten()
                .copied()
                .collect();
            fs::write(&path, bytes).expect("the disk is ours");
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, executable).expect("it is ours");
            let program = path.to_str().expect("it is text");
            let words = [
                "10.77.0.1:8888",
                "-v",
                "--exe",
                program,
                "--",
                "-c",
                "echo it runs; sleep 1", // So that the client is still there to be looked at.
            ];
            let begun = now();
            let done = self.watched(&mut self.cluster.cargo(&words));
            let what = if more.is_empty() {
                "200 MiB"
            } else {
                "200 MiB, changed"
            };
            let seconds = (done.first - begun).as_secs_f64();
            println!("R\t{what}\tuntil the first output\t{seconds:.1}\ts");
            println!("R\t{what}\tmemory of the client\t{:.0}\tMiB", done.mib);
            println!("R\t{what}\tsent\t{:.0}\tKiB", done.kib);
        }
    }

    /// `cargo deploy --release -v`, in its directory.
    fn run(&self, symbols: bool) -> Sample {
        let mut command = self
            .cluster
            .cargo(&["10.77.0.1:8888", "--release", "-v", "--offline"]);
        let ended = self.directory.join("ended");
        commands::give_toolchain(&mut command)
            .current_dir(&self.directory)
            .env("CARGO", self.directory.join("cargo.sh"))
            .env("CARGO_TARGET_DIR", target().join("upload"))
            .env("ENDED", &ended);
        if symbols {
            command.env("RUST_BACKTRACE", "1");
        }
        let done = self.watched(&mut command);
        let ended = fs::read_to_string(ended).expect("cargo was called");
        let ended = Duration::from_nanos(ended.trim().parse().expect("date prints a number"));
        Sample {
            ms: (done.first - ended).as_secs_f64() * 1e3,
            kib: done.kib,
        }
    }

    /// Runs it to its end.
    fn watched(&self, command: &mut Command) -> Watched {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let laptop = self.cluster.hosts.host("laptop");
        let mut child = laptop.within(|| command.spawn()).expect("it starts");
        let mut stdout = child.stdout.take().expect("it is piped");
        let read = stdout.read(&mut [0]).expect("a pipe can be read");
        let first = now();
        // All that was held for the program is behind it.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        if read > 0 {
            stdout
                .read_to_end(&mut Vec::new())
                .expect("a pipe can be read");
        }
        let mut said = String::new();
        let stderr = child.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut said).expect("it is text");
        assert!(child.wait().expect("it is ours").success(), "{said}");
        let sent = said
            .lines()
            .find_map(|line| line.strip_prefix("cargo deploy: sent "));
        let sent = sent.and_then(|sent| sent.split(' ').next()?.parse().ok());
        Watched {
            first,
            mib: kib.unwrap_or(f64::NAN) / 1024.0,
            kib: sent.unwrap_or(0.0),
        }
    }
}

/// What was seen of a run.
struct Watched {
    /// When its first output came, since 1970.
    first: Duration,
    /// The most memory that the client had until then.
    mib: f64,
    /// What `-v` says was sent.
    kib: f64,
}

/// Since 1970, as `date` has it.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock goes")
}

/// Where cargo builds.
fn target() -> PathBuf {
    let commands = commands::cargo_deploy().ancestors().nth(2);
    commands
        .expect("they lie in a profile's directory")
        .to_path_buf()
}

/// The README's.
const PROGRAM: &str = include_str!("../../examples/examples/greetings.rs");
/// Its last line of `main`.
const LAST: &str = "    println!(\"total {}!\", total);\n";
