//! The flags of `cargo run`, as they are: taken apart only as far as is needed to hand them on.
//!
//! Deliberately absent: what they mean. That is cargo's.

use clap::{ArgAction, Args};
use std::{ffi::OsString, path::PathBuf};

/// What `cargo run` understands, but for its `--message-format`.
#[derive(Args, Clone, Default, Debug)]
#[command(next_help_heading = "Flags of cargo run")]
pub struct CargoFlags {
    /// Package with the target to run.
    #[arg(short, long, value_name = "SPEC", num_args = 0..=1, default_missing_value = "", action = ArgAction::Append)]
    pub package: Vec<String>,
    /// Name of the binary to run.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", action = ArgAction::Append)]
    pub bin: Vec<String>,
    /// Name of the example to run.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", action = ArgAction::Append)]
    pub example: Vec<String>,
    /// Features to activate, separated by commas or spaces.
    #[arg(short = 'F', long, value_name = "FEATURES", action = ArgAction::Append)]
    pub features: Vec<String>,
    /// Activate all available features.
    #[arg(long)]
    pub all_features: bool,
    /// Do not activate the `default` feature.
    #[arg(long)]
    pub no_default_features: bool,
    /// Number of parallel jobs of the build.
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub jobs: Option<String>,
    /// Do not abort the build as soon as there is an error.
    #[arg(long)]
    pub keep_going: bool,
    /// Build with optimizations.
    #[arg(short, long)]
    pub release: bool,
    /// Build with the specified profile.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Build for the target triple.
    #[arg(long, value_name = "TRIPLE", num_args = 0..=1, default_missing_value = "", action = ArgAction::Append)]
    pub target: Vec<String>,
    /// Directory for all that is built.
    #[arg(long, value_name = "DIRECTORY")]
    pub target_dir: Option<PathBuf>,
    /// Output a report on how long the build took.
    #[arg(long, value_name = "FORMATS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub timings: Option<String>,
    /// Path to Cargo.toml.
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Path to Cargo.lock (unstable).
    #[arg(long, value_name = "PATH")]
    pub lockfile_path: Option<PathBuf>,
    /// Ignore the `rust-version` of packages.
    #[arg(long)]
    pub ignore_rust_version: bool,
    /// Assert that Cargo.lock will remain unchanged.
    #[arg(long)]
    pub locked: bool,
    /// Build without accessing the network.
    #[arg(long)]
    pub offline: bool,
    /// Both --locked and --offline.
    #[arg(long)]
    pub frozen: bool,
    /// Override a configuration value of cargo.
    #[arg(long, value_name = "KEY=VALUE|PATH", action = ArgAction::Append)]
    pub config: Vec<OsString>,
    /// Unstable flags of cargo, on nightly only.
    #[arg(short = 'Z', value_name = "FLAG", action = ArgAction::Append)]
    pub unstable: Vec<String>,
    /// Say more: -v also what the program needs of its machine, -vv also what build scripts say.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Do not show what cargo does, nor the progress of sending.
    #[arg(short, long)]
    pub quiet: bool,
    /// Colours in what cargo says: auto, always, never.
    #[arg(long, value_name = "WHEN")]
    pub color: Option<String>,
}

impl CargoFlags {
    /// All of them, in an order of our own.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = Line::default();
        args.optional("--package", &self.package);
        args.optional("--bin", &self.bin);
        args.optional("--example", &self.example);
        args.rest(self);
        args.0
    }

    /// All of them, but that the target to build is this binary.
    pub fn to_args_for_bin(&self, bin: &str) -> Vec<OsString> {
        let mut args = Line::default();
        args.optional("--package", &self.package);
        args.with("--bin", [bin]);
        args.rest(self);
        args.0
    }

    /// Those of them that decide which packages there are.
    pub fn to_metadata_args(&self) -> Vec<OsString> {
        let mut args = Line::default();
        args.manifest(self);
        args.0
    }
}

/// A command line that grows.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn rest(&mut self, flags: &CargoFlags) {
        self.with("--features", &flags.features);
        self.switch("--all-features", flags.all_features);
        self.switch("--no-default-features", flags.no_default_features);
        self.with("--jobs", &flags.jobs);
        self.switch("--keep-going", flags.keep_going);
        self.switch("--release", flags.release);
        self.with("--profile", &flags.profile);
        self.optional("--target", &flags.target);
        self.with("--target-dir", &flags.target_dir);
        if let Some(formats) = &flags.timings {
            self.0.push(match formats.as_str() {
                "" => "--timings".into(),
                formats => format!("--timings={formats}").into(),
            });
        }
        self.switch("--ignore-rust-version", flags.ignore_rust_version);
        self.manifest(flags);
        for _ in 0..flags.verbose {
            self.0.push("--verbose".into());
        }
        self.switch("--quiet", flags.quiet);
        self.with("--color", &flags.color);
    }

    fn manifest(&mut self, flags: &CargoFlags) {
        self.with("--manifest-path", &flags.manifest_path);
        self.with("--lockfile-path", &flags.lockfile_path);
        self.switch("--locked", flags.locked);
        self.switch("--offline", flags.offline);
        self.switch("--frozen", flags.frozen);
        self.with("--config", &flags.config);
        self.with("-Z", &flags.unstable);
    }

    fn switch(&mut self, name: &str, is_on: bool) {
        if is_on {
            self.0.push(name.into());
        }
    }

    fn with<V: Into<OsString> + Clone>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        for value in values {
            self.0.extend([name.into(), value.into()]);
        }
    }

    /// A flag whose value may be missing: cargo then lists what there is.
    fn optional(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.0.push(name.into());
            if !value.is_empty() {
                self.0.push(value.into());
            }
        }
    }
}
