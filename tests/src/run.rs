//! Runs a program in one of its ways, compares the family, and looks for what is left.
//!
//! Each run happens twice: once as JSON lines, which tell the family, and once piped, where standard output must
//! hold what the processes wrote and not a byte more.

use crate::{
    cluster::Cluster,
    family,
    header::{self, Run},
    leftovers::Mark,
    pattern::Pattern,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// Runs `program` alone, on this machine, in every way its source's header asks for; panics where it differs.
pub fn alone(program: &Path, source: &str) {
    let runs = header::parse(source).unwrap_or_else(|why| panic!("{why}"));
    for run in runs.into_iter().filter(is_alone) {
        if let Err(why) = check(Place::Alone, program, &run) {
            panic!("run {:?}: {why}", run.name);
        }
    }
}

/// Runs `program` on a cluster, in every way its source's header asks for, but those that are for machines that are alone
/// or of another size; piped only the first of them, because what shows output is the same here as there. Returns where
/// it differs, with what the cluster said.
pub fn on_cluster(cluster: &mut Cluster, program: &Path, source: &str) -> Result<(), String> {
    let runs = header::parse(source)?;
    let capacity = cluster.capacity.clone();
    let is_fit = |run: &Run| {
        run.place != header::Place::Alone && run.variable(CAPACITY) == capacity.as_deref()
    };
    for (index, mut run) in runs.into_iter().filter(is_fit).enumerate() {
        run.env.retain(|(name, _)| name != CAPACITY);
        let check = if index == 0 { check } else { check_json };
        let outcome = check(Place::On(cluster), program, &run);
        outcome.map_err(|why| format!("run {:?}: {why}\n{}", run.name, cluster.said()))?;
    }
    Ok(())
}

/// The same with the processes connected as `DEPLOY_CHANNELS` says, as JSON lines only: what is written is no different.
/// Not what says itself how they are connected.
pub fn alone_over(channels: &str, program: &Path, source: &str) {
    let runs = header::parse(source).unwrap_or_else(|why| panic!("{why}"));
    let is_open = |run: &Run| run.variable(CHANNELS).is_none();
    for mut run in runs.into_iter().filter(is_alone).filter(is_open) {
        let variable = (CHANNELS.to_string(), channels.to_string());
        run.env.push(variable);
        if let Err(why) = check_json(Place::Alone, program, &run) {
            panic!("run {:?} over {channels}: {why}", run.name);
        }
    }
}

fn is_alone(run: &Run) -> bool {
    run.place != header::Place::Cluster
}

/// The sizes of the nodes that a program is to be run on, where that matters.
pub fn capacities(source: &str) -> Result<BTreeSet<String>, String> {
    let runs = header::parse(source)?;
    let on_nodes = runs.iter().filter(|run| run.place != header::Place::Alone);
    let capacities = on_nodes.filter_map(|run| run.variable(CAPACITY));
    Ok(capacities.map(str::to_string).collect())
}

/// How a finished command ended and what it wrote.
#[derive(Debug)]
pub struct Finished {
    /// As a shell shows it.
    pub code: i32,
    /// All of its standard output.
    pub out: Vec<u8>,
    /// All of its standard error.
    pub err: Vec<u8>,
}

impl Finished {
    /// Its standard output, as text.
    pub fn out_text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Its standard error, as text.
    pub fn err_text(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
}

/// Runs a command to its end in a process group of its own, with `stdin`, and checks that nothing is left of it.
/// After a minute all that it has started is killed.
pub fn finish(command: &mut Command, stdin: &[u8]) -> Result<Finished, String> {
    finish_within(DEADLINE, command, stdin)
}

/// The same for one that may take as long as this.
pub fn finish_within(
    time: Duration,
    command: &mut Command,
    stdin: &[u8],
) -> Result<Finished, String> {
    let mark = Mark::new().map_err(|error| format!("no temporary directory: {error}"))?;
    let mark = Arc::new(mark);
    let mut child = command
        .envs(mark.variables())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?} does not start: {error}"))?;
    let first = child.id();
    let mut input = child.stdin.take().expect("it is piped");
    let (text, out, err) = (stdin.to_vec(), child.stdout.take(), child.stderr.take());
    // A program need not read its input: that its end is gone is no failure.
    let writer = thread::spawn(move || input.write_all(&text).ok());
    let out = thread::spawn(move || read_all(out));
    let err = thread::spawn(move || read_all(err));
    let (ended, end) = mpsc::channel();
    let marked = mark.clone();
    let watch = thread::spawn(move || {
        let late = end.recv_timeout(time).is_err();
        if late {
            let _ = killpg(Pid::from_raw(first as i32), Signal::SIGKILL);
            marked.kill();
        }
        late
    });
    // Output first: the leader's number stays ours to kill until it has been waited for.
    let (out, err) = (join(out), join(err));
    let status = child.wait().map_err(|error| error.to_string())?;
    let _ = ended.send(());
    join(writer);
    let (late, code) = (join(watch), status.code());
    let finished = Finished {
        code: code.unwrap_or_else(|| 128 + status.signal().expect("it has a code or a signal")),
        out,
        err,
    };
    if late {
        return Err(format!(
            "not finished after {time:?}, and killed:\n{}\n{}",
            finished.out_text(),
            finished.err_text()
        ));
    }
    let mark = Arc::into_inner(mark).expect("the watch has ended");
    mark.check(first).map(|()| finished)
}

/// Where a program runs.
#[derive(Clone, Copy)]
enum Place<'a> {
    Alone,
    On(&'a Cluster),
}

impl Place<'_> {
    /// What a person types. The format and the channels are for the monitor, wherever that is; the rest for the program.
    fn finish(self, program: &Path, run: &Run, format: &str) -> Result<Finished, String> {
        let format = match format {
            "" => None,
            format => Some(("DEPLOY_FORMAT", format)),
        };
        match self {
            Place::Alone => finish(command(program, run).envs(format), &run.stdin),
            Place::On(cluster) => {
                let mut command = cluster.deploy(program, &run.args, &run.env);
                cluster.finish_deploy(command.envs(format), &run.stdin)
            }
        }
    }
}

