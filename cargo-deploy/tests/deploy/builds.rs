//! What is built, by the person's own cargo, and what it says where that is not clear.

use crate::{
    bridge::Bridge,
    person::{Person, said, stderr, stdout},
};
use deploy_wire::exit::{End, ExitStatus};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// A bridge that runs nothing, and says which program it was sent.
fn bridge() -> Bridge {
    Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.died(ExitStatus::new(End::Code(0)));
    })
}

/// A package with these files, which `cargo` then builds.
struct Package {
    path: PathBuf,
}

impl Package {
    fn new(name: &str, files: &[(&str, &str)]) -> Package {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Package { path }
    }

    fn deploy(&self, person: &Person, words: &[&str]) -> Output {
        self.deploy_in("", person, words)
    }

    fn deploy_in(&self, directory: &str, person: &Person, words: &[&str]) -> Output {
        let mut command = person.deploy(words);
        command
            .env("DEPLOY_FORMAT", "json")
            .current_dir(self.path.join(directory))
            .env("CARGO", env!("CARGO"))
            .env("CARGO_TARGET_DIR", self.path.join("target dir"))
            .env("CARGO_TERM_COLOR", "never");
        command.output().unwrap()
    }
}

/// The function of the job that was run.
fn worker(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    let lines = String::from_utf8_lossy(&output.stdout);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    first["worker"].as_str().unwrap().to_string()
}

const MAIN: &str = "fn main() {}\n";
const MANIFEST: &str =
    "[package]\nname = \"one\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";

#[test]
fn the_flags_of_cargo_run_choose() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let manifest = format!(
        "{MANIFEST}[features]\nextra = []\n[[bin]]\nname = \"more\"\npath = \"src/more.rs\"\nrequired-features = [\"extra\"]\n"
    );
    let package = Package::new(
        "flags",
        &[
            (
                "Cargo.toml",
                &manifest.replace(
                    "name = \"one\"\n",
                    "name = \"one\"\ndefault-run = \"my-one\"\n",
                ),
            ),
            ("src/more.rs", MAIN),
            ("src/bin/my-one.rs", "fn main() { let unused = 1; }\n"),
            ("examples/show.rs", MAIN),
        ],
    );
    let deploy = |words: &[&str]| package.deploy(&person, &[&[target.as_str()], words].concat());
    let output = deploy(&[]);
    assert_eq!(worker(&output), "my_one::main");
    assert!(
        stderr(&output).contains("unused variable"),
        "{}",
        said(&output)
    );
    assert_eq!(
        worker(&deploy(&["--example", "show", "--release"])),
        "show::main"
    );
    assert!(
        package
            .path
            .join("target dir/release/examples/show")
            .exists()
    );
    assert_eq!(
        worker(&deploy(&["--bin", "more", "-F", "extra"])),
        "more::main"
    );
    let output = deploy(&["--bin", "more"]);
    assert_eq!(output.status.code(), Some(101));
    assert!(
        stderr(&output).contains("requires the features: `extra`"),
        "{}",
        said(&output)
    );
}

#[test]
fn cargo_says_itself_what_is_not_clear() {
    let bridge = Bridge::start(|_| panic!("nothing is to be run"));
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let package = Package::new(
        "unclear",
        &[
            ("Cargo.toml", MANIFEST),
            ("src/bin/a.rs", MAIN),
            ("src/bin/b.rs", MAIN),
        ],
    );
    let library = Package::new("library", &[("Cargo.toml", MANIFEST), ("src/lib.rs", "")]);
    let broken = Package::new(
        "broken",
        &[
            ("Cargo.toml", MANIFEST),
            ("src/main.rs", "fn main() { nonsense }\n"),
        ],
    );
    let check = |package: &Package, words: &[&str], expected: &str| {
        let output = package.deploy(&person, &[&[target.as_str()], words].concat());
        assert_eq!(output.status.code(), Some(101), "{}", said(&output));
        assert!(stderr(&output).contains(expected), "{}", said(&output));
    };
    check(
        &package,
        &[],
        "`cargo run` could not determine which binary to run",
    );
    check(
        &package,
        &["--bin", "a", "--bin", "b"],
        "at most one executable",
    );
    check(&package, &["--bin"], "Available binaries:");
    check(&package, &["--bin", "c"], "no bin target named `c`");
    check(
        &package,
        &["--manifest-path", "no/Cargo.toml"],
        "no/Cargo.toml",
    );
    check(
        &library,
        &[],
        "a bin target must be available for `cargo run`",
    );
    check(&broken, &[], "cannot find value `nonsense`");
}

#[test]
fn a_workspace_has_the_packages_that_cargo_takes() {
    let bridge = bridge();
    let person = Person::of(&bridge);
    let target = bridge.address.to_string();
    let member = |name: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n")
    };
    let package = Package::new(
        "workspace",
        &[
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"3\"\n",
            ),
            ("a/Cargo.toml", &member("a")),
            ("a/src/main.rs", MAIN),
            ("b/Cargo.toml", &member("b")),
            ("b/src/main.rs", MAIN),
        ],
    );
    assert_eq!(
        worker(&package.deploy_in("a", &person, &[&target])),
        "a::main"
    );
    assert_eq!(
        worker(&package.deploy(&person, &[&target, "-p", "b"])),
        "b::main"
    );
    // A form that only cargo understands: it is asked, and answers through its runner.
    let url = format!("path+file://{}#0.0.0", package.path.join("b").display());
    let spec = url.replace("#0.0.0", "");
    assert_eq!(
        worker(&package.deploy(&person, &[&target, "-p", &spec])),
        "b::main"
    );
}

#[test]
fn local_is_cargo_run() {
    let person = Person::new();
    let main = "fn main() { println!(\"{:?} {:?}\", std::env::args().nth(1), std::env::var(\"A\")); std::process::exit(7) }\n";
    let package = Package::new("local", &[("Cargo.toml", MANIFEST), ("src/main.rs", main)]);
    let output = package.deploy(&person, &["local", "--env", "A=b", "-q", "--", "x"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(stdout(&output), "Some(\"x\") Ok(\"b\")\n");
}
