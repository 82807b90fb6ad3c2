//! Looks at a program before it is sent: what could not run on any node is better told here than there.
//!
//! Deliberately absent: which libraries the nodes have, beside glibc.

use crate::{
    cli::Given,
    content::Content,
    elf::{self, Elf},
    failure::Failure,
    settings, strip,
};
use deploy_parcel::tree;
use deploy_wire::client::{Digest, NodeView};
use std::{
    env::{self, consts::ARCH},
    fs::File,
    io,
    path::Path,
};

/// A program that can be sent, or files for one.
pub struct Image {
    /// What is sent of it.
    pub content: Content,
    /// The name of that on the cluster.
    pub digest: Digest,
    /// What it is called here.
    pub name: String,
    /// What it says of itself.
    pub elf: Elf,
}

impl Image {
    /// Whether nothing in it ever calls `init`. One that does looks for this variable.
    pub fn is_ordinary(&self) -> bool {
        !self.has(b"DEPLOY_BIRTH")
    }

    /// Whether nothing in its libraries does so either, which is known only where it has none but a system's.
    pub fn is_certainly_ordinary(&self) -> bool {
        self.is_ordinary() && strange_libraries(&self.elf).next().is_none()
    }

    /// Whether these bytes are somewhere in it, as far as it can be read.
    pub fn has(&self, bytes: &[u8]) -> bool {
        self.content.has(bytes).unwrap_or(false)
    }
}

