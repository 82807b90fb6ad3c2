//! Every example in `examples/`, run with small numbers, its results found here in another way. What is not looked at:
//! how fast they are.
//!
//! Each runs as JSON lines and piped, and afterwards nothing of it may be left (`deploy_tests::run`).

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::{
    env,
    ffi::OsStr,
    fmt::Write,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn hello() {
    let workers: String = (0..3)
        .map(|i| says("worker", &format!("hello worker {i}!")))
        .collect();
    check("hello", &format!("//= main: exits 0\n{workers}"));
}

#[test]
fn greetings() {
    let workers: String = (0..10)
        .map(|i| says("worker", &format!("hello worker {i}!")))
        .collect();
    check(
        "greetings",
        &format!("//= main: exits 0, out \"total 4500!\\n\"\n{workers}"),
    );
}

#[test]
fn fork_join() {
    let hash = |number: u64| {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in format!("some text{number}").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let lowest = (0..5000).min_by_key(|number| hash(*number)).unwrap();
    for processes in [1, 3, 16] {
        check(
            "fork_join",
            &format!(
                "//= args \"some text\" 5000 {processes}\n\
                 //= main: exits 0, out \"lowest of 5000: {:016x}, for \\\"some text{lowest}\\\"\\n\"\n\
                 //=   search x{processes}: exits 0\n",
                hash(lowest)
            ),
        );
    }
    // More processes than numbers.
    check(
        "fork_join",
        "//= args x 1 3\n\
         //= main: exits 0, out \"lowest of 1: *, for \\\"x0\\\"\\n\"\n\
         //=   search x3: exits 0\n",
    );
    refused("fork_join", "x 0");
    refused("fork_join", "x 10 many");
}

#[test]
fn all_to_all() {
    for count in [1_u64, 2, 12] {
        let mut checksum = 0_u64;
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let message = (from * 65536 + to + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                checksum = checksum.wrapping_add(message);
            }
        }
        check(
            "all_to_all",
            &format!(
                "//= args {count}\n\
                 //= main: exits 0, out \"{count} processes, {} messages, checksum {checksum:016x}\\n\"\n\
                 //=   talk x{count}: exits 0\n",
                count * (count - 1)
            ),
        );
    }
    refused("all_to_all", "0");
    refused("all_to_all", "few");
}

#[test]
fn process_pool() {
    let member = "{{closure}}";
    let error = r#"Err(\"\\\"dozen\\\" is no number: invalid digit found in string\")"#;
    let squares: u64 = (0..1000).map(|number| number * number).sum();
    check(
        "process_pool",
        &format!(
            "//= args 3\n//= code 134\n\
             //= main: exits 0, out \"Ok(12)\\nOk(-7)\\n{error}\\nOk(99)\\n\"\n\
             //=   \"42\\nno result: the peer's process exited: SIGABRT\\n11\\n\"\n\
             //=   \"1000 jobs, {squares} in sum, by no more than 3 processes: true\\n\"\n\
             //=   {member} x9: exits 0\n\
             //=   {member}: killed SIGABRT\n"
        ),
    );
    refused("process_pool", "0");
}

#[test]
fn fibonacci() {
    // By its own definition, as slow as it is.
    fn value(number: u32) -> u64 {
        match number {
            0 | 1 => u64::from(number),
            _ => value(number - 1) + value(number - 2),
        }
    }
    fn tree(header: &mut String, worker: &str, number: u32, threshold: u32, depth: usize) {
        if number <= threshold {
            return;
        }
        for less in [number - 1, number - 2] {
            writeln!(header, "//={:1$}{worker}: exits 0", "", 1 + 2 * depth).unwrap();
            tree(header, worker, less, threshold, depth + 1);
        }
    }
    for form in ["blocking", "async"] {
        for (number, threshold) in [(0, 1), (1, 1), (7, 3), (24, 21)] {
            let mut header = format!(
                "//= args {form} {number} {threshold}\n\
                 //= main: exits 0, out \"fibonacci({number}) = {}\\n\"\n",
                value(number)
            );
            tree(&mut header, &format!("{form}_worker"), number, threshold, 1);
            check("fibonacci", &header);
        }
    }
    refused("fibonacci", "sideways");
    refused("fibonacci", "async 94");
    refused("fibonacci", "async 10 0");
}

#[test]
fn pipeline() {
    for wanted in [1_u64, 2000] {
        let odd: u64 = (0..wanted).map(|n| (2 * n + 1) * (2 * n + 1)).sum();
        let even: u64 = (1..=wanted).map(|n| (2 * n) * (2 * n)).sum();
        check(
            "pipeline",
            &format!(
                "//= args {wanted}\n\
                 //= main: exits 0, out \"the first {wanted} odd squares are {odd} in sum\\n\"\n\
                 //=   \"the first {wanted} even squares are {even} in sum\\n\"\n\
                 //=   merge: exits 0, out \"merged * numbers\\n\"\n\
                 //=   count x2: exits 0\n\
                 //=   square: exits 0\n"
            ),
        );
    }
    refused("pipeline", "0");
}

#[test]
fn primes() {
    for end in [0_usize, 3, 120_001] {
        let mut is_prime = vec![true; end];
        for number in 2..end {
            let multiples = (2 * number..end).step_by(number);
            multiples.for_each(|multiple| is_prime[multiple] = false);
        }
        let count = is_prime.iter().skip(2).filter(|prime| **prime).count();
        let workers = if end == 0 {
            ""
        } else {
            "//=   pool_worker x4: exits 0\n"
        };
        check(
            "primes",
            &format!(
                "//= args {end}\n\
                 //= main: exits 0, out \"{count} primes below {end}\\n\"\n{workers}"
            ),
        );
    }
    refused("primes", "many");
}

#[test]
fn mandelbrot() {
    let pictures = Texts::new("mandelbrot");
    let path = pictures.directory.join("set.png");
    check(
        "mandelbrot",
        &format!(
            "//= args 60 40 \"{0}\"\n\
             //= main: exits 0, out \"{0}: 60 x 40 points\\n\"\n\
             //=   pool_worker x4: exits 0\n",
            path.display()
        ),
    );
    let file = fs::read(path).unwrap();
    let (header, rest) = file.split_at(33);
    assert_eq!(&header[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&header[16..24], [0, 0, 0, 60, 0, 0, 0, 40]);
    // Of the points, which are one block that is stored: length, kind, zlib's and the block's headers before them.
    let row_bytes = 1 + 3 * 60;
    let points = &rest[8 + 2 + 5..][..40 * row_bytes];
    let row = |y: usize| &points[y * row_bytes..][..row_bytes];
    assert!(
        (1..40).all(|y| row(y)[0] == 0 && row(y) == row(40 - y)),
        "the set is symmetric"
    );
    let point = |x: usize, y: usize| &row(y)[1 + 3 * x..][..3];
    assert_eq!((point(44, 20), point(30, 20)), (&[0; 3][..], &[0; 3][..]));
    assert_ne!(point(0, 0), [0; 3]);
    refused("mandelbrot", "0 40");
    refused("mandelbrot", "60 wide");
}

#[test]
fn compress_files() {
    let texts = Texts::new("compress_files");
    texts.write("from/empty", b"");
    texts.write("from/short", b"short");
    texts.write("from/long", &b"again and again, ".repeat(20_000));
    texts.write("from/below/other", b"not looked at");
    let (from, to) = (texts.directory.join("from"), texts.directory.join("to"));
    check(
        "compress_files",
        &format!(
            "//= args \"{}\" \"{}\"\n\
             //= main: exits 0, out \"3 files, 340005 bytes packed into *\\n\"\n\
             //=   pool_worker x4: exits 0\n",
            from.display(),
            to.display()
        ),
    );
    for name in ["empty", "short", "long"] {
        let packed = fs::read(to.join(format!("{name}.zst"))).unwrap();
        let unpacked = zstd::bulk::decompress(&packed, 1 << 20).unwrap();
        assert_eq!(unpacked, fs::read(from.join(name)).unwrap());
    }
    assert_eq!(fs::read_dir(to).unwrap().count(), 3);
    refused("compress_files", "only");
}

/// Once a file that could be opened and not read ended it.
#[test]
fn compress_files_packs_the_rest_where_some_cannot_be_read() {
    let texts = Texts::new("compress_files_unread");
    texts.write("from/one", b"one");
    texts.write("from/three", b"three");
    let (from, to) = (texts.directory.join("from"), texts.directory.join("to"));
    symlink("nowhere", from.join("gone")).unwrap();
    // Its first page is never there.
    symlink("/proc/self/mem", from.join("opens")).unwrap();
    check(
        "compress_files",
        &format!(
            "//= args \"{0}\" \"{1}\"\n//= code 1\n\
             //= main: exits 1, out \"2 files, 8 bytes packed into *\\n\", err\n\
             //=   \"compress_files: cannot read {0}/gone: No such file or directory (os error 2)\\n\"\n\
             //=   \"compress_files: cannot read {0}/opens: Input/output error (os error 5)\\n\"\n\
             //=   pool_worker x4: exits 0\n",
            from.display(),
            to.display()
        ),
    );
    let packed = fs::read_dir(to).unwrap();
    let mut names: Vec<_> = packed.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["one.zst", "three.zst"]);
}

#[test]
fn word_count() {
    let texts = Texts::new("word_count");
    // `common` comes once in each file, `word3` three times in its one file.
    for index in 0..7 {
        let line = format!("COMMON, {}\n", format!("word{index} ").repeat(index));
        texts.write(format!("file {index}"), line.as_bytes());
    }
    texts.write("below/deeper/empty", b"");
    texts.write(
        "below/deeper/Größe",
        "GRÖSSE größe Größe\r\ncommon".as_bytes(),
    );
    texts.write("below/latin", b"caf\xe9caf\xff\xfe caf\n");
    texts.write(OsStr::from_bytes(b"name \xff"), b"caf");
    let directory = texts.directory.display();
    for processes in [1, 3, 50] {
        let workers = processes.min(11);
        check(
            "word_count",
            &format!(
                "//= args \"{directory}\" 6 {processes}\n\
                 //= main: exits 0, out \"       8 common\\n       6 word6\\n       5 word5\\n\"\n\
                 //=   \"       4 caf\\n       4 word4\\n       3 word3\\n\"\n\
                 //=   count x{workers}: exits 0\n"
            ),
        );
    }
    let missing = texts.directory.join("missing");
    check(
        "word_count",
        &format!(
            "//= args \"{0}\"\n//= code 1\n\
             //= main: exits 1, err \"word_count: cannot read {0}: No such file or directory (os error 2)\\n\"\n",
            missing.display()
        ),
    );
    refused("word_count", "");
    refused("word_count", ". many");
    refused("word_count", ". 10 0");
}

/// Once a directory that could not be read ended it.
#[test]
fn word_count_counts_the_rest_where_some_cannot_be_read() {
    let texts = Texts::new("word_count_unread");
    texts.write("one", b"common rare");
    // Root can read all that has a path, which may have 4095 bytes.
    let mut deep = texts.directory.clone();
    while deep.as_os_str().len() < 3900 {
        deep.push("d".repeat(100));
    }
    texts.write(deep.join("two"), b"common");
    let (file, directory) = ("f".repeat(250), "e".repeat(250));
    let script = format!("echo common >{file} && mkdir {directory}");
    let made = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&deep)
        .status();
    assert!(made.unwrap().success());
    check(
        "word_count",
        &format!(
            "//= args \"{0}\" 10 2\n//= code 1\n\
             //= main: exits 1, out \"       2 common\\n       1 rare\\n\", \
             err \"word_count: cannot read {1}/{directory}: File name too long (os error 36)\\n\"\n\
             //=   count: exits 0\n\
             //=   count: exits 0, err \"word_count: cannot read {1}/{file}: File name too long (os error 36)\\n\"\n",
            texts.directory.display(),
            deep.display()
        ),
    );
}

