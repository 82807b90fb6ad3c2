//! Which programs may begin at all: what a person wants run is looked at here, whatever the client has let through.
//!
//! Deliberately absent: who the person is, and whether there is room.

use deploy_wire::client::RunRequest;

/// Looks at names, values and sizes.
///
/// # Errors
/// A sentence that names what is refused, and why.
pub fn check(request: &RunRequest) -> Result<(), String> {
    if request.is_here && request.is_detached {
        let why = "a job whose first process runs at its person's cannot go on without";
        return Err(why.to_string());
    }
    if request.args.len() > ARGUMENTS_MAX {
        return Err(format!("there are more arguments than {ARGUMENTS_MAX}"));
    }
    check_texts("arguments", &request.args)?;
    if request.args.is_empty() {
        return Err("a program needs a name as its first argument".to_string());
    }
    if request.worker.len() > NAME_BYTES_MAX {
        return Err(format!(
            "the name of what the program runs is longer than {NAME_BYTES_MAX} bytes"
        ));
    }
    let names = request.env.iter().map(|(name, _)| name);
    names.clone().try_for_each(|name| check_name(name))?;
    let mut variables: Vec<_> = request.env.iter().map(|(_, value)| value.clone()).collect();
    variables.extend(names.cloned());
    if request.env.len() > VARIABLES_MAX {
        return Err(format!(
            "there are more environment variables than {VARIABLES_MAX}"
        ));
    }
    check_texts("environment variables", &variables)?;
    let texts = request.args.iter().chain(&variables);
    if texts.map(Vec::len).sum::<usize>() > ALL_BYTES_MAX {
        return Err(format!(
            "arguments and environment together are longer than {} KiB: pass a file instead",
            ALL_BYTES_MAX >> 10
        ));
    }
    Ok(())
}

/// Whether these are short and whole enough for a process to be given them.
fn check_texts(what: &str, texts: &[Vec<u8>]) -> Result<(), String> {
    if texts.iter().any(|text| text.contains(&0)) {
        return Err(format!("a zero byte is in the {what}"));
    }
    if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(format!(
            "one of the {what} is longer than {} KiB: pass a file instead",
            TEXT_BYTES_MAX >> 10
        ));
    }
    Ok(())
}

/// What would change how a program is loaded, or speak for us, is nobody's to set.
fn check_name(name: &[u8]) -> Result<(), String> {
    let shown = String::from_utf8_lossy(name);
    if name.is_empty() || name.contains(&b'=') || name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "{shown:?} cannot be the name of an environment variable"
        ));
    }
    let is_loaders = name.starts_with(b"LD_") || name == b"GLIBC_TUNABLES";
    if is_loaders {
        return Err(format!(
            "{shown} changes how programs are loaded, and is not taken along: link what is needed into the program"
        ));
    }
    if name.starts_with(b"DEPLOY_") || name.starts_with(b"FABRIC_") {
        return Err(format!(
            "{shown} is between Deploy and its own processes, and is not taken along"
        ));
    }
    Ok(())
}

/// As many as people have, some times over.
const ARGUMENTS_MAX: usize = 1024;
const VARIABLES_MAX: usize = 1024;
/// Far above any name in use.
const NAME_BYTES_MAX: usize = 1 << 10;
/// The kernel takes no longer one where pages are small, with the name before it.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// An order to a warden, which is one packet, holds them all.
const ALL_BYTES_MAX: usize = 160 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn request(args: &[&str], env: Variables<'_>) -> RunRequest {
        let bytes = |text: &&str| text.as_bytes().to_vec();
        RunRequest {
            image: [0; 32],
            worker: "hello::main".to_string(),
            args: args.iter().map(bytes).collect(),
            env: env
                .iter()
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
            resources: None,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            is_detached: false,
            files: None,
            is_here: false,
        }
    }

    #[test]
    fn what_a_program_may_be_given_is_taken() {
        let long = "x".repeat(TEXT_BYTES_MAX);
        check(&request(
            &["hello", "", &long],
            &[("A", ""), ("RUST_LOG", &long)],
        ))
        .unwrap();
    }

    #[test]
    fn what_it_may_not_be_given_is_named() {
        let (long, longer) = ("x".repeat(TEXT_BYTES_MAX), "x".repeat(TEXT_BYTES_MAX + 1));
        let many: Vec<(&str, &str)> = std::iter::repeat_n(("A", "b"), VARIABLES_MAX + 1).collect();
        let cases: [(&[&str], Variables, &str); 14] = [
            (&[], &[], "needs a name"),
            (&["a\0b"], &[], "a zero byte is in the arguments"),
            (&["a", &*longer], &[], "longer than 32 KiB"),
            (&[&*long; 6], &[], "together are longer than 160 KiB"),
            (&["a"; ARGUMENTS_MAX + 1], &[], "more arguments than 1024"),
            (&["a"], &many, "more environment variables than 1024"),
            (&["a"], &[("", "b")], "cannot be the name"),
            (&["a"], &[("A=B", "c")], "cannot be the name"),
            (&["a"], &[("A\0", "c")], "a zero byte is in the environment"),
            (&["a"], &[("A", "c\0")], "a zero byte is in the environment"),
            (&["a"], &[("LD_PRELOAD", "c")], "LD_PRELOAD changes how"),
            (&["a"], &[("GLIBC_TUNABLES", "c")], "changes how"),
            (&["a"], &[("DEPLOY_BIRTH", "9")], "DEPLOY_BIRTH is between"),
            (&["a"], &[("FABRIC_X", "9")], "FABRIC_X is between"),
        ];
        for (args, env, sentence) in cases {
            let error = check(&request(args, env)).unwrap_err();
            assert!(error.contains(sentence), "{sentence}: {error}");
        }
    }
}