/// Reads a program's tables, and what of it has to travel: with all its symbols, if those will be wanted there.
pub fn look(path: &Path, with_symbols: bool) -> Result<Image, Failure> {
    let failed =
        |why: String| Failure::launch(format!("`{}` cannot be sent: {why}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let facts = file.metadata().map_err(|error| failed(error.to_string()))?;
    if !facts.is_file() {
        return Err(failed("it is no file".into()));
    }
    let elf = elf::read(&file).map_err(|error| failed(error.to_string()))?;
    if let Some(why) = unfit(&elf) {
        return Err(failed(why));
    }
    let unreadable = |error: io::Error| failed(error.to_string());
    let content = strip::copy(file, &elf, with_symbols).map_err(unreadable)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(Image {
        digest: content.digest().map_err(unreadable)?,
        content,
        name: name.to_string_lossy().into_owned(),
        elf,
    })
}

/// Whether something there will look for the names of functions: the program itself, or a debugger.
pub fn wants_symbols(env: &[(Vec<u8>, Vec<u8>)]) -> bool {
    env.iter().any(|(name, value)| {
        let is_wish = SYMBOLS_FOR.iter().any(|wanted| name == wanted);
        is_wish && value != b"0"
    })
}

/// The files that a program is given, to be sent as a program is; none, if there are none.
pub fn files(given: &Given) -> Result<Option<Image>, Failure> {
    if given.files.is_empty() {
        return Ok(None);
    }
    let root = given.files_root.clone().map_or_else(env::current_dir, Ok);
    let packed = root.and_then(|root| tree::pack(&root, &given.files, FILES_BYTES_MAX));
    let bytes = packed.map_err(|error| {
        let whose = match &given.files_root {
            Some(root) => format!("`files` of {}", root.join(settings::NAME).display()),
            None => "--files".to_string(),
        };
        Failure::setting(format!("{whose} cannot be taken along: {error}"))
    })?;
    Ok(Some(Image {
        digest: *blake3::hash(&bytes).as_bytes(),
        content: Content::Bytes(bytes),
        name: "files".to_string(),
        elf: Elf::default(),
    }))
}

/// What people call what its first process runs: `hello::main`.
pub fn worker(name: &str) -> String {
    let stem = Path::new(name).file_stem().unwrap_or_default();
    format!("{}::main", stem.to_string_lossy().replace('-', "_"))
}

/// What it needs of the machine that it will run on, in one line.
pub fn needs(elf: &Elf) -> String {
    let Some(interpreter) = &elf.interpreter else {
        return "nothing: it is linked statically".into();
    };
    let mut needs = interpreter.clone();
    if let Some(version) = &elf.glibc {
        needs += &format!(", glibc {} or newer", dotted(version));
    }
    for library in strange_libraries(elf) {
        needs += &format!(", {library}");
    }
    needs
}

/// Whether the nodes' glibc is new enough: a sentence for the person if some have an older one, and a failure if all do.
pub fn check_nodes(image: &Image, nodes: &[NodeView]) -> Result<Option<String>, Failure> {
    let Some(needed) = &image.elf.glibc else {
        return Ok(None);
    };
    let known = nodes
        .iter()
        .filter_map(|node| Some((numbers(&node.glibc)?, node)));
    let (older, fit): (Vec<_>, Vec<_>) = known.partition(|(has, _)| has < needed);
    let Some((has, newest)) = older.iter().max_by_key(|(has, _)| has) else {
        return Ok(None);
    };
    let (name, needed, has) = (&image.name, dotted(needed), dotted(has));
    if fit.is_empty() {
        return Err(Failure::launch(format!(
            "`{name}` needs glibc {needed} or newer, and the newest of the cluster's machines has {has} ({}): build it \
             on an older system, or with `--target {ARCH}-unknown-linux-musl`, which needs none",
            newest.name
        )));
    }
    let names: Vec<&str> = older.iter().map(|(_, node)| node.name.as_str()).collect();
    let names = names.join(", ");
    Ok(Some(format!(
        "{name} needs glibc {needed} or newer, and will not start on {names}"
    )))
}

/// `2.36` as numbers.
fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

fn dotted(version: &[u32]) -> String {
    let numbers: Vec<String> = version.iter().map(ToString::to_string).collect();
    numbers.join(".")
}

/// The libraries that a machine with glibc need not have.
pub fn strange_libraries(elf: &Elf) -> impl Iterator<Item = &str> {
    let is_usual = |name: &str| {
        let usual = [
            "libc",
            "libm",
            "libdl",
            "librt",
            "libpthread",
            "libutil",
            "libresolv",
            "libgcc_s",
        ];
        name.starts_with("ld-")
            || name
                .split('.')
                .next()
                .is_some_and(|stem| usual.contains(&stem))
    };
    elf.libraries
        .iter()
        .map(String::as_str)
        .filter(move |name| !is_usual(name))
}

fn unfit(elf: &Elf) -> Option<String> {
    let machine = MACHINES.iter().find(|(number, _)| *number == elf.machine);
    let machine = machine.map_or("another kind of machine", |(_, name)| name);
    if machine != ARCH {
        return Some(format!(
            "it is built for {machine}, and the cluster's machines are taken to be of this one's kind, {ARCH}"
        ));
    }
    (!elf.is_program).then(|| "it is a library or an object file, not a program".into())
}

/// Variables by which a program is asked for backtraces, or shown to a debugger.
const SYMBOLS_FOR: [&[u8]; 3] = [b"RUST_BACKTRACE", b"RUST_LIB_BACKTRACE", b"DEPLOY_WRAP"];
/// They lie in memory here until they are sent.
const FILES_BYTES_MAX: u64 = 512 << 20;
/// Numbers of machines in ELF files, and what Rust calls them.
const MACHINES: [(u16, &str); 6] = [
    (3, "x86"),
    (21, "powerpc64"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::resources::Resources;

    #[test]
    fn this_test_could_be_sent() {
        let path = env::current_exe().unwrap();
        let image = look(&path, true).unwrap();
        assert_eq!(image.content.len(), path.metadata().unwrap().len());
        assert_ne!(image.digest, look(&path, false).unwrap().digest);
        assert!(needs(&image.elf).contains("glibc 2."));
    }

    #[test]
    fn another_machines_program_is_refused_by_name() {
        let elf = |machine, is_program| Elf {
            machine,
            is_program,
            ..Elf::default()
        };
        let (own, other) = if ARCH == "aarch64" {
            (183, 62)
        } else {
            (62, 183)
        };
        assert!(
            unfit(&elf(other, true))
                .unwrap()
                .contains("it is built for")
        );
        assert!(unfit(&elf(own, false)).unwrap().contains("not a program"));
        assert_eq!(unfit(&elf(own, true)), None);
    }

    #[test]
    fn an_older_glibc_is_told_before_anything_is_sent() {
        let image = Image {
            content: Content::Bytes(Vec::new()),
            digest: [0; 32],
            name: "hello".into(),
            elf: Elf {
                glibc: Some(vec![2, 39]),
                ..Elf::default()
            },
        };
        let node = |name: &str, glibc: &str| NodeView {
            name: name.into(),
            address: String::new(),
            state: "up".into(),
            capacity: Resources::default(),
            free: Resources::default(),
            processes: 0,
            isolation: String::new(),
            labels: Vec::new(),
            glibc: glibc.into(),
            lost_seconds: None,
        };
        let check = |nodes: &[NodeView]| check_nodes(&image, nodes);
        let (new, old, older) = (node("n1", "2.39"), node("n2", "2.36"), node("n3", "2.4"));
        assert_eq!(check(&[new.clone(), node("n4", "")]).unwrap(), None);
        assert_eq!(
            check(&[new, old.clone(), older.clone()]).unwrap().unwrap(),
            "hello needs glibc 2.39 or newer, and will not start on n2, n3"
        );
        let failure = check(&[older, old]).unwrap_err().to_string();
        assert!(
            failure.starts_with("`hello` needs glibc 2.39 or newer, and the newest of the cluster's machines has 2.36 (n2)"),
            "{failure}"
        );
    }

    #[test]
    fn a_library_may_call_init_for_its_program() {
        let image = |bytes: &[u8], library: &str| Image {
            content: Content::Bytes(bytes.to_vec()),
            digest: [0; 32],
            name: "hello".into(),
            elf: Elf {
                libraries: vec![library.to_string()],
                ..Elf::default()
            },
        };
        let check = |image: Image| (image.is_ordinary(), image.is_certainly_ordinary());
        assert_eq!(check(image(b"plain", "libc.so.6")), (true, true));
        assert_eq!(check(image(b"plain", "libdeploy.so")), (true, false));
        assert_eq!(check(image(b".DEPLOY_BIRTH.", "libc.so.6")), (false, false));
    }

    #[test]
    fn libraries_that_a_node_may_lack_are_named() {
        let elf = Elf {
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            libraries: ["libssl.so.3", "libc.so.6", "libgcc_s.so.1"]
                .map(String::from)
                .into(),
            glibc: Some(vec![2, 34]),
            ..Elf::default()
        };
        let expected = "/lib64/ld-linux-x86-64.so.2, glibc 2.34 or newer, libssl.so.3";
        assert_eq!(needs(&elf), expected);
        assert_eq!(worker("my-app"), "my_app::main");
    }
}
