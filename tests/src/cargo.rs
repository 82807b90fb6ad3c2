//! Crates that a test writes and cargo builds, in the target directory of the tests so that what is built already is
//! used again.
//!
//! Deliberately absent: the network. The versions are those of the workspace, which are there.

use crate::commands;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Output,
};

/// A crate that a test writes: it depends on Deploy and serde, and has what is added here.
#[derive(Debug)]
pub struct Crate {
    name: String,
    directory: PathBuf,
    target: PathBuf,
    /// What its manifest says beyond that.
    manifest: String,
}

/// What cargo said of it.
#[derive(Debug)]
pub struct Built {
    output: Output,
    directory: PathBuf,
    name: String,
}

impl Crate {
    /// A new crate below `temporary`, the test's own `CARGO_TARGET_TMPDIR`.
    pub fn new(temporary: &str, name: &str, edition: &str) -> Crate {
        Crate::with_features(temporary, name, edition, true)
    }

    /// The same; Deploy with the features that it has by default, or with none.
    pub fn with_features(temporary: &str, name: &str, edition: &str, features: bool) -> Crate {
        let temporary = Path::new(temporary);
        let directory = temporary.join(name);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the crate lies in the workspace");
        // What an earlier test wrote under this name must not be built along; nor may it hide that something is missing.
        let _ = fs::remove_dir_all(&directory);
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\n\n[workspace]\n\n\
             [dependencies]\ndeploy = {{ path = {:?}, default-features = {features} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
            root.join("deploy")
        );
        let written = Crate {
            name: name.to_string(),
            directory,
            target: temporary
                .parent()
                .expect("it is the target directory's tmp")
                .to_path_buf(),
            manifest,
        };
        let lock = fs::read_to_string(root.join("Cargo.lock")).expect("the workspace has a lock");
        written.file("Cargo.lock", &lock)
    }

    /// Adds lines to its manifest, of which the first ones still belong to `[dependencies]`.
    pub fn manifest(mut self, lines: &str) -> Crate {
        self.manifest += lines;
        self
    }

    /// Adds a file.
    pub fn file(self, path: &str, text: &str) -> Crate {
        let path = self.directory.join(path);
        let parent = path.parent().expect("it lies in the crate");
        fs::create_dir_all(parent).expect("the target directory can be written");
        fs::write(&path, text).expect("the target directory can be written");
        self
    }

    /// Has cargo do what `arguments` say, such as `build`, and says where what it builds then lies: in the directory
    /// `profile`, which is `debug` where they name none.
    pub fn cargo(&self, arguments: &[&str], profile: &str) -> Built {
        fs::write(self.directory.join("Cargo.toml"), &self.manifest)
            .expect("the target directory can be written");
        let (command, rest) = arguments.split_first().expect("cargo is told what to do");
        let output = commands::cargo()
            .args([command, "--offline", "--color", "never"])
            .args(rest)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("RUST_BACKTRACE")
            .current_dir(&self.directory)
            .output()
            .expect("cargo is there, since it runs the test");
        Built {
            output,
            directory: self.target.join(profile),
            name: self.name.clone(),
        }
    }
}

impl Built {
    /// Whether cargo ended well.
    pub fn success(&self) -> bool {
        self.output.status.success()
    }

    /// What cargo, and what it ran, said.
    pub fn said(&self) -> String {
        let Output { stdout, stderr, .. } = &self.output;
        format!(
            "{}{}",
            String::from_utf8_lossy(stderr),
            String::from_utf8_lossy(stdout)
        )
    }

    /// The program that was built.
    ///
    /// # Panics
    /// If it was not.
    pub fn program(&self) -> PathBuf {
        assert!(
            self.success(),
            "{} does not build:\n{}",
            self.name,
            self.said()
        );
        self.directory.join(&self.name)
    }

    /// Where it and its shared libraries lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
