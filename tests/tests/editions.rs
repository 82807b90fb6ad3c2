//! Programs as crates of their own, built by cargo: the README's in every edition of Rust, and the mistakes that have
//! to be refused in plain words.
//!
//! The errors come out of `const` assertions, which only a real build evaluates: `cargo check` is silent.

use deploy_tests::{
    cargo::{Built, Crate},
    run::finish,
};
use std::process::Command;

#[test]
fn the_readme_runs_in_every_edition() {
    for edition in ["2015", "2018", "2021", "2024"] {
        let program = include_str!("../programs/greetings.rs");
        let program = match edition {
            "2015" => format!(
                "extern crate deploy;\nextern crate serde;\n{}",
                program.replace("//!", "//")
            ),
            _ => program.to_string(),
        };
        let built = build(&format!("greetings-{edition}"), edition, &program);
        let finished = finish(&mut Command::new(built.program()), b"").unwrap();
        let out = finished.out_text();
        assert_eq!(finished.code, 0);
        assert!(out.ends_with("total 4500!\n"), "{edition}: {out}");
        assert_eq!(out.matches("hello worker").count(), 10, "{edition}: {out}");
    }
}

#[test]
fn a_closure_that_captures_is_refused() {
    for (name, captured) in [("text", "String::new()"), ("number", "7")] {
        refused(
            name,
            &format!(
                "let captured = {captured};
                 spawn(move |_: Pid, (): ()| println!(\"{{captured}}\"), (), Resources::default()).unwrap();"
            ),
            "pass a function by name, or a closure that captures nothing",
        );
    }
}

#[test]
fn a_function_pointer_is_refused() {
    refused(
        "pointer",
        "let pointer: fn(Pid, ()) = worker;
         spawn(pointer, (), Resources::default()).unwrap();",
        "pass a function by name, or a closure that captures nothing",
    );
}

#[test]
fn an_argument_that_cannot_travel_is_refused() {
    refused(
        "argument",
        "struct Unsendable;
         spawn(|_: Pid, _: Unsendable| (), Unsendable, Resources::default()).unwrap();",
        "`Unsendable: serde",
    );
}

#[test]
fn a_message_that_cannot_travel_is_refused() {
    refused(
        "message",
        "struct Unsendable;
         let _ = Sender::<Unsendable>::new(pid());",
        "`Unsendable: serde",
    );
}

/// Builds a program with these statements in `main`, which has to fail with `message`.
fn refused(name: &str, statements: &str, message: &str) {
    let program = format!(
        "use deploy::*;\nfn main() {{ init(Resources::default()); {statements} }}\n\
         #[allow(dead_code)] fn worker(_: Pid, (): ()) {{}}\n"
    );
    let built = build(&format!("refused-{name}"), "2024", &program);
    let errors = built.said();
    assert!(!built.success(), "it builds:\n{errors}");
    assert!(errors.contains(message), "no {message:?} in:\n{errors}");
}

fn build(name: &str, edition: &str, program: &str) -> Built {
    Crate::new(env!("CARGO_TARGET_TMPDIR"), name, edition)
        .file("src/main.rs", program)
        .cargo(&["build"], "debug")
}
