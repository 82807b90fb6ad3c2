//! Man pages and shell completions, as the commands themselves give them away to whoever installs them.
//!
//! What of it a machine has no tool to check says `skipped:`.

use deploy_tests::{commands, pty::Terminal, run::finish};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a command prints.
fn said(command: &Path, words: &[&str]) -> String {
    let finished = finish(Command::new(command).args(words), b"").unwrap();
    assert_eq!(finished.code, 0, "{words:?}: {finished:?}");
    finished.out_text()
}

fn both() -> [&'static Path; 2] {
    [commands::cargo_deploy(), commands::fabric()]
}

fn place(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

/// Whether there is such a program here, after saying so if not.
fn is_here(tool: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let is_here = env::split_paths(&paths).any(|path| path.join(tool).exists());
    if !is_here {
        eprintln!("skipped: there is no {tool} here");
    }
    is_here
}

#[test]
fn there_is_a_page_for_each_command_and_man_shows_it() {
    let directory = place("man1");
    for command in both() {
        assert_eq!(said(command, &["man", directory.to_str().unwrap()]), "");
    }
    for (page, words) in [
        ("cargo-deploy.1", ["--release", "--fold", "--output"]),
        ("cargo-deploy-login.1", ["token", "--name", "NAME"]),
        ("cargo-deploy-runner.1", ["PROGRAM", "--files", "TARGET"]),
        (
            "fabric.1",
            ["master", "--label", "A cluster in three lines"],
        ),
        ("fabric-token-new.1", ["--hours", "--once", "ROLE"]),
    ] {
        let path = directory.join(page);
        let source = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{page}: {why}"));
        let command = page
            .split(['-', '.'])
            .next()
            .unwrap()
            .replace("cargo", "cargo-deploy");
        let foot = format!("\"{command} {}\"", env!("CARGO_PKG_VERSION"));
        let head = source.lines().find(|line| line.starts_with(".TH "));
        assert!(head.unwrap().contains(&foot), "{page}: {source}");
        if !is_here("man") {
            continue;
        }
        let mut man = Command::new("man");
        man.args(["--warnings=all", "-l"]).arg(&path);
        man.envs([
            ("MANPAGER", "cat"),
            ("MANWIDTH", "100"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        let shown = finish(&mut man, b"").unwrap();
        assert_eq!((shown.code, shown.err_text().as_str()), (0, ""), "{page}");
        // Where headings are letters upon letters, they are not looked for.
        let text = shown.out_text().replace('\u{8}', "");
        for word in words {
            assert!(text.contains(word), "{page} has no {word}: {text}");
        }
    }
    assert!(
        !directory.join("fabric-warden.1").exists(),
        "it is nobody's business"
    );
}

#[test]
fn help_fits_the_terminal_that_shows_it() {
    for command in both() {
        let mut shell = Terminal::shell();
        shell.line("stty rows 24 cols 80");
        let help = shell.line(&format!("{} --help", command.display()));
        let longest = help.lines().map(|line| plain(line).chars().count()).max();
        assert!((60..=80).contains(&longest.unwrap()), "{help}");
        shell.keys("exit\n");
        shell.finish();
    }
}

/// A line without what makes it bold.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_string();
    let rest = parts.filter_map(|part| part.split_once('m').map(|(_, text)| text));
    rest.fold(first, |text, part| text + part)
}

#[test]
fn every_shell_understands_its_completions() {
    let directory = place("completions");
    fs::create_dir(&directory).unwrap();
    for command in both() {
        for shell in ["bash", "zsh", "fish"] {
            let text = said(command, &["completions", shell]);
            assert!(text.len() > 1000, "{shell}: {text}");
            let path = directory.join(shell);
            fs::write(&path, text).unwrap();
            if is_here(shell) {
                let checked = finish(Command::new(shell).arg("-n").arg(&path), b"").unwrap();
                assert_eq!(
                    (checked.code, checked.err_text().as_str()),
                    (0, ""),
                    "{shell}"
                );
            }
        }
    }
}

/// What bash offers behind these words, of which the last one is being typed.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let typed: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE=\"${{COMP_WORDS[*]}}\"; COMP_POINT=${{#COMP_LINE}};
         f=$(complete -p '{}' | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f '{}' '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        typed.join(" "),
        words.len() - 1,
        words[0],
        words[0],
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let finished = finish(Command::new("bash").args(["-c", &ask]), b"").unwrap();
    assert_eq!(finished.err_text(), "", "{words:?}");
    finished.out_text().lines().map(str::to_string).collect()
}

#[test]
fn bash_offers_what_there_is_behind_cargo_too() {
    let directory = place("bash");
    fs::create_dir(&directory).unwrap();
    for command in both() {
        let text = said(command, &["completions", "bash"]);
        fs::write(directory.join(command.file_name().unwrap()), text).unwrap();
    }
    let ours = directory.join("cargo-deploy");
    for words in [&["cargo", "deploy", "lo"][..], &["cargo-deploy", "lo"]] {
        assert_eq!(
            offered(&ours, words),
            ["login", "logout", "logs"],
            "{words:?}"
        );
    }
    assert_eq!(
        offered(&ours, &["cargo", "deploy", "--fo"]),
        ["--format", "--fold"]
    );
    assert_eq!(
        offered(&ours, &["cargo", "deploy", "logs", "--fol"]),
        ["--follow", "--fold"]
    );
    // What is behind cargo's own commands stays cargo's.
    assert_eq!(offered(&ours, &["cargo", "lo"]), [""]);
    assert_eq!(
        offered(&directory.join("fabric"), &["fabric", "dr"]),
        ["drain"]
    );
}
