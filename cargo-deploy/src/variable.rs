//! Variables of a program's environment, as they are given on the command line and in `deploy.toml`.
//!
//! Deliberately absent: the rest of the environment, which stays here.

use clap::builder::{OsStringValueParser, TypedValueParser};
use deploy_sys::tell;
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// A variable for the program's environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    pub name: OsString,
    /// None: as it is set here, if it is.
    pub value: Option<OsString>,
}

impl Variable {
    /// As it is given, or as it is set here; nothing if it is not.
    pub fn here(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let value = self.value.clone();
        let value = value.or_else(|| env::var_os(&self.name))?;
        Some((self.name.as_bytes().to_vec(), value.into_vec()))
    }

    /// Says which of these were to be passed on, and are not set here.
    pub fn tell_unset(all: &[Variable]) {
        for variable in all.iter().filter(|variable| variable.here().is_none()) {
            let name = variable.name.display();
            tell!("cargo deploy: {name} is not set here: with --env {name} nothing is passed on");
        }
    }

    /// How clap reads one.
    pub fn parser() -> impl TypedValueParser<Value = Variable> {
        OsStringValueParser::new().try_map(|text| Variable::parse(&text))
    }

    /// `NAME=VALUE` or `NAME`.
    pub fn parse(text: &OsStr) -> Result<Variable, String> {
        let bytes = text.as_bytes();
        let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let begins_well = name.first().is_some_and(|byte| !byte.is_ascii_digit());
        if !begins_well || !name.iter().all(is_plain) {
            return Err(
                "a name has letters, digits and `_`, and does not begin with a digit".into(),
            );
        }
        if is_reserved(name) {
            return Err("this name is Deploy's own, for the processes that it starts".into());
        }
        let own = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Ok(Variable {
            name: own(name),
            value: value.map(own),
        })
    }
}

/// Whether this variable is between Deploy and its own processes.
pub fn is_reserved(name: &[u8]) -> bool {
    RESERVED.contains(&name)
}

/// By these a process knows which life it begins.
const RESERVED: [&[u8]; 2] = [b"DEPLOY_BIRTH", b"DEPLOY_KEEPER"];
