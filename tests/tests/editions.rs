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

/// Each function is refused in words that say what to do, at the place that is wrong.
#[test]
fn functions_that_cannot_run_on_a_pool_are_refused() {
    let functions = [
        ("#[on] fn unnamed() {}", "name the pool first"),
        ("#[with(mem = 1)] fn nameless() {}", "name the pool first"),
        (
            "#[on(POOL, cpu = 2)] fn more() {}",
            "write #[with(POOL, ..)]",
        ),
        (
            "#[on(POOL)] fn hidden() -> impl Iterator {}",
            "write it in place of `impl`",
        ),
        (
            "#[on(POOL)] fn any(_: impl ToString) {}",
            "write it in place of `impl`",
        ),
        (
            "#[on(POOL)] fn named<'a>(_: &'a str) {}",
            "Leave the lifetime out",
        ),
        (
            "#[on(POOL)] fn within(_: Option<&str>) {}",
            "must own what it holds",
        ),
        (
            "#[on(POOL)] fn borrowed() -> &'static str {}",
            "return `String` for `&str`",
        ),
        (
            "#[on(POOL)] fn changed(_: &mut u32) {}",
            "does not come back",
        ),
        ("#[on(POOL)] const fn constant() {}", "cannot be `const`"),
        ("#[on(POOL)] fn never() -> ! {}", "never comes back"),
        ("#[on(POOL)] struct Thing;", "stands before a function"),
        (
            "#[with(POOL, mem = \"much\")] fn much() {}",
            "\"much\" is not an amount of memory",
        ),
        (
            "#[with(POOL, timeout = \"5\")] fn late() {}",
            "\"5\" is not a time",
        ),
        (
            "#[with(POOL, colour = 1)] fn red() {}",
            "colour is unknown: there are mem, cpu",
        ),
        (
            "#[with(POOL, cpu = 1, cpu = 2)] fn twice() {}",
            "cpu is said twice",
        ),
        (
            "#[on(POOL)] #[with(POOL, cpu = 1)] fn both() {}",
            "write one of the two",
        ),
    ];
    let all: Vec<&str> = functions.iter().map(|(function, _)| *function).collect();
    let built = check_pool("pool-functions", &all.join("\n"));
    for (function, message) in functions {
        assert!(
            built.contains(message),
            "{function}: no {message:?} in:\n{built}"
        );
        // The compiler shows the line that it means.
        assert!(
            built.contains(function),
            "{function} is not shown in:\n{built}"
        );
    }
}

