//! Programs built in every way that a user may ask cargo for: optimised, linked statically, split into libraries, with
//! an allocator of their own, as tests; and executed from places that are not where they were built.
//!
//! Each way is tried on the same programs (`crates/`), which print the same whatever they are built with.

mod places;

use deploy_tests::{cargo::Crate, harness, run::finish, trials};
use std::{
    path::Path,
    process::{Command, Stdio},
};

fn main() {
    // The longest first; each keeps a processor busy.
    let tests = trials![
        profiles_change_nothing_but_what_a_panic_is,
        flags_of_the_compiler_and_the_linker_change_nothing,
        musl_changes_nothing,
        places::a_program_runs_from_anywhere_whatever_becomes_of_its_file,
        a_test_with_a_main_of_its_own_is_a_program_and_one_in_the_harness_is_told_so,
        workers_in_a_shared_library_are_refused_with_words,
        an_allocator_of_the_programs_own_serves_every_process,
    ];
    harness::run(tests, 1)
}

fn flags_of_the_compiler_and_the_linker_change_nothing() {
    let workers = workers("workers");
    for flags in [
        "",
        "-Cdebug-assertions=off -Coverflow-checks=off",
        "-Ctarget-cpu=native",
        "-Cprefer-dynamic",
        "-Crelocation-model=static",
        "-Ctarget-feature=+crt-static",
        "-Ctarget-feature=+crt-static -Crelocation-model=static",
        "-Copt-level=3 -Clink-arg=-fuse-ld=lld -Clink-arg=-Wl,--icf=all",
    ] {
        let words = flags.split_whitespace();
        let arguments: Vec<_> = ["rustc", "--"].into_iter().chain(words).collect();
        let built = workers.cargo(&arguments, "debug");
        check_workers(&built.program(), "101", flags);
    }
}

/// Each profile compiles every dependency anew, so there are two of them and not one for each setting. Both go by one name, and
/// so what only the compiler executes is there for the second.
fn profiles_change_nothing_but_what_a_panic_is() {
    let workers = workers("profiles").manifest(
        "
        [profile.lean]
        inherits = 'release'
        codegen-units = 1
        lto = 'fat'
        strip = 'symbols'
        ",
    );
    for (level, panic, end) in [("'s'", "abort", "SIGABRT"), ("3", "unwind", "101")] {
        let level = format!("profile.lean.opt-level = {level}");
        let panic = format!("profile.lean.panic = '{panic}'");
        let words = [
            "build",
            "--profile",
            "lean",
            "--config",
            &level,
            "--config",
            &panic,
        ];
        let built = workers.cargo(&words, "lean");
        check_workers(&built.program(), end, &level);
        let call = finish(Command::new(built.program()).arg("call"), b"").unwrap();
        let (out, err) = (call.out_text(), call.err_text());
        let last = err.lines().next_back().unwrap();
        // Only where the worker does not live on is the panic its end.
        match end {
            "101" => assert!(
                out.contains("as asked, too") && !last.contains("failed first"),
                "{out}{err}"
            ),
            _ => assert!(
                out.contains("SIGABRT") && last.ends_with(": as asked, too"),
                "{out}{err}"
            ),
        }
    }
}

fn musl_changes_nothing() {
    if !is_installed(MUSL) {
        println!("skipped: no {MUSL} here (rustup target add {MUSL})");
        return;
    }
    let built = workers("musl").cargo(&["build", "--target", MUSL], &format!("{MUSL}/debug"));
    check_workers(&built.program(), "101", MUSL);
}

fn an_allocator_of_the_programs_own_serves_every_process() {
    let built = new("allocator")
        .file("src/main.rs", include_str!("crates/allocator.rs"))
        .cargo(&["build"], "debug");
    let finished = finish(&mut Command::new(built.program()), b"").unwrap();
    assert_eq!(finished.out_text(), "used there: true, here: true\n");
}

