//! `cargo deploy login`, from a token to an identity that is kept, and `logout`.

use crate::{
    cli::{Login, Logout},
    clusters,
    failure::Failure,
    saved,
    session::Bridge,
};
use deploy_trust::{identity::Identity, subject::Role, token::Token};
use deploy_wire::code::OwnCode;
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
    let places: Vec<&str> = [&*token.address]
        .into_iter()
        .chain(login.name.as_deref())
        .collect();
    let identity = identify(&token, &places, login.at.is_some()).inspect_err(|_| {
        places.iter().for_each(|place| saved::clear(place));
    })?;
    for place in &places {
        saved::save(&identity, place)?;
    }
    let target = login.name.as_deref().unwrap_or(&identity.address);
    println!(
        "You are known to the cluster at {} as {}.",
        identity.address, identity.subject.name
    );
    println!("Next, in the directory of a program:\n    cargo deploy {target} --release");
    Ok(0)
}

/// Who we are in the cluster of this token, which is to be kept in these places.
fn identify(token: &Token, places: &[&str], is_elsewhere: bool) -> Result<Identity, Failure> {
    // The cluster remembers whom it has let in: it is asked only where that can be kept.
    for place in places {
        saved::try_place(place)?;
    }
    // Whoever has logged in before stays the same user, to whom the jobs that run now belong.
    if let Some(identity) = clusters::of_token(token)? {
        match Bridge::connect(&identity) {
            Ok(bridge) => {
                bridge.finish();
                return Ok(identity);
            }
            // There somebody new is let in no more than we are.
            Err(failure) if failure.code() == OwnCode::Connection.number() => return Err(failure),
            Err(_) => {}
        }
    }
    let identity = clusters::join(token)?;
    if is_elsewhere {
        // The token is good at the port for nodes too, and who we are by it is not.
        Bridge::connect(&identity)?.finish();
    }
    Ok(identity)
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
