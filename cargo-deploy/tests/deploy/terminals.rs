//! A person at a terminal.

use crate::{
    bridge::Bridge,
    listings::job,
    person::{BINARY, Person},
};
use deploy_tests::pty::Terminal;
use deploy_wire::{
    client::{Answer, Ask},
    event::Stream,
    exit::{End, ExitStatus, Reason},
};
use nix::sys::signal::{Signal, kill};
use std::process::Command;

/// A shell in which this person types.
fn shell_of(person: &Person) -> Terminal {
    let mut shell = Terminal::shell();
    let home = person.home().display();
    shell.line(&format!("export XDG_CONFIG_HOME={home}"));
    shell
}

#[test]
fn what_is_typed_arrives_and_ctrl_c_is_passed_on() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        assert!(request.stdout_is_terminal && request.stderr_is_terminal);
        client.born(&request);
        client.wrote(Stream::Stdout, b"name? ");
        let Some(Ask::Input { bytes }) = client.hear() else {
            panic!("nothing was typed");
        };
        assert_eq!(bytes, b"ada\n");
        client.wrote(Stream::Stdout, b"hello ada\n");
        assert_eq!(client.hear(), Some(Ask::Signal { signal: 2 }));
        client.died(ExitStatus::new(End::Signal(2)).because(Reason::Interrupted));
    });
    let person = Person::of(&bridge);
    let mut shell = shell_of(&person);
    shell.keys(&format!(
        "{BINARY} deploy {} --exe {BINARY}\n",
        bridge.address
    ));
    shell.expect("name? ");
    shell.keys("ada\n");
    shell.expect("hello ada");
    shell.keys("\x03");
    shell.expect(PROMPT);
    assert_eq!(shell.line("echo $?"), "130\r\n");
    shell.keys("exit\n");
    shell.finish();
}

#[test]
fn a_terminal_that_is_closed_takes_nothing_from_the_job() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"running\n");
        // Neither a signal nor the end of its input, nor that nobody reads what it prints.
        while let Some(asked) = client.hear() {
            assert!(matches!(asked, Ask::Credit { .. }), "{asked:?}");
            client.wrote(Stream::Stdout, b"still running\n");
        }
    });
    let person = Person::of(&bridge);
    let command = format!("{BINARY} deploy {} --exe {BINARY}", bridge.address);
    // Whether its input is what is typed, or what somebody writes who is ended by the same hangup.
    for producer in ["", "sleep 1000 | "].repeat(3) {
        let mut inner = Command::new("script");
        // Under `nohup` the tests ignore the hangup, and so would the program.
        let script = format!(
            "{producer}env XDG_CONFIG_HOME={} {command}",
            person.home().display()
        );
        let words = format!("env --default-signal=HUP sh -c '{script}'");
        inner.args(["-qc", &words, "/dev/null"]);
        let mut terminal = Terminal::with(&inner);
        terminal.expect("running");
        kill(terminal.first(), Signal::SIGKILL).unwrap();
        assert_eq!(terminal.finish().0, 137);
    }
}

#[test]
fn in_the_background_nothing_is_read_and_nobody_is_stopped() {
    let bridge = Bridge::start(|mut client| {
        let (request, _) = client.take_program();
        client.born(&request);
        client.wrote(Stream::Stdout, b"running\n");
        let Some(Ask::Input { bytes }) = client.hear() else {
            panic!("nothing was typed");
        };
        assert_eq!(bytes, b"to the job\n");
        client.died(ExitStatus::new(End::Code(0)));
    });
    let person = Person::of(&bridge);
    let mut shell = shell_of(&person);
    shell.keys(&format!(
        "{BINARY} deploy {} --exe {BINARY} &\n",
        bridge.address
    ));
    shell.expect("running");
    assert_eq!(shell.line("echo to the shell"), "to the shell\r\n");
    shell.keys("fg\n");
    shell.expect("fg\r\n");
    shell.keys("to the job\n");
    shell.expect("exited: 0");
    shell.expect(PROMPT);
    shell.keys("exit\n");
    assert_eq!(shell.finish().0, 0);
}

#[test]
fn top_is_shown_until_a_key_is_pressed_and_leaves_the_terminal_as_it_was() {
    let bridge = Bridge::start(|mut client| {
        while let Some(ask) = client.hear() {
            match ask {
                Ask::Hello { .. } => client.greet(),
                Ask::Nodes => client.tell(&Answer::Nodes(Vec::new())),
                Ask::Jobs => client.tell(&Answer::Jobs(vec![job(); 30])),
                other => panic!("{other:?} is not asked here"),
            }
        }
    });
    let person = Person::of(&bridge);
    let mut shell = shell_of(&person);
    let before = shell.line("stty -g");
    for key in ["q", "\x03"] {
        shell.keys(&format!("{BINARY} deploy top\n"));
        shell.expect("q: quit");
        shell.expect("q: quit");
        shell.keys(key);
        shell.expect(PROMPT);
        assert_eq!(shell.line("stty -g"), before);
    }
    // A row that is longer than the terminal would go on in the next one, and stay there.
    shell.line("stty rows 10 cols 20");
    shell.keys(&format!("{BINARY} deploy top\n"));
    shell.expect("NODE  ADDRESS  STAT\x1b[K");
    // So would one below the last.
    let page = shell.expect("q: quit");
    assert!(page.contains("and 26 more"), "{page}");
    assert_eq!(page.matches('\n').count(), 9, "{page}");
    shell.expect("q: quit");
    shell.keys("q");
    shell.expect(PROMPT);
    shell.keys("exit\n");
    shell.finish();
}

/// As the shells of these tests have it.
const PROMPT: &str = "[ready] ";
