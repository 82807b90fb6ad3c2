//! A word of the command line as an address: what it means, or what is wrong with it.

use std::net::{SocketAddr, ToSocketAddrs};

/// Why a word is not what belongs there.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Wrong {
    /// It is something else.
    Form,
    /// It is that, but will not do, for a reason that is a sentence.
    Because(String),
}

/// An address, or a host's first one with its port: preferably of the kind that everybody has.
pub(super) fn resolve(word: &str) -> Result<SocketAddr, Wrong> {
    let (host, port) = word.rsplit_once(':').ok_or(Wrong::Form)?;
    match port.parse::<u16>() {
        Err(_) => return Err(Wrong::Form),
        Ok(_) if host.is_empty() => return Err(Wrong::Form),
        Ok(0) => {
            let why = format!("{word:?} has the port 0, which nobody can dial: say another");
            return Err(Wrong::Because(why));
        }
        Ok(_) => {}
    }
    let unknown = |why| Wrong::Because(format!("{host:?} is no host that is known here: {why}"));
    let found = word.to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
    let common = found.iter().find(|address| address.is_ipv4());
    let address = common.or(found.first()).copied();
    address.ok_or_else(|| unknown("it has no address".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        let address = |word: &str| resolve(word).map(|address| address.to_string());
        assert_eq!(address("10.0.0.1:9999").as_deref(), Ok("10.0.0.1:9999"));
        assert_eq!(address("[fd00::1]:9999").as_deref(), Ok("[fd00::1]:9999"));
        for word in ["", "10.0.0.1", "nodes", "host:", "host:99999", ":9999"] {
            assert_eq!(address(word), Err(Wrong::Form), "{word}");
        }
        // Names that end so are nobody's.
        for (word, reason) in [
            ("10.0.0.1:0", "has the port 0"),
            ("nobody.invalid:9999", "is no host that is known here"),
        ] {
            let Err(Wrong::Because(why)) = address(word) else {
                panic!("{word} is an address");
            };
            assert!(why.contains(reason), "{why}");
        }
    }
}
