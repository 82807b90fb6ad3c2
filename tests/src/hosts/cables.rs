//! Cables that are pulled out, carry in one direction only, or little.
//!
//! Deliberately absent: those that lose some of what they carry (`loss.rs`).

use super::{Hosts, card};
use std::{
    thread,
    time::{Duration, Instant},
};

impl Hosts {
    /// Pulls a host's cable out at the switch: it hears and says nothing, and nobody is told.
    pub fn cut(&self, name: &str) {
        self.ip(&format!("link set {} nomaster", self.host(name).port));
    }

    /// Plugs it in again.
    pub fn heal(&self, name: &str) {
        self.plug_in(&self.host(name).port);
    }

    pub(super) fn plug_in(&self, port: &str) {
        self.ip(&format!("link set {port} master br0"));
        // The switch forwards a little later, and what is lost until then is asked for again only after a second.
        let show = format!("link show dev {port}");
        let deadline = Instant::now() + READY_MAX;
        while !self.tool("bridge", &show).contains("state forwarding") {
            assert!(Instant::now() < deadline, "{port} is never ready");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// These two do not reach each other any more, but everybody else does reach both.
    pub fn cut_pair(&self, one: &str, other: &str) {
        self.isolate([one, other], "on");
    }

    /// They do again.
    pub fn heal_pair(&self, one: &str, other: &str) {
        self.isolate([one, other], "off");
    }

    /// What the one sends to the other is lost, and nothing else is.
    pub fn cut_way(&self, from: &str, to: &str) {
        self.believe(from, to, NOBODY);
    }

    /// It arrives again.
    pub fn heal_way(&self, from: &str, to: &str) {
        let to_card = card(self.number(to));
        self.believe(from, to, &to_card);
    }

    /// Has one host take this for the card of the other.
    fn believe(&self, host: &str, other: &str, card: &str) {
        let address = self.host(other).address;
        let words = format!("neigh replace {address} lladdr {card} dev eth0 nud permanent");
        self.host(host).tool("ip", &words);
    }

    /// A host's cable carries no more than this in either direction, such as `8mbit`, and loses what comes faster.
    pub fn slow(&self, name: &str, rate: &str) {
        let host = self.host(name);
        let words = |device: &str| {
            format!("qdisc replace dev {device} root tbf rate {rate} burst 16kb latency 50ms")
        };
        host.tool("tc", &words("eth0"));
        self.tool("tc", &words(&host.port));
    }

    /// It is as quick as ever.
    pub fn heal_slow(&self, name: &str) {
        let host = self.host(name);
        host.tool("tc", "qdisc del dev eth0 root");
        self.tool("tc", &format!("qdisc del dev {} root", host.port));
    }

    fn isolate(&self, names: [&str; 2], state: &str) {
        for name in names {
            let port = &self.host(name).port;
            self.tool("bridge", &format!("link set dev {port} isolated {state}"));
        }
    }
}

/// A card that no host has.
const NOBODY: &str = "02:00:de:ad:00:00";
/// How long a cable may take to carry anything.
const READY_MAX: Duration = Duration::from_secs(5);
