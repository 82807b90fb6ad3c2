//! Every file of a directory compressed by a pool, and each looked at again: what is written unpacks to what was read.
//!
//! The files are read here and the packed ones written here, so a cluster needs to see neither. No more of them are in
//! memory than calls are out.
//!
//! ```text
//! cargo run --release -p deploy-examples --example compress_files -- src packed
//! cargo deploy CLUSTER --here --release -p deploy-examples --example compress_files -- src packed
//! ```
//!
//! Each `FILE` becomes `packed/FILE.zst`. What cannot be read is told on standard error, and the exit code is then 1.

use deploy::*;
use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

static POOL: Pool = Pool::new().replicas(4..=4).in_flight(16);

/// The bytes, packed.
#[on(POOL)]
fn pack(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    zstd::bulk::compress(&bytes, LEVEL).map_err(|why| why.to_string())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    init(Resources::default());
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [source, target] = &args[..] else {
        eprintln!("usage: compress_files DIRECTORY TARGET");
        process::exit(2);
    };
    let (files, mut is_well) = readable(source)?;
    fs::create_dir_all(target)?;
    let contents = files.iter().map(|file| fs::read(file).unwrap_or_default());
    let packed = POOL.map(pack, contents);
    let (mut count, mut before, mut after) = (0, 0, 0);
    for (file, packed) in files.iter().zip(packed) {
        let packed = packed??;
        let read = match fs::read(file) {
            Ok(read) => read,
            Err(why) => {
                tell_unread(file, &why);
                is_well = false;
                continue;
            }
        };
        if zstd::bulk::decompress(&packed, read.len())? != read {
            eprintln!("compress_files: {} changed meanwhile", file.display());
            is_well = false;
            continue;
        }
        fs::write(packed_path(file, target), &packed)?;
        (before, after) = (before + read.len(), after + packed.len());
        count += 1;
    }
    println!("{count} files, {before} bytes packed into {after}");
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The files of the directory, in order; and whether all can be opened.
fn readable(directory: &Path) -> Result<(Vec<PathBuf>, bool), Box<dyn Error>> {
    let read = fs::read_dir(directory)
        .map_err(|why| format!("cannot read {}: {why}", directory.display()))?;
    let mut files = Vec::new();
    let mut is_well = true;
    for entry in read {
        let path = entry?.path();
        match fs::File::open(&path) {
            Ok(_) if path.is_dir() => {}
            Ok(_) => files.push(path),
            Err(why) => {
                tell_unread(&path, &why);
                is_well = false;
            }
        }
    }
    files.sort();
    Ok((files, is_well))
}

fn tell_unread(file: &Path, why: &io::Error) {
    eprintln!("compress_files: cannot read {}: {why}", file.display());
}

fn packed_path(file: &Path, target: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".zst");
    target.join(name)
}

/// Slow and small: worth a pool.
const LEVEL: i32 = 19;
