//! Jobs as a person begins them, goes back to them and reads what they printed.
//!
//! Deliberately absent: what is shown (`watch.rs`), and programs (`run.rs`).

use crate::{
    back::Errand,
    cli::{Attach, Logs, Watched},
    clusters,
    failure::Failure,
    here::{Hands, Plan},
    listing,
    screen::Screen,
    session::Bridge,
    settings::Settings,
    watch::Watch,
};
use deploy_sys::tell;
use deploy_trust::identity::Identity;
use deploy_wire::{
    client::{Answer, Ask, GRACE, Position, RunRequest},
    code::OwnCode,
    pid::Job,
};

/// What a person wants to hear beside the program.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Not even how far it is.
    pub is_quiet: bool,
    /// Also what is done.
    pub is_verbose: bool,
}

/// Begins a job and shows it to its end, or says which it is and leaves it alone; returns the code to exit with.
pub fn begin(
    mut bridge: Bridge,
    identity: Identity,
    request: RunRequest,
    here: Option<Plan>,
    screen: Screen,
    told: Told,
) -> Result<i32, Failure> {
    let is_detached = request.is_detached;
    let ask = Ask::Run(Box::new(request));
    if is_detached {
        let job = started(&mut bridge, &ask)?;
        bridge.finish();
        if !told.is_quiet {
            tell_how_to_return(&clusters::job_words(job, &identity));
        }
        return listing::print(format!("{job}\n"));
    }
    let is_told = (screen.is_for_a_person() && !told.is_quiet) || told.is_verbose;
    // From here on a signal is meant for the job.
    let mut watch = Watch::prepare(screen, true)?;
    if let Some(plan) = here {
        watch.have_hands(Hands::start(plan)?);
    }
    let is_here = watch.has_hands();
    let job = started(&mut bridge, &ask)?;
    if is_told {
        tell_what_follows(job, &clusters::job_words(job, &identity), is_here);
    }
    let (session, _) = bridge.into_session()?;
    let errand = Errand {
        identity: identity.into(),
        job,
        is_owner: true,
        is_detached,
    };
    watch.watch(session, &errand, 0)
}

/// `cargo deploy logs`.
pub fn logs(logs: &Logs) -> Result<i32, Failure> {
    let ask = Ask::Logs {
        job: logs.job.clone(),
        from: Position::default(),
        follow: logs.follow,
    };
    let screen = screen(&logs.watched)?;
    look_on(logs.target.as_deref(), &ask, screen, false)
}

/// `cargo deploy attach`.
pub fn attach(attach: &Attach) -> Result<i32, Failure> {
    let ask = Ask::Attach {
        job: attach.job.clone(),
        from: Position::default(),
    };
    let screen = screen(&attach.watched)?;
    look_on(attach.target.as_deref(), &ask, screen, true)
}

fn screen(watched: &Watched) -> Result<Screen, Failure> {
    let format = Settings::find()?.format(watched);
    Screen::new(format)?.with_files(watched.output.clone())
}

fn look_on(
    target: Option<&str>,
    ask: &Ask,
    screen: Screen,
    is_owner: bool,
) -> Result<i32, Failure> {
    let identity = clusters::find(target)?;
    let mut bridge = Bridge::connect(&identity)?;
    let watch = Watch::prepare(screen, is_owner)?;
    let Answer::Attached {
        job,
        input,
        is_detached,
    } = bridge.ask(ask).map_err(for_good)?
    else {
        return Err(bridge.surprised());
    };
    let (session, _) = bridge.into_session()?;
    let errand = Errand {
        identity: identity.into(),
        job,
        is_owner,
        is_detached,
    };
    watch.watch(session, &errand, input)
}

/// What a client that comes back tries once more, such as to have a job whose first process is still at its earlier
/// connection, is no matter of the connection for a person who asks anew.
fn for_good(failure: Failure) -> Failure {
    match failure.is_refusal() && failure.code() == OwnCode::Connection.number() {
        true => Failure::setting(failure),
        false => failure,
    }
}

fn started(bridge: &mut Bridge, run: &Ask) -> Result<Job, Failure> {
    match bridge.ask(run)? {
        Answer::Started { job } => Ok(job),
        _ => Err(bridge.surprised()),
    }
}

fn tell_what_follows(job: Job, words: &str, is_here: bool) {
    let seconds = GRACE.as_secs();
    match is_here {
        true => tell!(
            "cargo deploy: this is job {job}, and its first process runs here. Should this terminal or the connection go \
             away, that process ends, and the others go on for {seconds} s: `cargo deploy attach {words}` goes back to them."
        ),
        false => tell!(
            "cargo deploy: this is job {job}. Should this terminal go away, the job goes on for {seconds} s: `cargo deploy \
             attach {words}` goes back to it. With --detach it needs no terminal."
        ),
    }
}

fn tell_how_to_return(words: &str) {
    tell!(
        "cargo deploy: it goes on by itself. `cargo deploy logs -f {words}` shows it, `attach` and `kill` act on it, \
         `why` explains its end."
    );
}