#[test]
fn every_example_is_tested_and_stands_in_the_readme() {
    let tests = include_str!("examples.rs");
    let readme = include_str!("../../README.md");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let run = format!("--example {name}");
        assert!(
            tests.contains(&format!("fn {name}()")),
            "{name} has no test"
        );
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
        assert!(
            fs::read_to_string(&path).unwrap().contains(&run),
            "{name} does not say how to run it"
        );
    }
}

/// Runs an example in each way that the header asks for.
fn check(name: &str, header: &str) {
    deploy_tests::run::alone(&executable(name), header);
}

/// Runs an example with arguments that it does not understand.
fn refused(name: &str, arguments: &str) {
    check(
        name,
        &format!(
            "//= args {arguments}\n//= code 2\n\
             //= main: exits 2, err \"usage: {name} *\\n\"\n"
        ),
    );
}

/// A child of the initial process that prints one line.
fn says(worker: &str, line: &str) -> String {
    format!("//=   {worker}: exits 0, out \"{line}\\n\"\n")
}

/// Where cargo put the example. It builds all of them before it runs this, but not for `cargo test --test examples`.
fn executable(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    let changed = |file: &Path| fs::metadata(file).and_then(|file| file.modified());
    assert!(
        changed(&path).is_ok_and(|built| built >= changed(&source).unwrap()),
        "{name} is not built as it is now: run cargo test -p deploy-examples"
    );
    path
}

/// A directory of files that goes away.
struct Texts {
    directory: PathBuf,
}

impl Texts {
    fn new(name: &str) -> Texts {
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Texts { directory }
    }

    fn write(&self, name: impl AsRef<Path>, text: &[u8]) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).unwrap();
    }
}
