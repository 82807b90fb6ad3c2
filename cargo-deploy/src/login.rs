//! `cargo deploy login`, from a token to an identity that is kept, and `logout`.

use crate::{
    cli::{Login, Logout},
    clusters,
    failure::Failure,
    saved,
    session::Bridge,
};
use deploy_trust::{subject::Role, token::Token};
use std::io;

/// Joins as a user, and saves who we are from then on.
pub fn login(login: &Login) -> Result<i32, Failure> {
    let text = match login.token.as_str() {
        "-" => {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map_err(Failure::setting)?;
            line
        }
        token => token.to_owned(),
    };
    let token: Token = text.trim().parse().map_err(Failure::setting)?;
    let mut token = token.for_role(Role::User).map_err(Failure::setting)?;
    if let Some(address) = &login.at {
        // Who is there is known by the digest in the token, wherever it is.
        token.address.clone_from(address);
    }
    // The cluster remembers whom it has let in: it is asked only where that can be kept.
    saved::try_place(&token.address)?;
    // Whoever has logged in before stays the same user, to whom the jobs that run now belong.
    let known = clusters::of_token(&token)?
        .filter(|identity| Bridge::connect(identity).map(Bridge::finish).is_ok());
    let identity = match known {
        Some(identity) => identity,
        None => clusters::join(&token)?,
    };
    saved::save(&identity, &identity.address)?;
    if let Some(name) = &login.name {
        saved::save(&identity, name)?;
    }
    let target = login.name.as_deref().unwrap_or(&identity.address);
    println!(
        "You are known to the cluster at {} as {}.",
        identity.address, identity.subject.name
    );
    println!("Next, in the directory of a program:\n    cargo deploy {target} --release");
    Ok(0)
}

/// Forgets that we ever joined. The cluster is not asked: it may be gone for good.
pub fn logout(logout: &Logout) -> Result<i32, Failure> {
    let target = &logout.target;
    let gone = saved::forget(target)?;
    if gone.is_empty() {
        return Err(Failure::setting(format!(
            "you have not logged in to `{target}`{}",
            clusters::known()?
        )));
    }
    println!(
        "Forgotten: {}. What you run there goes on.",
        gone.join(", ")
    );
    Ok(0)
}