/// One error for each argument or result that cannot travel: it names both, and nothing else of the program is complained
/// of, neither the other arguments nor those who call.
#[test]
fn what_cannot_travel_to_a_pool_is_named_once() {
    let mistakes = [
        (
            "fn takes(size: u32, picture: Unsendable) -> u32 { let _ = picture; size }",
            &[("Unsendable", "argument_picture")][..],
        ),
        (
            "fn returns(size: u32) -> Vec<Unsendable> { let _ = size; vec![] }",
            &[("Vec<Unsendable>", "result")],
        ),
        (
            "async fn both(mut all: Vec<Unsendable>) -> Result<(), Unsendable> { all.pop().map_or(Ok(()), Err) }",
            &[
                ("Vec<Unsendable>", "argument_all"),
                ("Result<(), Unsendable>", "result"),
            ],
        ),
        (
            "fn slice(pictures: &[Picture]) -> usize { pictures.len() }",
            &[("Vec<Picture>", "argument_pictures")],
        ),
        (
            "fn reference(picture: &Picture) { let _ = picture; }",
            &[("Picture", "argument_picture")],
        ),
        (
            "fn parameter<T>(any: T) { let _ = any; }",
            &[("T", "argument_any")],
        ),
        (
            "fn half(written: Written) { let _ = written; }",
            &[("Written", "argument_written")],
        ),
        (
            "fn shared(count: Rc<u32>) { let _ = count; }",
            &[("Rc<u32>", "argument_count")],
        ),
    ];
    let mut program = "use std::rc::Rc;
        struct Unsendable;
        #[derive(Clone)] struct Picture;
        #[derive(serde::Serialize)] struct Written;
        impl Picture { #[on(POOL)] fn own(self) -> u32 { 7 } }
        async fn calls() {
            let _ = returns(1).await;
            let _ = both(vec![]).wait();
            let _: Vec<_> = POOL.map(returns, 0..7).collect();
        }\n"
    .to_string();
    for (function, _) in mistakes {
        program += &format!("#[on(POOL)] {function}\n");
    }
    let built = check_pool("pool-types", &program);
    let own = ("Picture", "argument_self");
    let expected = mistakes.iter().flat_map(|(_, errors)| *errors);
    let expected: Vec<_> = expected.chain([&own]).collect();
    let errors: Vec<&str> = built.split("error[").skip(1).collect();
    for (kind, name) in &expected {
        let is_meant = |error: &&&str| {
            error.contains(&format!("`{kind}` cannot travel"))
                && error.contains(&format!("{name}`"))
        };
        assert_eq!(
            errors.iter().filter(is_meant).count(),
            1,
            "{kind} {name}: {built}"
        );
    }
    assert_eq!(errors.len(), expected.len(), "{built}");
}

#[test]
fn a_pool_that_is_none_is_refused() {
    let built = check_pool("pool-none", "#[on(7)] fn nowhere() {}");
    let message = "expected `&Pool`, found";
    assert!(built.contains(message), "no {message:?} in:\n{built}");
    let built = check_pool("pool-missing", "#[on(NOWHERE)] fn lost() {}");
    let message = "cannot find value `NOWHERE` in this scope";
    assert!(built.contains(message), "{built}");
}

/// What the compiler says of functions beside a pool.
fn check_pool(name: &str, functions: &str) -> String {
    let program = format!(
        "#![allow(dead_code)]\nuse deploy::*;\nstatic POOL: Pool = Pool::new();\n{functions}\n\
         fn main() {{ init(Resources::default()); }}\n"
    );
    let built = Crate::new(env!("CARGO_TARGET_TMPDIR"), name, "2024")
        .file("src/main.rs", &program)
        .cargo(&["check"], "debug");
    assert!(!built.success(), "it compiles");
    built.said()
}

/// Functions on a pool in a program without processes: the same, where they are called, and next to nothing is built.
#[test]
fn without_processes_a_function_on_a_pool_runs_where_it_is_called() {
    let program = "use deploy::*;
        static POOL: Pool = Pool::new().replicas(1..=8).in_flight(64).retries(2);
        #[on(POOL)]
        fn square(u: u64) -> u64 { assert!(u != 3, \"not {u}\"); u * u }
        #[with(POOL, mem = \"1GiB\", cpu = 2)]
        async fn longest(words: Broadcast<Vec<String>>, least: &str) -> usize {
            words.iter().map(String::len).max().unwrap_or(0).max(least.len())
        }
        struct Unsendable(u32);
        impl Unsendable {
            #[on(POOL)]
            fn double(self) -> Unsendable { Unsendable(self.0 * 2) }
        }
        fn main() {
            init(Resources::default());
            let sum: u64 = POOL.map(square, 4..7).sum::<Result<u64, _>>().unwrap();
            let words = POOL.broadcast(vec![\"four\".to_string()]);
            let longest = longest(words, \"five!\").wait().unwrap();
            let why = square(3).wait().unwrap_err();
            println!(\"{sum} {longest} {} {why}\", Unsendable(4).double().wait().unwrap().0);
        }";
    let built = Crate::with_features(env!("CARGO_TARGET_TMPDIR"), "pool-in-place", "2021", false)
        .file("src/main.rs", program)
        .cargo(&["build"], "debug");
    let finished = finish(&mut Command::new(built.program()), b"").unwrap();
    let out = finished.out_text();
    assert_eq!(out, "77 5 8 it panicked at src/main.rs:4: not 3\n");
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
