//! The most frequent words of all files below a directory: the files are shared out, the counts are merged.
//!
//! A word is a run of letters and digits, in lower case. Bytes that are not UTF-8 end a word, as a blank does. What cannot
//! be read is told on standard error, and the exit code is then 1, but the rest is counted.
//!
//! ```text
//! cargo run --release -p deploy-examples --example word_count -- .
//! cargo run --release -p deploy-examples --example word_count -- ~/texts 20 8
//! ```

use deploy::*;
use std::{
    cmp::Reverse,
    collections::HashMap,
    env,
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::{self, ExitCode},
    thread,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    init(Resources::default());
    let Some((directory, top, processes)) = arguments() else {
        eprintln!("usage: word_count DIRECTORY [TOP [PROCESSES, at least 1]]");
        process::exit(2);
    };
    let mut files = Vec::new();
    let mut failed = !collect(&directory, &mut files);

    let mut workers = Vec::new();
    for share in share_out(files, processes) {
        workers.push(spawn(count, share, Resources::default())?);
    }
    let mut words = HashMap::new();
    for worker in workers {
        let counts = Receiver::<Counts>::new(worker).recv()?;
        for (word, times) in counts.0 {
            *words.entry(word).or_insert(0) += times;
        }
        failed |= counts.1;
    }

    let mut words: Vec<(String, u64)> = words.into_iter().collect();
    words.sort_unstable_by_key(|(word, times)| (Reverse(*times), word.clone()));
    words.truncate(top);
    match show(&words) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {} // Whoever reads has enough, as `head` does.
        shown => shown?,
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn show(words: &[(String, u64)]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (word, times) in words {
        writeln!(out, "{times:8} {word}")?;
    }
    out.flush()
}

/// How often each word came, and whether anything could not be read.
type Counts = (HashMap<String, u64>, bool);

/// What each process runs. Paths travel as `OsString`: serde refuses a `PathBuf` that is not UTF-8.
fn count(parent: Pid, files: Vec<OsString>) {
    let mut counts = Counts::default();
    for file in files {
        if let Err(error) = count_file(Path::new(&file), &mut counts.0) {
            tell_unread(Path::new(&file), &error);
            counts.1 = true;
        }
    }
    let sent = Sender::new(parent).send(counts);
    sent.expect("the parent waits for the counts");
}

/// Line by line, so that a large file takes no more memory than a small one.
fn count_file(file: &Path, words: &mut HashMap<String, u64>) -> io::Result<()> {
    for line in BufReader::new(File::open(file)?).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if !word.is_empty() {
                *words.entry(word.to_lowercase()).or_insert(0) += 1;
            }
        }
    }
    Ok(())
}

/// Takes all files below a directory, with their sizes; links are not followed. Whether every directory could be read.
fn collect(directory: &Path, files: &mut Vec<(u64, PathBuf)>) -> bool {
    let mut collect_all = || -> io::Result<bool> {
        let mut is_whole = true;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                is_whole &= collect(&entry.path(), files);
            } else if kind.is_file() {
                files.push((entry.metadata()?.len(), entry.path()));
            }
        }
        Ok(is_whole)
    };
    collect_all().unwrap_or_else(|error| {
        tell_unread(directory, &error);
        false
    })
}

fn tell_unread(path: &Path, error: &io::Error) {
    eprintln!("word_count: cannot read {}: {error}", path.display());
}

/// Gives each file, the largest first, to the process that has least to do; no process without files.
fn share_out(mut files: Vec<(u64, PathBuf)>, processes: usize) -> Vec<Vec<OsString>> {
    let mut shares = vec![(0, Vec::new()); processes.min(files.len())];
    files.sort_unstable_by_key(|(size, _)| Reverse(*size));
    for (size, file) in files {
        let least = shares.iter_mut().min_by_key(|(total, _)| *total);
        let (total, share) = least.expect("there is a share where there is a file");
        *total += size.max(1);
        share.push(file.into_os_string());
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

/// Directory, how many words to show, how many processes; nothing if they make no sense.
fn arguments() -> Option<(PathBuf, usize, usize)> {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next()?.into();
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut number = |default| match arguments.next() {
        Some(argument) => argument.to_str()?.parse().ok(),
        None => Some(default),
    };
    Some((directory, number(10)?, number(cores)?)).filter(|(.., processes)| *processes > 0)
}
