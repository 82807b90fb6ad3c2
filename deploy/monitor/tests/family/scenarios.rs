//! The scenarios: what the processes of a job do, and what is to become known of them.

mod begins;
mod connections;
mod ends;
mod hostile;
mod output;
mod signals;
mod spare;

use crate::{monitor::Record, newborn::Me};
use deploy_monitor::{Config, MonitorError, Outcome};

/// One job.
pub struct Scenario {
    pub name: &'static str,
    /// What the initial process does.
    pub main: fn(&mut Me),
    /// What came of it.
    pub check: fn(&Record, Result<Outcome, MonitorError>),
    /// Changes to the monitor's usual configuration.
    pub configure: fn(&mut Config),
    /// Changes to the usual audience, which hears everything at once.
    pub listen: fn(&mut Record),
    /// Whether it is run without the rights to make a control group.
    pub is_unprivileged: bool,
}

/// A scenario with nothing special.
pub const fn scenario(
    name: &'static str,
    main: fn(&mut Me),
    check: fn(&Record, Result<Outcome, MonitorError>),
) -> Scenario {
    Scenario {
        name,
        main,
        check,
        configure: |_| {},
        listen: |_| {},
        is_unprivileged: false,
    }
}

/// What the processes of a name do.
pub type Worker = (&'static str, fn(&mut Me));

/// Every scenario.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        begins::ALL,
        connections::ALL,
        ends::ALL,
        hostile::ALL,
        output::ALL,
        signals::ALL,
        spare::ALL,
    ]
    .into_iter()
    .flatten()
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().find(|scenario| scenario.name == name)
}

/// What a worker of that name does.
pub fn worker(name: &str) -> fn(&mut Me) {
    let all = [
        begins::WORKERS,
        connections::WORKERS,
        ends::WORKERS,
        hostile::WORKERS,
        output::WORKERS,
        signals::WORKERS,
        spare::WORKERS,
    ];
    let found = all.into_iter().flatten().find(|(other, _)| *other == name);
    found
        .unwrap_or_else(|| panic!("no worker is called {name}"))
        .1
}