fn workers_in_a_shared_library_are_refused_with_words() {
    let plug = "[package]\nname = 'plug'\nedition = '2024'\n[lib]\ncrate-type = ['dylib']\n\
                [dependencies]\ndeploy.workspace = true\n";
    let built = new("plugged")
        .manifest(&format!(
            "plug = {{ path = 'plug' }}\n[workspace.dependencies]\ndeploy = {{ path = {:?} }}\n",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
        ))
        .file("plug/Cargo.toml", plug)
        .file("plug/src/lib.rs", include_str!("crates/plug.rs"))
        .file("src/main.rs", include_str!("crates/plugged.rs"))
        .cargo(&["build"], "debug");
    let mut command = Command::new(built.program());
    let libraries = std::env::join_paths([built.directory().to_path_buf(), libraries()]).unwrap();
    let finished = finish(command.env("LD_LIBRARY_PATH", libraries), b"").unwrap();
    assert_eq!(
        finished.out_text(),
        "in the program\n0\n\
         the function lies in a shared library: spawn functions of the program itself, linked statically\n",
        "{}",
        finished.err_text()
    );
}

fn a_test_with_a_main_of_its_own_is_a_program_and_one_in_the_harness_is_told_so() {
    let written = new("tested")
        .manifest("[[test]]\nname = 'own_main'\nharness = false\n")
        .file("src/lib.rs", "")
        .file("tests/own_main.rs", include_str!("crates/own_main.rs"))
        .file("tests/in_harness.rs", include_str!("crates/in_harness.rs"));
    let own_main = written.cargo(&["test", "--test", "own_main"], "debug");
    assert!(own_main.success(), "{}", own_main.said());
    assert!(own_main.said().contains("three times 4\n"));
    let in_harness = written.cargo(&["test", "--test", "in_harness"], "debug");
    let said = in_harness.said();
    assert!(said.contains("3 failed"), "{said}");
    let sentence = "deploy: init is called at the beginning of main, on its thread; a test that needs it sets \
                    `harness = false` and has a main of its own";
    assert_eq!(said.matches(sentence).count(), 2, "{said}");
    assert!(
        said.contains("deploy: call init(resources) first"),
        "{said}"
    );
}

/// Runs the program of `crates/workers.rs`, in which `panic` is how a process ends that panics.
fn check_workers(program: &Path, panic: &str, how: &str) {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", libraries());
    let finished = finish(&mut command, b"").unwrap();
    assert_eq!(
        finished.out_text(),
        format!(
            "function: 10\nits twin: 20\nlibrary: 30\nu64: 8\nf32: 11\nclosure: 60\npanic: {panic}\n"
        ),
        "{how}: {}",
        finished.err_text()
    );
    let finished = finish(command.env("DEPLOY_FORMAT", "json"), b"").unwrap();
    let events = finished.out_text();
    for name in [
        "one",
        "two",
        "main::{{closure}}",
        "in_library",
        "of_any_type<u64>",
        "of_any_type<f32>",
        "panics",
    ] {
        let worker = format!("::{name}\",");
        assert_eq!(
            events.matches(&worker).count(),
            1,
            "{how}, {name}: {events}"
        );
    }
}

/// The program with every kind of worker, and its library.
fn workers(name: &str) -> Crate {
    let library = "[package]\nname = 'library'\nedition = '2021'\n\
                   [dependencies]\ndeploy.workspace = true\nserde = '1'\n";
    new(name)
        .manifest(&format!(
            "library = {{ path = 'library' }}\n[workspace.dependencies]\ndeploy = {{ path = {:?} }}\n",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
        ))
        .file("library/Cargo.toml", library)
        .file("library/src/lib.rs", include_str!("crates/library.rs"))
        .file("src/main.rs", include_str!("crates/workers.rs"))
}

fn new(name: &str) -> Crate {
    Crate::new(env!("CARGO_TARGET_TMPDIR"), name, "2024")
}

/// Where the compiler's own shared libraries lie, of which a program linked dynamically needs one.
fn libraries() -> std::path::PathBuf {
    rustc(&["--print", "target-libdir"]).into()
}

fn is_installed(target: &str) -> bool {
    Path::new(&rustc(&["--print", "target-libdir", "--target", target])).exists()
}

fn rustc(arguments: &[&str]) -> String {
    let output = Command::new("rustc")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

const MUSL: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};
