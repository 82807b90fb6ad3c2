//! README.md followed word by word: what stands in its blocks is what is typed here. Only addresses are those of hosts that
//! were made for the test, and what is installed is what cargo has built already.

use deploy_tests::{
    cluster::Cluster,
    commands,
    daemon::Daemon,
    hosts::Hosts,
    pattern,
    run::{self, Finished},
};
use nix::sys::signal::Signal;
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

const README: &str = include_str!("../../README.md");

/// The blocks of a section, each as its kind and its text.
fn blocks(heading: &str) -> Vec<(&'static str, String)> {
    let section = README
        .split_once(&format!("\n{heading}\n"))
        .expect(heading)
        .1;
    let level = heading.split(' ').next().expect("it has one");
    let mut all: Vec<(&str, String)> = Vec::new();
    let mut is_inside = false;
    for line in section.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !is_inside => {
                all.push((kind, String::new()));
                is_inside = true;
            }
            Some(_) => is_inside = false,
            None if is_inside => {
                let block = &mut all.last_mut().expect("it has begun").1;
                *block += line;
                block.push('\n');
            }
            None if line.starts_with(&format!("{level} ")) => break,
            None => {}
        }
    }
    all
}

fn block(heading: &str, kind: &str, nth: usize) -> String {
    let found = blocks(heading).into_iter().filter(|block| block.0 == kind);
    found
        .map(|block| block.1)
        .nth(nth)
        .unwrap_or_else(|| panic!("{heading} has no such {kind}"))
}

/// Somebody with a home and a directory of their own, beside which this repository lies as `deploy`.
struct Person {
    home: PathBuf,
}

