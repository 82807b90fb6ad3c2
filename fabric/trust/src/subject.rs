//! Who a certificate speaks of: cluster, role, name, as one URI.
//!
//! Nothing here knows of keys or certificates.

use std::{fmt, str::FromStr};

/// Which cluster: 128 random bits, drawn when its authority was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a member may be. What each role may say is decided where messages are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Decides: the master, which is also the bridge.
    Master,
    /// Runs processes.
    Node,
    /// Deploys programs.
    User,
    /// Looks after the cluster: whoever can read the master's own state. Nobody joins as one.
    Administrator,
}

impl Role {
    /// All that there are.
    pub const ALL: [Role; 4] = [Role::Master, Role::Node, Role::User, Role::Administrator];

    /// Whether somebody can become this by a token.
    pub fn is_joinable(self) -> bool {
        matches!(self, Role::Node | Role::User)
    }

    /// As in URIs and in the text of tokens.
    pub fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Node => "node",
            Role::User => "user",
            Role::Administrator => "administrator",
        }
    }

    /// As one byte in messages and files.
    pub fn code(self) -> u8 {
        match self {
            Role::Master => 1,
            Role::Node => 2,
            Role::User => 3,
            Role::Administrator => 4,
        }
    }

    /// The role of a byte, if it stands for one.
    pub fn from_code(code: u8) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.code() == code)
    }

    /// The role of a word, if it stands for one.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name of a member, unique in its cluster and role.
///
/// 1 to 63 letters, digits, `.`, `_`, `-` and `@`, of which the first is a letter or digit: so it is safe in a URI, a
/// file name and a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

/// A text that cannot be the name of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a name has 1 to 63 letters, digits, `.`, `_`, `-` or `@`, and begins with a letter or a digit"
)]
pub struct BadName;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The closest name to any text, such as a host's: what a name cannot hold becomes `-`.
    pub fn like(text: &str) -> Name {
        let fitting = |c: char| if is_allowed(c) { c } else { '-' };
        let name: String = text
            .chars()
            .map(fitting)
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(LEN_MAX)
            .collect();
        name.parse().unwrap_or_else(|_| Name("unnamed".to_owned()))
    }

    /// The same name with a number behind it, for the next member that asks for one that is taken.
    pub fn numbered(&self, number: u32) -> Name {
        let suffix = format!("-{number}");
        let kept = self.0.len().min(LEN_MAX - suffix.len());
        Name(format!("{}{suffix}", &self.0[..kept]))
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Name, BadName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || text.len() > LEN_MAX || !text.chars().all(is_allowed) {
            return Err(BadName);
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a certificate says of its holder: `fabric://CLUSTER/ROLE/NAME`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The cluster whose authority signed it.
    pub cluster: ClusterId,
    /// What the holder may be.
    pub role: Role,
    /// Who it is.
    pub name: Name,
}

impl Subject {
    /// The subject of a URI, if it is one in exactly the form that is written.
    pub fn from_uri(uri: &str) -> Option<Subject> {
        let mut parts = uri.strip_prefix("fabric://")?.split('/');
        let (cluster, role, name) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if parts.next().is_some() || cluster.len() != 32 || !cluster.chars().all(is_hex) {
            return None;
        }
        Some(Subject {
            cluster: ClusterId(u128::from_str_radix(cluster, 16).ok()?),
            role: Role::from_name(role)?,
            name: name.parse().ok()?,
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fabric://{}/{}/{}", self.cluster, self.role, self.name)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@')
}

/// As a label of a host name.
const LEN_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_come_back_from_their_uri_and_nothing_else_does() {
        let subject = Subject {
            cluster: ClusterId(7),
            role: Role::Node,
            name: "n1.example".parse().unwrap(),
        };
        let uri = subject.to_string();
        assert_eq!(
            uri,
            "fabric://00000000000000000000000000000007/node/n1.example"
        );
        assert_eq!(Subject::from_uri(&uri), Some(subject));
        for wrong in [
            "fabric://7/node/n1",
            "fabric://0000000000000000000000000000000g/node/n1",
            "fabric://+0000000000000000000000000000007/node/n1",
            "fabric://00000000000000000000000000000007/admin/n1",
            "fabric://00000000000000000000000000000007/node/",
            "fabric://00000000000000000000000000000007/node/n1/",
            "fabric://00000000000000000000000000000007/node/../n1",
            "https://00000000000000000000000000000007/node/n1",
        ] {
            assert_eq!(Subject::from_uri(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_made_of_anything() {
        assert_eq!(Name::like("head.local").as_str(), "head.local");
        assert_eq!(Name::like("--my host/é").as_str(), "my-host--");
        assert_eq!(Name::like("///").as_str(), "unnamed");
        let long: Name = "a".repeat(63).parse().unwrap();
        assert_eq!(long.numbered(12).as_str().len(), 63);
        assert!("a".repeat(64).parse::<Name>().is_err());
    }
}
