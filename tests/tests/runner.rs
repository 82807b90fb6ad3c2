//! An ordinary crate, whose tests, benchmarks and programs cargo and nextest run on a cluster, by `cargo deploy runner`.
//!
//! nextest itself is not needed: it is played by what it says to a test program, and runs besides where it is installed.

use deploy_tests::{cluster::Cluster, commands, pty::Terminal, run::Finished};
use std::{
    env::{self, consts::ARCH},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "10.77.0.1:8888";

const MANIFEST: &str = "\
[package]
name = \"ordinary\"
version = \"1.2.3\"
edition = \"2024\"

[workspace]

[[bench]]
name = \"speed\"
harness = false
";
const LIBRARY: &str = "\
//! ```
//! assert!(std::path::Path::new(\"data/words.txt\").exists());
//! ```

#[test]
fn of_the_library() {
    assert_eq!(std::fs::read_to_string(\"data/words.txt\").unwrap(), \"two words\");
}
";
const MAIN: &str = "\
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    println!(\"{} on {}\", words.join(\" \"), std::fs::read_to_string(\"/proc/sys/kernel/hostname\").unwrap());
    std::process::exit(3);
}
";
/// Two of its own tests are ignored there, and asked for by `--ignored`.
const TESTS: &str = "\
#[test]
fn finds_its_files() {
    assert_eq!(std::fs::read(\"data/words.txt\").unwrap(), b\"two words\");
    let beside = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap() + \"/data/words.txt\";
    assert_eq!(std::fs::read(beside).unwrap(), b\"two words\");
}

#[test]
#[should_panic(expected = \"as it should\")]
fn panics() {
    panic!(\"as it should\");
}

#[test]
#[ignore]
fn fails() {
    assert_eq!(1, 2, \"it is wrong\");
}

#[test]
#[ignore]
fn aborts() {
    std::process::abort();
}
";
const BENCH: &str = "\
fn main() {
    assert!(std::env::args().any(|word| word == \"--bench\"));
    println!(\"speed: 7 ns\");
}
";

/// The crate, at the laptop of a cluster.
struct Laptop {
    cluster: Cluster,
    directory: PathBuf,
}

impl Laptop {
    fn new() -> Option<Laptop> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ordinary");
        let _ = fs::remove_dir_all(&directory);
        for (name, text) in [
            ("Cargo.toml", MANIFEST),
            ("src/lib.rs", LIBRARY),
            ("src/main.rs", MAIN),
            ("tests/it.rs", TESTS),
            ("benches/speed.rs", BENCH),
            ("data/words.txt", "two words"),
        ] {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let cluster = Cluster::start(&["n1"])?;
        cluster.login();
        Some(Laptop { cluster, directory })
    }

    /// What a person types there, in the directory of the crate.
    fn shell(&self, line: &str) -> Command {
        let host = self.cluster.hosts.host("laptop");
        let mut command = host.command("sh", &["-c", line]);
        let runner = format!(
            "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
            ARCH.to_uppercase()
        );
        let commands = commands::cargo_deploy().parent().unwrap();
        let paths = env::var_os("PATH").unwrap_or_default();
        let paths = [commands.to_path_buf()]
            .into_iter()
            .chain(env::split_paths(&paths));
        commands::give_toolchain(&mut command)
            .current_dir(&self.directory)
            .env("HOME", host.disk())
            .env("PATH", env::join_paths(paths).unwrap())
            .env("CARGO_TARGET_DIR", self.directory.join("target"))
            .env(
                runner,
                format!("cargo deploy runner {TARGET} --files data --"),
            );
        for name in [
            "XDG_CONFIG_HOME",
            "RUST_BACKTRACE",
            "CARGO_BUILD_TARGET",
            "NO_COLOR",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, line: &str) -> Finished {
        let finished = self.cluster.finish_deploy(&mut self.shell(line), b"");
        finished.unwrap_or_else(|why| panic!("{line}: {why}"))
    }

    /// Runs this, which has to end so, and returns its standard output.
    #[track_caller]
    fn check(&self, line: &str, code: i32, words: &[&str]) -> String {
        let finished = self.run(line);
        let (out, err) = (finished.out_text(), finished.err_text());
        assert_eq!(finished.code, code, "{line}: {out}{err}");
        for word in words {
            assert!(
                out.contains(word) || err.contains(word),
                "{line}: no {word}: {out}{err}"
            );
        }
        out
    }
}

#[test]
fn an_ordinary_crate_runs_on_the_cluster_as_at_home() {
    let Some(laptop) = Laptop::new() else {
        return;
    };
    let passed = [
        "test of_the_library ... ok",
        "test src/lib.rs - (line 1) ... ok",
        "2 passed; 0 failed; 2 ignored",
    ];
    let finished = laptop.run("cargo test");
    let (out, err) = (finished.out_text(), finished.err_text());
    assert_eq!(finished.code, 0, "{out}{err}");
    for word in passed {
        assert!(out.contains(word), "no {word}: {out}{err}");
    }
    for word in ["\x1b", "exited:", "WARNING"] {
        assert!(!out.contains(word) && !err.contains(word), "{out}{err}");
    }
    laptop.check(
        "cargo test -- --ignored fails",
        101,
        &["it is wrong", "FAILED"],
    );
    laptop.check("cargo bench", 0, &["speed: 7 ns"]);
    let said = laptop.check("cargo run -- a b", 3, &[]);
    assert!(
        said == "a b on n1\n\n" || said == "a b on head\n\n",
        "{said:?}"
    );

    // Nextest asks for the tests, and runs each alone.
    let built = "$(find target/debug/deps -name 'it-*' -executable)";
    let run = format!("cargo deploy runner {TARGET} --files data -- {built}");
    let list = laptop.check(&format!("{run} --list --format terse"), 0, &[]);
    assert_eq!(
        list,
        "aborts: test\nfails: test\nfinds_its_files: test\npanics: test\n"
    );
    let list = laptop.check(&format!("{run} --list --format terse --ignored"), 0, &[]);
    assert_eq!(list, "aborts: test\nfails: test\n");
    for (name, code) in [
        ("finds_its_files", 0),
        ("panics", 0),
        ("fails", 101),
        ("aborts", 134),
    ] {
        let line = format!(
            "NEXTEST=1 CARGO_MANIFEST_DIR=$PWD {run} --exact {name} --nocapture --include-ignored"
        );
        laptop.check(&line, code, &["running 1 test"]);
    }
    nextest_itself(&laptop);
    // What ends by a signal there is told to cargo as a shell would tell it.
    laptop.check("cargo test -- --ignored aborts", 134, &["exit status: 134"]);

    // What no program may be given is a wrong flag, and not a failed start.
    laptop.check(
        &format!("cargo deploy runner {TARGET} --env LD_LIBRARY_PATH=/x -- {built}"),
        78,
        &["LD_LIBRARY_PATH changes how programs are loaded"],
    );

    colours_are_as_at_home(&laptop);
    laptop.cluster.finish();
}

/// Where it is installed.
fn nextest_itself(laptop: &Laptop) {
    if laptop.run("cargo nextest --version").code != 0 {
        return eprintln!("skipped: cargo-nextest is not installed here");
    }
    let run = "cargo nextest run --offline";
    laptop.check(run, 0, &["3 tests run: 3 passed, 2 skipped"]);
    // Its code for tests that fail.
    let failing = format!("{run} --no-fail-fast --run-ignored only");
    laptop.check(&failing, 100, &["2 tests run: 0 passed, 2 failed"]);
}

/// On a terminal the test harness colours what it says, there as here.
fn colours_are_as_at_home(laptop: &Laptop) {
    let host = laptop.cluster.hosts.host("laptop");
    let green = "test panics - should panic ... \x1b[32mok\x1b";
    for runner in ["", "env"] {
        let line = match runner {
            "" => "cargo test --quiet --test it -- --format pretty".to_string(),
            runner => format!(
                "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER={runner} cargo test --quiet --test it -- --format pretty",
                ARCH.to_uppercase()
            ),
        };
        let command = laptop.shell(&format!("cd {} && {line}", laptop.directory.display()));
        let mut terminal = host.within(|| Terminal::with(&command));
        terminal.expect(green);
        assert_eq!(terminal.finish().0, 0, "{line}");
    }
}
