//! The examples on a cluster of three nodes, as somebody at a laptop runs them: by `cargo deploy`, which builds them, and
//! some with the first process at the laptop, whose files they read and write. What they print alone: `examples.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use deploy_tests::{cluster::Cluster, commands, story::Story};
use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

/// A person at the laptop, in a directory of theirs.
struct Laptop {
    cluster: Cluster,
    directory: PathBuf,
}

#[test]
fn pools_work_on_three_nodes_for_files_of_the_laptop() {
    // Room for two processes each: so four workers and their caller need all three.
    let Some(cluster) = Cluster::with_room(&["n1", "n2"], "512MiB 1") else {
        return;
    };
    let directory = cluster.hosts.host("laptop").disk().join("work");
    let laptop = Laptop { cluster, directory };
    laptop.build();
    laptop.cluster.login();
    fs::create_dir_all(laptop.directory.join("from/below")).unwrap();
    let long = b"again and again, ".repeat(20_000);
    for (name, text) in [("long", &long[..]), ("short", b"short"), ("below/not", b"")] {
        fs::write(laptop.directory.join("from").join(name), text).unwrap();
    }

    primes(&laptop);
    mandelbrot(&laptop);
    compress_files(&laptop, &long);
    for (example, words, out) in [
        ("greetings", "", "total 4500!\n"),
        ("fork_join", "x 100 2", "lowest of 100: "),
        ("word_count", "from 1", "   40000 again\n"),
    ] {
        let flags = "--files from --mem 200MiB";
        let said = laptop.types(&format!("{flags} --example {example} -- {words}"));
        assert!(said.contains(out), "{example}: {said}");
    }
    laptop.cluster.finish();
}

/// Its processes are on all nodes; and where its first one is at the laptop, the others are not.
fn primes(laptop: &Laptop) {
    let primes = "11301 primes below 120000\n";
    assert_eq!(laptop.types("--example primes -- 120000"), primes);
    for (here, nodes) in [
        ("", &["head", "n1", "n2"][..]),
        ("--here", &["head", "here", "n1", "n2"]),
    ] {
        let line = format!("--format json {here} --example primes -- 120000");
        let mut story = Story::default();
        laptop
            .types(&line)
            .lines()
            .for_each(|line| story.take(line));
        assert!(story.is_over() && story.broken.is_empty(), "{story:?}");
        assert_eq!((story.lives.len(), &*story.lives[0].out), (5, primes));
        let on: BTreeSet<&str> = story.lives.iter().map(|life| &*life.node).collect();
        assert!(
            on.iter().all(|node| nodes.contains(node)) && on.len() > 2,
            "{on:?}"
        );
    }
}

/// The picture is where the first process wrote it.
fn mandelbrot(laptop: &Laptop) {
    let said = laptop.types("--here --example mandelbrot -- 60 40 set.png");
    assert_eq!(said, "set.png: 60 x 40 points\n");
    let file = fs::read(laptop.directory.join("set.png")).unwrap();
    assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
    assert!(file.len() > 40 * 60 * 3);
}

/// The files are read at the laptop, or travel there with the program.
fn compress_files(laptop: &Laptop, long: &[u8]) {
    let said = laptop.types("--here --example compress_files -- from packed");
    assert!(
        said.starts_with("2 files, 340005 bytes packed into "),
        "{said}"
    );
    let packed = fs::read(laptop.directory.join("packed/long.zst")).unwrap();
    assert_eq!(zstd::bulk::decompress(&packed, long.len()).unwrap(), long);
    let there = laptop.types("--files from --example compress_files -- from packed");
    assert_eq!(there, said);
}

impl Laptop {
    /// What `cargo deploy` would build: that alone may take longer than anything that is tested here.
    fn build(&self) {
        let mut cargo = commands::cargo();
        let built = at_home(cargo.args(["build", "--quiet", "--examples"])).status();
        assert!(built.unwrap().success());
    }

    /// Types this behind `cargo deploy TARGET`, where it has to go well, and returns what it prints.
    #[track_caller]
    fn types(&self, words: &str) -> String {
        let manifest = format!("{WORKSPACE}/Cargo.toml");
        let mut typed = vec!["10.77.0.1:8888", "--manifest-path", &manifest];
        typed.extend(words.split_whitespace());
        let mut command = self.cluster.cargo(&typed);
        at_home(&mut command).current_dir(&self.directory);
        let finished = self.cluster.finish_deploy(&mut command, b"").unwrap();
        assert_eq!(finished.code, 0, "{words}: {}", finished.err_text());
        finished.out_text()
    }
}

/// With the toolchain that builds this, and where it has built already.
fn at_home(command: &mut Command) -> &mut Command {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    commands::give_toolchain(command)
        .current_dir(WORKSPACE)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target.parent().unwrap())
        .env_remove("CARGO_BUILD_TARGET")
}

/// Chosen from all packages, the examples are what `cargo test --workspace` has built: from one, dependencies have other features.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