impl Person {
    fn new(name: &str) -> Person {
        // The same each time, so that cargo builds nothing twice; and not below this repository, where a new crate would
        // become part of it.
        let mut hasher = DefaultHasher::new();
        env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
        let name = format!("deploy-readme-{:x}-{name}", hasher.finish());
        let home = env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(home.join("bin")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        symlink(root, home.join("deploy")).unwrap();
        Person { home }
    }

    fn crate_directory(&self) -> PathBuf {
        self.home.join("hello")
    }

    /// Makes a command theirs, in this directory.
    fn dress<'c>(&self, command: &'c mut Command, directory: &Path) -> &'c mut Command {
        let paths = env::var_os("PATH").unwrap_or_default();
        let paths = [self.home.join("bin")]
            .into_iter()
            .chain(env::split_paths(&paths));
        commands::give_toolchain(command)
            .current_dir(directory)
            .env("HOME", &self.home)
            .env("PATH", env::join_paths(paths).unwrap())
            .env("CARGO_NET_OFFLINE", "true")
            // Where much is built already.
            .env(
                "CARGO_TARGET_DIR",
                Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(),
            )
            .env("CARGO_TERM_COLOR", "never")
            // That it is quick is not looked at, and optimising takes minutes.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        for name in [
            "XDG_CONFIG_HOME",
            "DEPLOY_FORMAT",
            "CARGO_BUILD_TARGET",
            "RUST_BACKTRACE",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Types lines here, which take as long as they take.
    fn types(&self, directory: &Path, lines: &str) -> std::process::Output {
        let mut shell = Command::new("sh");
        let output = self
            .dress(shell.args(["-ec", lines]), directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{lines}: {said}");
        output
    }

    /// What `cargo install --path` would put there.
    fn install(&self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["cargo", "install", "--path", package, ..] = words[..] else {
            panic!("{line} installs nothing");
        };
        assert!(
            self.home
                .join("deploy")
                .join(package)
                .join("Cargo.toml")
                .exists(),
            "{line}"
        );
        let command = match package {
            "fabric" => commands::fabric(),
            "cargo-deploy" => commands::cargo_deploy(),
            other => panic!("{other} is no command"),
        };
        symlink(command, self.home.join("bin").join(package)).unwrap();
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

#[test]
fn the_readme_can_be_followed_word_by_word() {
    let person = Person::new("many");
    a_first_program(&person);
    let Some(cluster) = on_a_cluster(&person) else {
        return;
    };
    cluster.finish();
}

/// A crate of one's own with the program in it.
fn a_first_program(person: &Person) {
    let program = block("## A first program", "rust", 0);
    let lines = block("## A first program", "sh", 0);
    let (setting_up, run) = lines.trim_end().rsplit_once('\n').expect("there are some");
    person.types(&person.home, setting_up);
    fs::write(person.crate_directory().join("src/main.rs"), program).unwrap();
    // The versions are those that are here, as without a network nobody else's can be.
    let lock = person.home.join("deploy/Cargo.lock");
    fs::copy(lock, person.crate_directory().join("Cargo.lock")).unwrap();
    let output = person.types(&person.crate_directory(), run);
    check_greetings(&output.stdout, &output.stderr);
    let pool = block("## Functions on a pool", "rust", 1);
    let beside = person.crate_directory().join("src/bin");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("primes.rs"), pool).unwrap();
    let output = person.types(&person.crate_directory(), "cargo run --bin primes");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "78498 primes\n");
    fs::remove_dir_all(beside).unwrap(); // The crate has one program again.
}

/// What the program prints, and the notes around it.
fn check_greetings(out: &[u8], err: &[u8]) {
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort();
    let mut expected: Vec<String> = (0..10).map(|n| format!("hello worker {n}!")).collect();
    expected.push("total 4500!".to_string());
    assert_eq!(lines, expected, "{err}");
    assert_eq!(err.matches("    exited: 0\n").count(), 11, "{err}");
}

/// A head, a node and a laptop, and what is typed on each.
fn on_a_cluster(person: &Person) -> Option<Cluster> {
    let section = "## On a cluster";
    block(section, "sh", 0)
        .lines()
        .for_each(|line| person.install(line));
    let typed = here(&block(section, "text", 0));
    let on = |host: &str, words: &str| {
        let prompt = format!("{host}$");
        let mut lines = typed.lines().filter_map(|line| line.strip_prefix(&prompt));
        let found = lines.find(|line| line.trim_start().starts_with(words));
        let found = found.unwrap_or_else(|| panic!("{words} is typed nowhere on {host}"));
        found
            .split(" #")
            .next()
            .unwrap_or_default()
            .trim()
            .to_string()
    };
    let master = on("head", "fabric master");
    let words = master
        .strip_prefix("fabric master ")
        .expect("it was looked for");
    let mut cluster = Cluster::head_only(&["node"], words)?;
    let join = on("node", "fabric join").replace("<NODE TOKEN>", &cluster.node_token);
    let join = join.strip_prefix("fabric ").expect("it was looked for");
    cluster.serve("node", join);
    let ever_after = typed
        .split("ever after: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let ever_after = ever_after
        .expect("it is said")
        .strip_prefix("fabric ")
        .expect("so");
    let node = cluster.release("node");
    node.signal(Signal::SIGINT);
    assert!(node.end().0.success());
    cluster.serve("node", ever_after);

    let login = on("laptop", "cargo deploy login").replace("<USER TOKEN>", &cluster.user_token);
    at_the_laptop(&cluster, person, &login, 0);
    // The build alone may take longer than anything that is tested here.
    person.types(&person.crate_directory(), "cargo build --release");
    let finished = at_the_laptop(&cluster, person, &on("laptop", "cargo deploy 10.77"), 0);
    check_greetings(&finished.out, &finished.err);
    let shape = typed
        .lines()
        .skip_while(|line| !line.starts_with("833d3de"))
        .count();
    assert_eq!(shape, 3, "what it prints stands at the end");

    without_a_terminal(&cluster, person);
    tests_run_there(&cluster, person);
    many_processes(&cluster, person);
    said_once(&cluster, person);
    Some(cluster)
}

/// The hosts of the test have other addresses than those of the README.
fn here(text: &str) -> String {
    text.replace("10.0.0.", "10.77.0.")
}

#[track_caller]
fn at_the_laptop(cluster: &Cluster, person: &Person, line: &str, code: i32) -> Finished {
    let host = cluster.hosts.host("laptop");
    let mut command = host.command("sh", &["-ec", line]);
    person.dress(&mut command, &person.crate_directory());
    let finished = host.within(|| run::finish(&mut command, b""));
    let finished = finished.unwrap_or_else(|why| panic!("{line}: {why}"));
    assert_eq!(finished.code, code, "{line}: {finished:?}");
    finished
}

/// The lines of a block, without what is said of each behind `#`.
fn lines(block: &str) -> Vec<String> {
    let bare = |line: &str| {
        line.split(" #")
            .next()
            .unwrap_or_default()
            .trim()
            .to_string()
    };
    here(block).lines().map(bare).collect()
}

fn without_a_terminal(cluster: &Cluster, person: &Person) {
    let all = lines(&block("### Jobs without a terminal", "sh", 0));
    let [detach, logs, attach, why, ps] = &all[..] else {
        panic!("somebody has to follow other lines: {all:?}");
    };
    let job = at_the_laptop(cluster, person, detach, 0).out_text();
    let job = job.trim();
    let ours = |line: &str| line.replace("JOB", &job[..8]);
    let followed = at_the_laptop(cluster, person, &format!("{} -f", ours(logs)), 0);
    check_greetings(&followed.out, &followed.err);
    let again = at_the_laptop(cluster, person, &ours(logs), 0);
    check_greetings(&again.out, &again.err);
    let over = at_the_laptop(cluster, person, &ours(attach), 0);
    check_greetings(&over.out, &over.err);
    let why = at_the_laptop(cluster, person, &ours(why), 0).out_text();
    assert!(why.starts_with("Nothing has failed by itself.\n"), "{why}");
    assert!(
        !at_the_laptop(cluster, person, ps, 0)
            .out_text()
            .contains(job)
    );
    let all = at_the_laptop(cluster, person, &format!("{ps} --all"), 0).out_text();
    assert!(all.contains(job), "{all}");
}

/// The line that makes the cluster cargo's runner, and what is told to work then.
fn tests_run_there(cluster: &Cluster, person: &Person) {
    let section = README
        .split_once("\n## On a cluster\n")
        .expect("it is there")
        .1;
    let begin = section
        .find("export CARGO_TARGET_X86_64")
        .expect("it is said");
    let export = section[begin..].split('`').next().expect("and ends");
    let export = export.replace("TARGET --", "10.77.0.1:8888 --files data --");
    let export = export.replace("X86_64", &env::consts::ARCH.to_uppercase());
    let directory = person.crate_directory();
    fs::create_dir_all(directory.join("data")).unwrap();
    fs::create_dir_all(directory.join("tests")).unwrap();
    fs::write(directory.join("data/x.txt"), "of the laptop").unwrap();
    let test = "#[test]\nfn reads() {\n    assert_eq!(std::fs::read(\"data/x.txt\").unwrap(), b\"of the laptop\");\n}\n";
    fs::write(directory.join("tests/reads.rs"), test).unwrap();
    // The build alone may take longer than anything that is tested here.
    person.types(&directory, "cargo test --no-run");
    let done = at_the_laptop(cluster, person, &format!("{export}\ncargo test"), 0);
    assert!(done.out_text().contains("test reads ... ok"), "{done:?}");
    let done = at_the_laptop(cluster, person, &format!("{export}\ncargo run"), 0);
    check_greetings(&done.out, &done.err);
}

/// A head, a node and a person, all on one machine.
#[test]
fn one_machine_is_enough_to_try_it() {
    let person = Person::new("one");
    block("## On a cluster", "sh", 0)
        .lines()
        .for_each(|line| person.install(line));
    let text = README
        .split_once("To try it, let all of them be one machine: ")
        .expect("it is said")
        .1;
    let Some(hosts) = Hosts::raise(&["only"]) else {
        return;
    };
    let typed: Vec<&str> = text.split('`').skip(1).step_by(2).take(4).collect();
    let [master, login, deploy, join] = typed[..] else {
        panic!("there are four");
    };
    let only = hosts.host("only");
    let daemon = |line: &str| {
        let mut command = only.command("sh", &["-ec", &format!("exec {line}")]);
        person.dress(&mut command, &person.home);
        only.within(|| Daemon::start(&mut command))
    };
    let mut head = daemon(master);
    let mut token = |words: &str| {
        let line = head.expect(words);
        line.split(' ')
            .next_back()
            .expect("it ends with it")
            .to_string()
    };
    let (for_node, for_user) = (token("fabric join "), token("cargo deploy login "));
    head.expect("is up");
    let state = person.home.join("second").display().to_string();
    let mut second = daemon(
        &join
            .replace("<NODE TOKEN>", &for_node)
            .replace("DIR", &state),
    );
    second.expect("in the cluster as");
    head.expect("is up");
    let run = |line: &str| {
        let mut command = only.command("sh", &["-ec", line]);
        person.dress(&mut command, &person.home);
        only.within(|| run::finish(&mut command, b"")).unwrap()
    };
    let done = run(&format!("{login} {for_user}"));
    assert_eq!(done.code, 0, "{done:?}");
    let program = env!("CARGO_BIN_EXE_greetings");
    let done = run(&format!("{deploy} --exe {program}"));
    check_greetings(&done.out, &done.err);
    let nodes = run("fabric nodes").out_text();
    assert_eq!(
        nodes
            .split_whitespace()
            .filter(|word| *word == "up")
            .count(),
        2,
        "{nodes}"
    );
    for daemon in [second, head] {
        daemon.signal(Signal::SIGINT);
        let (status, said) = daemon.end();
        assert!(status.success(), "{said}");
    }
    hosts.finish();
}

fn many_processes(cluster: &Cluster, person: &Person) {
    let section = "### Many processes";
    let all = lines(&block(section, "sh", 0));
    let [fold, files] = &all[..] else {
        panic!("somebody has to follow other lines: {all:?}");
    };
    let shown = at_the_laptop(cluster, person, fold, 0);
    let out = shown.out_text();
    assert!(out.contains("[0] total 4500!\n"), "{out}");
    let notes = shown.err_text();
    // Were the machine slow, it would be a few.
    assert!(
        (1..11).contains(&notes.matches("] exited: 0\n").count()),
        "{notes}"
    );
    at_the_laptop(cluster, person, files, 0);
    let listed = at_the_laptop(cluster, person, "cd results/*; ls; cat *.out", 0).out_text();
    let mut names: Vec<&str> = listed.lines().take(11).collect();
    assert_eq!(
        names.iter().filter(|name| name.ends_with(".out")).count(),
        11,
        "{listed}"
    );
    assert!(names.remove(0).starts_with("0000-"), "{listed}");
    assert_eq!(listed.matches("hello worker ").count(), 10, "{listed}");

    // A worker that panics, and the last words of the README.
    let main = person.crate_directory().join("src/main.rs");
    let program = fs::read_to_string(&main).unwrap();
    let broken = program.replace(
        "    println!(\"{}\", worker_arg.greeting);\n",
        "    panic!(\"no GPU found\");\n",
    );
    assert_ne!(program, broken);
    fs::write(&main, broken).unwrap();
    let finished = at_the_laptop(
        cluster,
        person,
        "cargo deploy 10.77.0.1:8888 --release",
        101,
    );
    let said = finished.err_text();
    let last: Vec<&str> = said.lines().rev().take(2).collect();
    let shown = here(&block(section, "text", 1));
    for (line, template) in [last[1], last[0]].iter().zip(shown.lines()) {
        let alike = template
            .replace("9ab0c12", "*")
            .replace("47d97c0b", "*")
            .replace("on n1", "on *")
            .replace(":31:9", ":*")
            .replace(
                "2 more failed after it",
                "1 more failed after it; the exit code is that of *, the first process",
            );
        let (pattern, _) = pattern::Pattern::parse(&format!("{alike:?}")).unwrap();
        assert!(pattern.matches(line.as_bytes()), "{line}\nis not\n{alike}");
    }
    fs::write(&main, program).unwrap();
}

fn said_once(cluster: &Cluster, person: &Person) {
    let section = "### What need not be said each time";
    let settings = person.crate_directory().join("deploy.toml");
    fs::write(&settings, here(&block(section, "toml", 0))).unwrap();
    let shown = at_the_laptop(cluster, person, "cargo deploy --release", 0);
    let said = shown.err_text();
    assert!(
        said.contains("on 10.77.0.1:8888, as ") && said.contains("deploy.toml says"),
        "{said}"
    );
    assert!(shown.out_text().contains("[0] total 4500!"), "{shown:?}");
    fs::remove_file(&settings).unwrap();
    at_the_laptop(cluster, person, &block(section, "sh", 0), 0);
    let man = person.home.join(".local/share/man/man1");
    assert!(man.join("cargo-deploy.1").exists() && man.join("fabric.1").exists());
    at_the_laptop(
        cluster,
        person,
        "bash -ec '. ~/.bashrc; complete -p cargo fabric'",
        0,
    );
}