fn check(place: Place, program: &Path, run: &Run) -> Result<(), String> {
    check_json(place, program, run).and_then(|()| check_piped(place, program, run))
}

fn check_json(place: Place, program: &Path, run: &Run) -> Result<(), String> {
    let finished = place.finish(program, run, "json")?;
    let stderr = finished.err_text();
    let came =
        family::parse(&finished.out).map_err(|why| format!("{why}\nstandard error:\n{stderr}"))?;
    family::compare(&run.family, &came)
        .map_err(|why| format!("{why}\nstandard error:\n{stderr}"))?;
    if !stderr.is_empty() {
        return Err(format!(
            "JSON lines leave standard error empty, but: {stderr}"
        ));
    }
    check_code(run, &finished)
}

fn check_piped(place: Place, program: &Path, run: &Run) -> Result<(), String> {
    let finished = place.finish(program, run, "")?;
    let processes = run.family.all();
    let outs: Vec<&Pattern> = processes.iter().map(|process| &process.out).collect();
    if !mixes(&outs, &finished.out)? {
        return Err(format!(
            "piped, standard output is not what the family wrote: \"{}\"",
            finished.out.escape_ascii()
        ));
    }
    check_code(run, &finished)
}

fn check_code(run: &Run, finished: &Finished) -> Result<(), String> {
    match finished.code == run.code {
        true => Ok(()),
        false => Err(format!(
            "the exit code is {} and should be {}; standard error:\n{}",
            finished.code,
            run.code,
            finished.err_text()
        )),
    }
}

/// Whether `bytes` are what these processes wrote, their lines in any order.
fn mixes(outs: &[&Pattern], bytes: &[u8]) -> Result<bool, String> {
    let speakers: Vec<&Pattern> = outs.iter().copied().filter(|out| !out.is_empty()).collect();
    if let [one] = speakers[..] {
        return Ok(one.matches(bytes));
    }
    let lines: Option<Vec<Vec<Pattern>>> = speakers.iter().map(|out| out.lines()).collect();
    let expected = lines
        .ok_or("where several processes write, each line has to end and `**` says too little")?
        .concat();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    Ok(expected.len() == lines.len()
        && family::pair_up(lines.len(), |e, a| expected[e].matches(lines[a])))
}

fn command(program: &Path, run: &Run) -> Command {
    let mut command = Command::new(program);
    command.args(&run.args);
    for name in [
        "DEPLOY_FORMAT",
        CAPACITY,
        CHANNELS,
        "NO_COLOR",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(name);
    }
    command.envs(run.env.iter().map(|(name, value)| (name, value)));
    command
}

fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An error ends the stream as its end does; what is missing then shows.
    let _ = stream.expect("it is piped").read_to_end(&mut bytes);
    bytes
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("the harness's threads do not panic")
}

/// In the environment of a program that runs alone it says how large the machine is.
const CAPACITY: &str = "DEPLOY_CAPACITY";
/// How its processes are connected.
const CHANNELS: &str = "DEPLOY_CHANNELS";
/// A run that takes longer has hung.
const DEADLINE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_comes_back_with_all_it_wrote() {
        let finished = finish(&mut shell("cat; echo oops >&2; exit 3"), b"in").unwrap();
        assert_eq!(
            (finished.code, finished.out_text(), finished.err_text()),
            (3, "in".to_string(), "oops\n".to_string())
        );
        assert_eq!(finish(&mut shell("kill -9 $$"), b"").unwrap().code, 137);
    }

    #[test]
    fn a_run_that_leaves_a_process_fails() {
        let error = finish(
            &mut shell("setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >$TMPDIR/straggler"),
            b"",
        )
        .unwrap_err();
        assert!(
            error.contains("sleep 1000") && error.contains("straggler"),
            "{error}"
        );
    }

    #[test]
    fn a_run_that_takes_too_long_is_killed_with_the_runs_within_it() {
        let script = "echo $DEPLOY_TEST_RUN; DEPLOY_TEST_RUN=$DEPLOY_TEST_RUN.within setsid sleep 1000; echo never";
        let begun = std::time::Instant::now();
        let late = finish_within(Duration::from_millis(200), &mut shell(script), b"");
        let said = late.unwrap_err();
        assert!(
            said.contains("and killed") && !said.contains("never"),
            "{said}"
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn lines_mix_in_any_order_but_stay_whole() {
        let pattern = |source| Pattern::parse(source).unwrap().0;
        let (one, two) = (pattern(r#""a\nb\n""#), pattern(r#""c*\n""#));
        let check = |bytes: &[u8], expect: bool| {
            assert_eq!(mixes(&[&one, &two], bytes).unwrap(), expect);
        };
        check(b"a\nc1\nb\n", true);
        check(b"a\nc1b\n\n", false);
        check(b"a\nc1\nb\nb\n", false);
        check(b"a\nb\n", false);
        assert!(mixes(&[&one, &pattern(r#""x""#)], b"").is_err());
        assert!(mixes(&[&pattern(r#""x""#)], b"x").unwrap());
        assert!(mixes(&[], b"").unwrap());
        assert!(!mixes(&[], b"x").unwrap());
    }
}
